"""Space Ranger's output for Visium (1, 2, 3) and Visium HD, with what was put into it."""

from __future__ import annotations

import gzip
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from scipy import sparse

from miniatures.histology import he_image, on_tissue
from miniatures.tenx import Features, write_matrix, write_mex

PITCH_UM = 100.0
_COLUMNS = [
    "barcode", "in_tissue", "array_row", "array_col", "pxl_row_in_fullres", "pxl_col_in_fullres",
]  # fmt: skip


@dataclass(frozen=True, eq=False)
class VisiumTruth:
    """What a reader must find: only spots in tissue, in no order."""

    source: Path
    image: Path
    mpp: float
    hires_scale: float
    barcodes: list[str]
    genes: list[str]
    gene_ids: list[str]
    counts: np.ndarray
    array_row: np.ndarray
    array_col: np.ndarray
    centres_px: np.ndarray
    positions: Path


def write_visium(
    folder: Path,
    version: str = "3",
    matrix: str = "h5",
    *,
    raw: bool = False,
    prefix: str = "",
    flat: bool = False,
    header: bool | None = None,
    fullres: bool = True,
    mpp: float = 2.0,
    turn: float = 1.0,
    mirrored: bool = False,
    seed: int = 0,
) -> VisiumTruth:
    """Write a small Visium sample.

    Parameters
    ----------
    folder
        Holds ``outs/`` and the full-resolution image ``tissue.tif``; with ``flat``, all files.
    version
        Space Ranger's: before 2 the positions have another name and no header.
    matrix
        ``"h5"``, ``"mex"`` or ``"h5v2"``.
    raw
        Only the matrix with all barcodes is there.
    prefix
        Before the name of every file (flat) or of the matrix.
    flat
        All files in one folder, gzipped, as downloads lay them out.
    header
        Whether positions have one; by default as the version does.
    fullres
        Whether the full-resolution image is there.
    mpp, turn, mirrored
        µm/px, degrees that the array is turned by, and whether it is mirrored.
    """
    rng = np.random.default_rng(seed)
    rows, columns = 16, 24
    array = np.array([(r, c) for r in range(rows) for c in range(r % 2, columns, 2)])
    size_px = np.array([columns * 50 + 200, rows * 86.6 + 200]) / mpp
    image, tissue = he_image(*np.round(size_px[::-1]).astype(int), seed=seed)
    centres = (array[:, ::-1] * [50.0, 50 * np.sqrt(3)] / mpp) + 100 / mpp
    middle = size_px / 2
    angle = np.deg2rad(turn)
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    centres = (centres - middle) @ rotation.T + middle
    if mirrored:
        centres[:, 0] = 2 * middle[0] - centres[:, 0]
    centres = np.round(centres)
    in_tissue = on_tissue(tissue, centres)
    letters = rng.choice(list("ACGT"), (len(array), 16))
    barcodes = np.array(["".join(row) + "-1" for row in letters])
    features = Features.panel(30, () if matrix == "h5v2" else ("Antibody Capture",) * 2)
    level = np.exp(rng.normal(0.0, 1.0, len(features.ids)))
    counts = rng.poisson(level * (0.5 + centres[:, :1] / size_px[0]))
    counts[~in_tissue] = rng.poisson(0.05, counts[~in_tissue].shape)
    counts[in_tissue, 0] += 1  # no spot in tissue is empty

    outs = folder if flat else folder / "outs"
    spatial = outs if flat else outs / "spatial"
    spatial.mkdir(parents=True, exist_ok=True)
    order = rng.permutation(len(array))
    written = order if raw else order[in_tissue[order]]
    name = f"{prefix}{'raw' if raw else 'filtered'}_feature_bc_matrix"
    content = (sparse.csr_matrix(counts[written]), barcodes[written].tolist(), features)
    if flat and matrix == "mex":
        write_mex(outs, *content, prefix=prefix)
    else:
        write_matrix(outs, name, matrix, *content)

    header = version != "1" if header is None else header
    table = pd.DataFrame(
        {
            "barcode": barcodes,
            "in_tissue": in_tissue.astype(int),
            "array_row": array[:, 0],
            "array_col": array[:, 1],
            "pxl_row_in_fullres": centres[:, 1].astype(int),
            "pxl_col_in_fullres": centres[:, 0].astype(int),
        }
    )
    inner = prefix if flat else ""
    positions = spatial / f"{inner}tissue_positions{'_list' if version == '1' else ''}.csv"
    table.to_csv(positions, index=False, header=header)
    scale = _write_spatial(spatial, inner, image, spot_px=55 / mpp)
    slide = folder / f"{inner}tissue.tif"
    if fullres:
        Image.fromarray(image).save(slide, compression="tiff_lzw")
    if flat:
        for path in (positions, spatial / f"{inner}scalefactors_json.json"):
            _gzip(path)
        positions = positions.with_name(positions.name + ".gz")
    return VisiumTruth(
        source=folder if flat else outs,
        image=slide,
        mpp=mpp,
        hires_scale=scale,
        barcodes=barcodes[in_tissue].tolist(),
        genes=features.gene_names,
        gene_ids=np.array(features.ids)[features.is_gene].tolist(),
        counts=counts[in_tissue][:, features.is_gene],
        array_row=array[in_tissue, 0],
        array_col=array[in_tissue, 1],
        centres_px=centres[in_tissue],
        positions=positions,
    )


