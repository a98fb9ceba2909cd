"""A Xenium output folder with its H&E image, and what was put into it."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import tifffile

from miniatures.histology import he_image, on_tissue
from miniatures.tenx import Features, write_matrix

PIXEL_UM = 0.2125
CONTROLS = (
    "NegControlProbe_00042", "NegControlCodeword_0500", "BLANK_0033", "UnassignedCodeword_0007",
    "DeprecatedCodeword_0012", "antisense_PROKR2",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class XeniumTruth:
    """What a reader must find: transcripts of genes, of quality 20 or better, one a row."""

    source: Path
    image: Path
    alignment: Path
    mpp: float
    to_morphology: np.ndarray
    genes: list[str]
    x_um: np.ndarray
    y_um: np.ndarray
    gene: np.ndarray
    cell_x_um: np.ndarray
    cell_y_um: np.ndarray
    cell_counts: np.ndarray

    def squares(self, bin_um: float) -> dict[tuple[int, int], np.ndarray]:
        """Counts of the genes in every square that holds any, by its row and column."""
        found: dict[tuple[int, int], np.ndarray] = defaultdict(
            lambda: np.zeros(len(self.genes), dtype=int)
        )
        for x, y, gene in zip(self.x_um, self.y_um, self.gene, strict=True):
            found[int(y // bin_um), int(x // bin_um)][gene] += 1
        return dict(found)

    def cell_squares(self, bin_um: float) -> dict[tuple[int, int], np.ndarray]:
        """Counts of the cells whose centre lies in each square."""
        found: dict[tuple[int, int], np.ndarray] = defaultdict(
            lambda: np.zeros(len(self.genes), dtype=int)
        )
        for x, y, counts in zip(self.cell_x_um, self.cell_y_um, self.cell_counts, strict=True):
            found[int(y // bin_um), int(x // bin_um)] += counts
        return dict(found)

    def centre_px(self, row: int, col: int, bin_um: float) -> np.ndarray:
        """Centre of a square as (x, y) in px of the H&E image."""
        um = np.array([(col + 0.5) * bin_um, (row + 0.5) * bin_um])
        return np.linalg.solve(self.to_morphology, [*(um / PIXEL_UM), 1.0])[:2]


def write_xenium(
    folder: Path,
    transcripts: str | None = "parquet",
    *,
    inverted: bool = False,
    names_as_bytes: bool = False,
    number: int = 30_000,
    seed: int = 0,
) -> XeniumTruth:
    """Write a small Xenium section whose H&E image is turned by a quarter.

    Parameters
    ----------
    folder
        The output folder; image and alignment lie in it.
    transcripts
        ``"parquet"``, ``"csv"``, or none, with cells alone.
    inverted
        The alignment is written the wrong way round.
    names_as_bytes
        Text columns of the Parquet file are bytes, as the first releases wrote them.
    number
        Transcripts, with controls and those of low quality.
    """
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    width_um, height_um, mpp = 1300.0, 1100.0, 1.0
    # x and y of the section run along y and -x of the image, as in 10x's own example.
    image, tissue = he_image(int(width_um / mpp), int(height_um / mpp), seed=seed)
    scale = mpp / PIXEL_UM
    matrix = np.array([[0, scale, 0.0], [-scale, 0, height_um / PIXEL_UM], [0, 0, 1.0]])
    slide = folder / "Sample_he_image.ome.tif"
    tifffile.imwrite(
        slide,
        image,
        photometric="rgb",
        tile=(256, 256),
        compression="zlib",
        metadata={"axes": "YXS"},
    )
    alignment = folder / "Sample_he_imagealignment.csv"
    written = np.linalg.inv(matrix) if inverted else matrix
    alignment.write_text("\n".join(",".join(map(str, row)) for row in written.tolist()) + "\n")
    experiment = {
        "major_version": 5, "minor_version": 0, "patch_version": 0, "run_name": "run",
        "region_name": "region", "panel_name": "panel", "pixel_size": PIXEL_UM, "z_step_size": 3.0,
        "analysis_sw_version": "xenium-3.0.0.15",
    }  # fmt: skip
    (folder / "experiment.xenium").write_text(json.dumps(experiment, indent=2))

    def places(count: int) -> np.ndarray:
        """Points (x, y) in µm, on tissue but for one in a hundred."""
        um = rng.uniform(0, [width_um, height_um], (4 * count, 2)).astype(np.float32)
        px = np.linalg.solve(matrix, np.c_[um / PIXEL_UM, np.ones(len(um))].T)[:2].T
        kept = on_tissue(tissue, px) | (rng.random(len(um)) < 0.01)
        return um[kept][:count]

    features = Features.panel(20, ("Negative Control Probe", "Unassigned Codeword"))
    genes = [f"GENE{i}" for i in range(20)]
    features = Features(features.ids, [*genes, CONTROLS[0], CONTROLS[3]], features.types)
    um = places(number)
    names = rng.choice([*genes, *CONTROLS], len(um))
    qv = rng.choice(np.array([8.0, 19.9, 20.0, 31.2, 40.0], dtype=np.float32), len(um))
    if transcripts is not None:
        _write_transcripts(folder, transcripts, names_as_bytes, um, names, qv)
    cells = places(600)
    cell_counts = rng.poisson(0.8, (len(cells), len(features.ids)))
    ids = [f"{''.join(rng.choice(list('abcdefghijklmnop'), 8))}-1" for _ in cells]
    write_matrix(folder, "cell_feature_matrix", "h5", cell_counts, ids, features)
    table = pd.DataFrame({"cell_id": ids, "x_centroid": cells[:, 0], "y_centroid": cells[:, 1]})
    table["transcript_counts"] = cell_counts.sum(axis=1)
    table.to_parquet(folder / "cells.parquet", index=False)
    table.to_csv(folder / "cells.csv.gz", index=False)
    order = {name: place for place, name in enumerate(sorted(genes))}
    good = np.isin(names, genes) & (qv >= 20)
    columns = np.argsort([order[name] for name in genes])
    return XeniumTruth(
        source=folder,
        image=slide,
        alignment=alignment,
        mpp=mpp,
        to_morphology=matrix,
        genes=sorted(genes),
        x_um=um[good, 0].astype(float),
        y_um=um[good, 1].astype(float),
        gene=np.array([order[name] for name in names[good]]),
        cell_x_um=cells[:, 0].astype(float),
        cell_y_um=cells[:, 1].astype(float),
        cell_counts=cell_counts[:, :20][:, columns],
    )


def _write_transcripts(
    folder: Path,
    kind: str,
    as_bytes: bool,
    um: np.ndarray,
    names: np.ndarray,
    qv: np.ndarray,
) -> None:
    table = pd.DataFrame(
        {
            "transcript_id": np.arange(len(um), dtype=np.uint64),
            "cell_id": ["UNASSIGNED"] * len(um),
            "overlaps_nucleus": np.zeros(len(um), dtype=np.uint8),
            "feature_name": names.astype(object),
            "x_location": um[:, 0],
            "y_location": um[:, 1],
            "z_location": np.full(len(um), 12.5, dtype=np.float32),
            "qv": qv,
            "fov_name": ["A1"] * len(um),
        }
    )
    if kind == "csv":
        table.to_csv(folder / "transcripts.csv.gz", index=False)
        return
    if as_bytes:
        for column in ("cell_id", "feature_name", "fov_name"):
            table[column] = table[column].str.encode("utf-8")
    table.to_parquet(folder / "transcripts.parquet", index=False, row_group_size=7_000)
