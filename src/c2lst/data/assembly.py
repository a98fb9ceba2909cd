"""From counts, places and an image to a Section: what all readers of raw files share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from c2lst.data.image import SlideImage
from c2lst.data.patches import (
    Patches,
    extract_patches,
    patch_overlap,
    report_resolution,
)
from c2lst.data.readers.constants import ObsColumn, SpatialKey
from c2lst.data.section import Section
from c2lst.data.tissue import TissueMask
from c2lst.errors import InputError
from c2lst.progress import logger

if TYPE_CHECKING:
    from anndata import AnnData
    from scipy.sparse import csr_matrix

LEAST_TISSUE_SHARE = 0.5
THUMBNAILS = {SpatialKey.HIRES: 1500, SpatialKey.DOWNSCALED: 1000, SpatialKey.LOWRES: 600}
"""Longer side in px of each thumbnail."""


def assemble(
    name: str,
    *,
    counts: csr_matrix | np.ndarray,
    barcodes: np.ndarray,
    genes: np.ndarray,
    array_row: np.ndarray,
    array_col: np.ndarray,
    centres_px: np.ndarray,
    image: SlideImage,
    image_path: Path,
    mpp: float,
    pitch_um: float,
    spot_um: float,
    patch_um: float,
    size: int,
) -> Section:
    """Build a section: AnnData with thumbnails, tissue check, patches.

    Parameters
    ----------
    name
        Name of the section.
    counts, barcodes, genes
        Raw counts (n, all genes), spot and gene names.
    array_row, array_col, centres_px
        Places of the spots on the array, and (n, 2) as (x, y) in full-resolution px.
    image, image_path
        The slide.
    mpp, pitch_um, spot_um
        µm per px, distance between neighbouring spots, diameter of a spot, µm.
    patch_um, size
        Width of a patch in µm and in px.

    Raises
    ------
    InputError
        If fewer than half of the spots lie on tissue, or the values are no section.
    """
    check_patch_request(patch_um, size)
    check_on_tissue(name, image, centres_px, mpp)
    report_resolution(name, mpp, patch_um, size)
    share = float(np.median(patch_overlap(centres_px * mpp, patch_um)))
    logger.info(
        "%s: patches of %g µm at a pitch of %.0f µm; a patch shares %.0f %% of its area with "
        "other spots' patches (median)", name, patch_um, pitch_um, 100 * share,
    )  # fmt: skip
    adata = build_adata(counts, barcodes, genes, array_row, array_col, centres_px)
    adata.uns[SpatialKey.SPATIAL.value] = {name: thumbnails(image, spot_um / mpp)}
    images = extract_patches(image, centres_px, mpp, patch_um, size, f"{name} patches")
    return Section(name, adata, mpp, pitch_um, image_path, Patches(images, patch_um))


def check_patch_request(patch_um: float, size: int) -> None:
    """Refuse a patch width that is no width."""
    if not (np.isfinite(patch_um) and patch_um > 0):
        raise InputError("patch_um", "is no width", found=patch_um, expected="µm above 0")
    if not 8 <= size <= 1024:
        raise InputError("size", "is out of range", found=size, expected="8 to 1024 px")


def build_adata(
    counts: csr_matrix | np.ndarray,
    barcodes: np.ndarray,
    genes: np.ndarray,
    array_row: np.ndarray,
    array_col: np.ndarray,
    centres_px: np.ndarray,
) -> AnnData:
    """AnnData of a section without its thumbnails; ``X`` is CSR float32."""
    import anndata
    import pandas as pd
    from scipy import sparse

    centres = np.asarray(centres_px, dtype=np.float64)
    obs = pd.DataFrame(
        {
            ObsColumn.IN_TISSUE.value: np.ones(len(centres), dtype=int),
            ObsColumn.ARRAY_ROW.value: np.asarray(array_row, dtype=int),
            ObsColumn.ARRAY_COL.value: np.asarray(array_col, dtype=int),
            ObsColumn.PXL_ROW.value: centres[:, 1],
            ObsColumn.PXL_COL.value: centres[:, 0],
        },
        index=pd.Index(np.asarray(barcodes, dtype=object)),
    )
    adata = anndata.AnnData(
        X=sparse.csr_matrix(counts, dtype=np.float32),
        obs=obs,
        var=pd.DataFrame(index=pd.Index(np.asarray(genes, dtype=object))),
    )
    adata.obsm[SpatialKey.SPATIAL.value] = centres
    return adata


def thumbnails(image: SlideImage, spot_diameter_px: float) -> dict[str, Any]:
    """Thumbnails and scale factors under the keys that scanpy and squidpy look for."""
    longer = max(image.width, image.height)
    largest = SlideImage.from_array(image.thumbnail(max(THUMBNAILS.values())))
    images: dict[str, np.ndarray] = {}
    factors: dict[str, float] = {SpatialKey.SPOT_DIAMETER.value: float(spot_diameter_px)}
    for key, max_px in THUMBNAILS.items():
        images[key.value] = largest.thumbnail(max_px)
        factors[f"tissue_{key.value}_scalef"] = max(images[key.value].shape[:2]) / longer
    return {SpatialKey.IMAGES.value: images, SpatialKey.SCALEFACTORS.value: factors}


def check_on_tissue(name: str, image: SlideImage, centres_px: np.ndarray, mpp: float) -> float:
    """Share of the spots that lie on tissue.

    Raises
    ------
    InputError
        If a spot lies outside the image, or fewer than half lie on tissue; the message says
        which exchange of axes would fit better.
    """
    size = np.array([image.width, image.height], dtype=float)
    mask = TissueMask.of(image, mpp)
    share = float(mask.at(centres_px).mean())
    inside: np.ndarray = np.all((centres_px >= 0) & (centres_px < size), axis=1)
    if inside.all() and share >= LEAST_TISSUE_SHARE:
        logger.info("%s: %.0f %% of the spots lie on tissue", name, 100 * share)
        return share
    problem = (
        f"only {share:.0%} of the spots lie on tissue"
        if inside.all()
        else f"{(~inside).sum()} of {len(inside)} spot centres lie outside the image"
    )
    raise InputError(
        f"section {name!r}",
        problem,
        found=f"centres x {_span(centres_px[:, 0])}, y {_span(centres_px[:, 1])} px "
        f"on an image of {image.width}x{image.height} px",
        expected=f"all spots inside and at least {LEAST_TISSUE_SHARE:.0%} on tissue",
        remedy=_better_placed(mask, centres_px, size),
    )


def _span(values: np.ndarray) -> str:
    return f"{values.min():.0f}..{values.max():.0f}"


def _better_placed(mask: TissueMask, centres: np.ndarray, size: np.ndarray) -> str:
    x, y = centres.T
    width, height = size
    options = {
        "x and y exchanged": (y, x),
        "x mirrored": (width - x, y),
        "y mirrored": (x, height - y),
        "a half turn": (width - x, height - y),
        "a quarter turn": (height - y, x),
        "a quarter turn the other way": (y, width - x),
    }
    shares = {
        name: float(mask.at(np.stack(option, axis=1)).mean()) for name, option in options.items()
    }
    best = max(shares, key=lambda name: shares[name])
    if shares[best] >= LEAST_TISSUE_SHARE:
        return f"with {best}, {shares[best]:.0%} would: check the pixel columns and the image"
    return "check that image and spot file belong together and are in the same resolution"