def _write_spatial(
    folder: Path, prefix: str, image: np.ndarray, spot_px: float, **factors: float
) -> float:
    """Write thumbnails and scale factors; returns px of the hires image for each px."""
    height, width = image.shape[:2]
    longest = max(height, width)
    scales = {"hires": 400 / longest, "lowres": 120 / longest}
    for name, scale in scales.items():
        size = (round(width * scale), round(height * scale))
        small = Image.fromarray(image).resize(size, Image.Resampling.BOX)
        small.save(folder / f"{prefix}tissue_{name}_image.png")
    Image.fromarray(image).resize((300, 300)).save(folder / f"{prefix}aligned_fiducials.jpg")
    Image.fromarray(image).resize((300, 300)).save(folder / f"{prefix}detected_tissue_image.jpg")
    values = {
        "spot_diameter_fullres": spot_px,
        "fiducial_diameter_fullres": spot_px * 1.6,
        **{f"tissue_{name}_scalef": scale for name, scale in scales.items()},
        **factors,
    }
    (folder / f"{prefix}scalefactors_json.json").write_text(json.dumps(values))
    return scales["hires"]


def _gzip(path: Path) -> None:
    path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()


@dataclass(frozen=True, eq=False)
class VisiumHDTruth:
    """What a reader must find.

    ``bins`` (R, C, G) are the counts of the narrowest bins, ``in_tissue`` (R, C) where they are
    in tissue, ``centres_px`` (R, C, 2) where they lie as (x, y), and ``bin_um`` their width.
    """

    source: Path
    image: Path
    mpp: float
    bin_um: int
    genes: list[str]
    gene_ids: list[str]
    bins: np.ndarray
    in_tissue: np.ndarray
    centres_px: np.ndarray

    def pooled(self, width_um: float) -> dict[tuple[int, int], tuple[np.ndarray, np.ndarray]]:
        """Counts and centre of each square of at least half tissue, by its row and column."""
        step = round(width_um / self.bin_um)
        found = {}
        for row in range(0, self.bins.shape[0], step):
            for col in range(0, self.bins.shape[1], step):
                part = np.s_[row : row + step, col : col + step]
                inside = self.in_tissue[part]
                counts = self.bins[part][inside].sum(axis=0)
                if inside.sum() >= step**2 / 2 and counts.sum():
                    centre = self.centres_px[part].reshape(-1, 2).mean(axis=0)
                    found[row // step, col // step] = (counts, centre)
        return found


def write_visium_hd(
    folder: Path,
    bins: tuple[int, ...] = (8, 16),
    matrix: str = "h5",
    *,
    raw: bool = False,
    fullres: bool = True,
    mpp: float = 2.0,
    seed: int = 0,
) -> VisiumHDTruth:
    """Write a small Visium HD sample: bins of several widths with the same counts.

    The array is mirrored on the image, as after CytAssist. Wider bins are in tissue where any of
    theirs is.

    Parameters
    ----------
    folder
        Holds ``outs/binned_outputs/`` and ``outs/microscope_image/``.
    bins
        Widths in µm, each a multiple of the first.
    matrix, raw, fullres
        As in ``write_visium``.
    mpp
        µm per full-resolution px.
    """
    rng = np.random.default_rng(seed)
    rows, columns = 1120 // bins[0], 896 // bins[0]
    margin = 60.0
    shape = (np.array([1120, 896]) + 2 * margin) / mpp
    image, tissue = he_image(*np.round(shape).astype(int), seed=seed)
    row, col = np.mgrid[:rows, :columns]
    x = (896 + margin - (col + 0.5) * bins[0]) / mpp
    y = (margin + (row + 0.5) * bins[0]) / mpp
    centres = np.stack([x, y], axis=-1)
    # Whole 16 µm squares are in tissue or not, so that all widths agree.
    step = bins[-1] // bins[0]
    coarse = centres[step // 2 :: step, step // 2 :: step]
    inside = on_tissue(tissue, coarse.reshape(-1, 2)).reshape(coarse.shape[:2])
    in_tissue = np.kron(inside, np.ones((step, step), dtype=bool))[:rows, :columns]
    features = Features.panel(12)
    level = rng.gamma(0.5, 0.1, len(features.ids))
    counts = rng.poisson(level * (0.3 + (row / rows)[..., None])).astype(np.int32)
    counts[~in_tissue] = rng.poisson(0.002, counts[~in_tissue].shape)

    outs = folder / "outs"
    slide = outs / "microscope_image" / "tissue_image.tif"
    if fullres:
        slide.parent.mkdir(parents=True)
        Image.fromarray(image).save(slide, compression="tiff_lzw")
    for width in bins:
        _write_square(
            outs / "binned_outputs" / f"square_{width:03d}um",
            width, width // bins[0], matrix, raw, counts, in_tissue, centres, features,
            image, mpp,
        )  # fmt: skip
    shutil.copytree(
        outs / "binned_outputs" / f"square_{bins[-1]:03d}um" / "spatial",
        outs / "spatial",
        ignore=shutil.ignore_patterns("*.parquet"),
    )
    return VisiumHDTruth(
        outs, slide, mpp, bins[0], features.gene_names, features.ids, counts, in_tissue, centres
    )


def _write_square(
    folder: Path,
    width: int,
    step: int,
    matrix: str,
    raw: bool,
    counts: np.ndarray,
    in_tissue: np.ndarray,
    centres: np.ndarray,
    features: Features,
    image: np.ndarray,
    mpp: float,
) -> None:
    rows, columns = counts.shape[0] // step, counts.shape[1] // step
    blocks = (
        counts.reshape(rows, step, columns, step, -1).sum(axis=(1, 3)).reshape(rows * columns, -1)
    )
    inside = in_tissue.reshape(rows, step, columns, step).any(axis=(1, 3)).ravel()
    middle = centres.reshape(rows, step, columns, step, 2).mean(axis=(1, 3)).reshape(-1, 2)
    row, col = np.mgrid[:rows, :columns].reshape(2, -1)
    barcodes = np.array(
        [f"s_{width:03d}um_{r:05d}_{c:05d}-1" for r, c in zip(row, col, strict=True)]
    )
    written = np.arange(len(barcodes)) if raw else np.flatnonzero(inside)
    name = f"{'raw' if raw else 'filtered'}_feature_bc_matrix"
    write_matrix(folder, name, matrix, blocks[written], barcodes[written].tolist(), features)
    spatial = folder / "spatial"
    spatial.mkdir()
    values = (barcodes, inside.astype(np.int64), row, col, middle[:, 1], middle[:, 0])
    table = pd.DataFrame(dict(zip(_COLUMNS, values, strict=True)))
    table.to_parquet(spatial / "tissue_positions.parquet", index=False)
    _write_spatial(spatial, "", image, width / mpp, bin_size_um=float(width), microns_per_pixel=mpp)
