"""A HEST-1k sample with all its parts, as HEST's own tools write it, and what was put into it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import anndata
import h5py
import numpy as np
import pandas as pd
import tifffile
from PIL import Image
from scipy import sparse

from miniatures.histology import he_image, on_tissue

PATCH_UM = 112.0
PITCH_UM = 100.0
METADATA = {
    "pixel_size_um_embedded": float("nan"),  # HEST writes NaN for what it does not know
    "spot_diameter": 55.0,
    "inter_spot_dist": PITCH_UM,
    "patient": "P1",
    "st_technology": "Visium",
    "oncotree_code": "IDC",
    "organ": "Breast",
    "species": "Homo sapiens",
    "subseries": None,
}


@dataclass(frozen=True, eq=False)
class HestTruth:
    """What a reader must find: spots on tissue, some without a patch, one without counts."""

    folder: Path
    name: str
    mpp: float
    barcodes: list[str]
    counts: np.ndarray
    centres_px: np.ndarray
    with_patch: np.ndarray

    @property
    def joined(self) -> np.ndarray:
        """Spots with a patch and counts, bool (n,)."""
        return self.with_patch & (self.counts.sum(axis=1) > 0)

    def part(self, name: str) -> Path:
        """The file of a part, such as ``patches``."""
        ends = {"st": ".h5ad", "patches": ".h5", "wsis": ".tif", "metadata": ".json"}
        return self.folder / name / f"{self.name}{ends.get(name, '_contours.geojson')}"


def write_hest(
    folder: Path,
    name: str = "T1",
    *,
    mpp: float = 1.0,
    size: int = 224,
    plural: bool = False,
    release: str = "new",
    slide: bool = True,
    patches: bool = True,
    stated_mpp: float | None = None,
    seed: int = 0,
) -> HestTruth:
    """Write a small sample: Visium, 12 columns and 9 rows of spots, those on tissue.

    Parameters
    ----------
    folder
        Where ``st``, ``patches`` and so on go.
    mpp
        µm per full-resolution px.
    size
        Width of a patch in px: 224, or 256 in older releases.
    plural
        Call the barcodes of the patch file ``barcodes``, as derived files do.
    release
        Of the patch file: ``"new"``; ``"old"`` notes centres as (y, x) and ``patch_size``;
        ``"bare"`` corners and nothing else.
    slide, patches
        Whether these parts are there.
    stated_mpp
        What the metadata says, where that is not ``mpp``.
    """
    rng = np.random.default_rng(seed)
    column, row = np.meshgrid(np.arange(12), np.arange(9))
    array_col, array_row = (2 * column + row % 2).ravel(), row.ravel()
    centres = np.stack([array_col * 50, array_row * 50 * np.sqrt(3)], axis=-1) / mpp
    centres = np.floor(centres + 90 / mpp)
    width, height = (np.ceil(centres.max(axis=0)) + 90 / mpp).astype(int)
    image, tissue = he_image(height, width, seed)
    kept = on_tissue(tissue, centres)
    centres, array_col, array_row = centres[kept], array_col[kept], array_row[kept]
    counts = rng.poisson(rng.lognormal(0, 1, 15), (len(centres), 15)).astype(np.float32)
    counts[4] = 0
    barcodes = ["".join(rng.choice(list("ACGT"), 16)) + "-1" for _ in range(len(centres))]
    with_patch = np.ones(len(centres), dtype=bool)
    with_patch[[1, 7]] = False
    truth = HestTruth(folder, name, mpp, barcodes, counts, centres, with_patch)
    for part in ("st", "patches", "wsis", "metadata", "tissue_seg"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    _write_counts(truth, image, array_row, array_col)
    if patches:
        _write_patches(truth, image, size, plural, release)
    if slide:
        _write_slide(truth.part("wsis"), image, mpp)
    metadata = {**METADATA, "pixel_size_um_estimated": stated_mpp or mpp, "id": name}
    truth.part("metadata").write_text(json.dumps(metadata))
    outline = [[0, 0], [int(width), 0], [int(width), int(height)], [0, 0]]
    feature = {
        "type": "Feature",
        "properties": {"tissue_id": 0},
        "geometry": {"type": "Polygon", "coordinates": [outline]},
    }
    truth.part("tissue_seg").write_text(
        json.dumps({"type": "FeatureCollection", "features": [feature]})
    )
    return truth


def _write_counts(
    truth: HestTruth, image: np.ndarray, array_row: np.ndarray, array_col: np.ndarray
) -> None:
    thumbnail = Image.fromarray(image).resize((image.shape[1] // 4, image.shape[0] // 4))
    obs = pd.DataFrame(
        {
            "in_tissue": True,
            "array_row": array_row,
            "array_col": array_col,
            "pxl_col_in_fullres": truth.centres_px[:, 0].astype(np.int64),
            "pxl_row_in_fullres": truth.centres_px[:, 1].astype(np.int64),
            "total_counts": truth.counts.sum(axis=1),
        },
        index=truth.barcodes,
    )
    genes = [f"G{i}" for i in range(truth.counts.shape[1])]
    var = pd.DataFrame({"mito": [name == "G3" for name in genes]}, index=genes)
    adata = anndata.AnnData(sparse.csr_matrix(truth.counts), obs=obs, var=var)
    adata.obsm["spatial"] = truth.centres_px.astype(np.int64)
    adata.uns["spatial"] = {
        "ST": {
            "images": {"downscaled_fullres": np.asarray(thumbnail)},
            "scalefactors": {
                "spot_diameter_fullres": 55 / truth.mpp,
                "tissue_downscaled_fullres_scalef": thumbnail.width / image.shape[1],
            },
        }
    }
    adata.write_h5ad(truth.part("st"))


def _write_patches(
    truth: HestTruth, image: np.ndarray, size: int, plural: bool, release: str
) -> None:
    """Write patches in another order than the spots, and in whole px, as HEST cuts them."""
    rows = np.flatnonzero(truth.with_patch)[::-1]
    width = round(PATCH_UM / truth.mpp)
    corners = truth.centres_px[rows].astype(np.int64) - width // 2
    padded = np.pad(image, ((width, width), (width, width), (0, 0)), constant_values=245)
    images = []
    for x, y in corners + width:
        patch = Image.fromarray(padded[y : y + width, x : x + width])
        images.append(np.asarray(patch.resize((size, size), Image.Resampling.BICUBIC)))
    with h5py.File(truth.part("patches"), "w") as file:
        shape = (1, size, size, 3)
        file.create_dataset("img", data=np.stack(images), chunks=shape, maxshape=(None, *shape[1:]))
        file["coords"] = corners if release != "old" else (corners + width // 2)[:, ::-1]
        file.create_dataset(
            "barcodes" if plural else "barcode",
            data=np.array([truth.barcodes[i] for i in rows], dtype=object).reshape(-1, 1),
            dtype=h5py.string_dtype(),
        )
        attributes = {
            "new": {
                "patch_size_src": width,
                "patch_size_target": size,
                "downsample": PATCH_UM / truth.mpp / size,
                "pixel_size": truth.mpp,
            },
            "old": {"patch_size": width, "factor": size / width},
            "bare": {},
        }[release]
        file["img"].attrs.update(attributes)
        file["coords"].attrs.update(attributes)


def _write_slide(path: Path, image: np.ndarray, mpp: float) -> None:
    """Write a pyramidal tiled TIFF."""
    options = {"tile": (256, 256), "photometric": "rgb", "compression": "zlib", "metadata": None}
    with tifffile.TiffWriter(path) as file:
        per_cm = 1e4 / mpp
        file.write(image, resolution=(per_cm, per_cm), resolutionunit="CENTIMETER", **options)
        file.write(np.ascontiguousarray(image[::2, ::2]), subfiletype=1, **options)
