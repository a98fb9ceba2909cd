"""From counts, places and an image to a Section: what all readers of raw files share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from c2lst.data.image import SlideImage
from c2lst.data.patches import (
    Patches,
    extract_patches,
    patch_overlap,
    report_resolution,
)
from c2lst.data.raw import RawSection, ReadRequest
from c2lst.data.readers.constants import ObsColumn, SpatialKey
from c2lst.data.section import Section
from c2lst.data.tissue import TissueMask
from c2lst.errors import InputError
from c2lst.progress import logger

if TYPE_CHECKING:
    from anndata import AnnData
    from scipy.sparse import csr_matrix

LEAST_TISSUE_SHARE = 0.5
_MPP_TOLERANCE = 0.05
THUMBNAILS = {SpatialKey.HIRES: 1500, SpatialKey.DOWNSCALED: 1000, SpatialKey.LOWRES: 600}
"""Longer side in px of each thumbnail."""


def assemble(raw: RawSection, request: ReadRequest) -> Section:
    """Check a raw section against its image and cut its patches.

    Parameters
    ----------
    raw
        What a reader found.
    request
        How it is to be read.

    Raises
    ------
    InputError
        If no µm/px is known, fewer than half of the spots lie on tissue, or the values are no
        section.
    """
    name, patch_um, size = raw.name, request.patch_um, request.size
    check_patch_request(patch_um, size)
    mpp = choose_mpp(raw, request.mpp)
    image = SlideImage.open(raw.image_path)
    check_on_tissue(name, image, raw.centres_px, mpp)
    report_resolution(name, mpp, patch_um, size)
    share = float(np.median(patch_overlap(raw.centres_px * mpp, patch_um)))
    logger.info(
        "%s: patches of %g µm at a pitch of %.0f µm; a patch shares %.0f %% of its area with "
        "other spots' patches (median)", name, patch_um, raw.pitch_um, 100 * share,
    )  # fmt: skip
    adata = build_adata(
        raw.counts, raw.barcodes, raw.genes, raw.array_row, raw.array_col, raw.centres_px
    )
    adata.uns[SpatialKey.SPATIAL.value] = {name: thumbnails(image, raw.spot_um / mpp)}
    images = extract_patches(image, raw.centres_px, mpp, patch_um, size, f"{name} patches")
    return Section(name, adata, mpp, raw.pitch_um, raw.image_path, Patches(images, patch_um))


def choose_mpp(raw: RawSection, told: float | None) -> float:
    """µm per full-resolution px: as told, else from the spots' pitch, else as the files state.

    Raises
    ------
    InputError
        If nothing says it, or ``told`` is no length.
    """
    derived = raw.mpp_stated if raw.mpp_pitch is None else raw.mpp_pitch
    if told is None:
        if derived is None:
            raise InputError(raw.image_path, "µm/px is not known", remedy="give it with --mpp")
        logger.info(
            "%s: %.3f µm/px from the array's pitch of %.0f µm", raw.name, derived, raw.pitch_um
        )
        return derived
    if not (np.isfinite(told) and told > 0):
        raise InputError("mpp", "is no length", found=told, expected="µm per px, above 0")
    if derived is not None and abs(told / derived - 1) > _MPP_TOLERANCE:
        logger.warning(
            "%s: %.3f µm/px is used as told, though the array's pitch of %.0f µm gives %.3f",
            raw.name, told, raw.pitch_um, derived,
        )  # fmt: skip
    return float(told)


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
