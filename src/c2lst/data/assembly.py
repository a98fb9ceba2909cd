"""From counts, places and an image to a Section: what all readers of raw files share."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from c2lst.data.image import SlideImage
from c2lst.data.orientation import check_orientation
from c2lst.data.patches import Patches, SlidePatches
from c2lst.data.placement import Placement, report_resolution
from c2lst.data.raw import RawSection, ReadRequest
from c2lst.data.readers.constants import (
    HEST_LIBRARY,
    HestMetadataKey,
    ObsColumn,
    ReadingKey,
    SpatialKey,
)
from c2lst.data.section import Section
from c2lst.errors import InputError
from c2lst.progress import logger

if TYPE_CHECKING:
    from anndata import AnnData

MPP_TOLERANCE = 0.05
OUTSIDE = "outside the image"
THUMBNAILS = {SpatialKey.HIRES: 1500, SpatialKey.DOWNSCALED: 1000, SpatialKey.LOWRES: 600}
"""Longer side in px of each thumbnail."""


def assemble(raw: RawSection, request: ReadRequest) -> Section:
    """Check a raw section against its image; its patches are cut when they are asked for.

    Parameters
    ----------
    raw
        What a reader found.
    request
        How it is to be read.

    Raises
    ------
    InputError
        If no µm/px is known or what is known disagrees, the spots do not fit the image, or the
        values are no section.
    """
    check_patch_request(request.patch_um, request.size)
    with SlideImage.open(raw.image_path) as image:
        mpp, mpp_from = choose_mpp(
            raw.name,
            raw.places_file or raw.image_path,
            {
                f"the spots' pitch of {raw.pitch_um:g} µm": raw.mpp_pitch,
                "the metadata": raw.mpp_stated,
                f"the image {raw.image_path.name}": image.mpp,
            },
            None if request.mpp is None else request.mpp / raw.image_scale,
        )
        placement = place(
            raw.name, image, raw.centres_px, mpp, raw.spot_um, request, raw.places_file
        )
        report_resolution(raw.name, mpp, request.patch_um, request.size)
        raw = _inside(raw, placement.outside)
        adata = build_adata(raw)
        adata.uns[SpatialKey.SPATIAL.value] = {HEST_LIBRARY: thumbnails(image, raw.spot_um / mpp)}
    images = SlidePatches(raw.image_path, raw.centres_px, mpp, request.patch_um, request.size)
    return Section(
        raw.name,
        adata,
        mpp,
        raw.pitch_um,
        raw.image_path,
        Patches(images, request.patch_um),
        metadata={HestMetadataKey.TECHNOLOGY.value: raw.technology},
        reading=describe(mpp_from, placement, ~placement.outside, raw.dropped),
    )


def choose_mpp(
    name: str, where: Path, known: Mapping[str, float | None], told: float | None
) -> tuple[float, str]:
    """µm per full-resolution px, and where it comes from.

    Parameters
    ----------
    name
        The section.
    where
        The file to name where it cannot be trusted.
    known
        What says it, in the order of trust. All must agree with the first within 5 %.
    told
        What the user says, which overrules them all.

    Raises
    ------
    InputError
        If nothing says it, two of them disagree, or ``told`` is no length.
    """
    found = {origin: float(value) for origin, value in known.items() if value is not None}
    listed = ", ".join(f"{value:.4g} from {origin}" for origin, value in found.items())
    if told is not None:
        check_mpp(told)
        if any(abs(told / value - 1) > MPP_TOLERANCE for value in found.values()):
            logger.warning("%s: %.4g µm/px is used as told, though it is %s", name, told, listed)
        return float(told), "as told"
    if not found:
        raise InputError(
            where,
            "µm/px is not known",
            found="neither a known spot pitch nor a stated resolution",
            expected="µm per full-resolution px",
            remedy="give it with --mpp",
        )
    origin, mpp = next(iter(found.items()))
    for other, value in found.items():
        if abs(value / mpp - 1) > MPP_TOLERANCE:
            raise InputError(
                where,
                f"µm/px from {origin} and from {other} disagree",
                found=listed,
                expected=f"the same within {MPP_TOLERANCE:.0%}",
                remedy="check that spots and image are of the same slide and resolution, or say "
                f"which is right, such as --mpp {mpp:.4g}",
            )
    logger.info("%s: %.4g µm/px from %s", name, mpp, origin)
    return mpp, f"from {origin}"


def check_mpp(told: float) -> None:
    """Refuse a µm/px that is no length."""
    if not (np.isfinite(told) and 0 < told < 1e3):
        raise InputError(
            "mpp", "is no length", found=told, expected="µm per px, above 0", remedy="correct --mpp"
        )


def check_patch_request(patch_um: float, size: int) -> None:
    """Refuse a patch width that is no width."""
    if not (np.isfinite(patch_um) and patch_um > 0):
        raise InputError(
            "patch_um", "is no width", found=patch_um, expected="µm above 0",
            remedy="correct --patch-um",
        )  # fmt: skip
    if not 8 <= size <= 1024:
        raise InputError(
            "size", "is out of range", found=size, expected="8 to 1024 px", remedy="correct --size"
        )


def place(
    name: str,
    image: SlideImage,
    centres_px: np.ndarray,
    mpp: float,
    spot_um: float,
    request: ReadRequest,
    places_file: Path | None,
) -> Placement:
    """Lay the spots on their slide; the few outside it are to be dropped by the caller.

    Raises
    ------
    InputError
        If they do not fit the slide.
    """
    placement = Placement.of(image, centres_px, mpp, request.patch_um)
    check_orientation(
        name,
        image,
        centres_px,
        placement,
        radius_px=spot_um / mpp / 2,
        overlay=request.overlay,
        places=places_file,
    )
    return placement


def _inside(raw: RawSection, outside: np.ndarray) -> RawSection:
    if not outside.any():
        return raw
    logger.warning("%s: dropped: %d spots outside the image", raw.name, outside.sum())
    rows = ("counts", "barcodes", "array_row", "array_col", "centres_px")
    changes: dict[str, Any] = {field: getattr(raw, field)[~outside] for field in rows}
    dropped = {**raw.dropped, OUTSIDE: int(outside.sum())}
    return dataclasses.replace(raw, dropped=dropped, **changes)


def describe(
    mpp_from: str, placement: Placement | None, kept: np.ndarray, dropped: Mapping[str, int]
) -> dict[str, Any]:
    """Make the notes of a section on how it was read.

    Parameters
    ----------
    mpp_from
        Where µm/px comes from.
    placement
        How all spots lie on the slide; none where that is not known.
    kept
        bool (n,): which of them the section has.
    dropped
        How many it does not have, by reason.
    """
    noted: dict[str, Any] = {ReadingKey.MPP_FROM.value: mpp_from}
    if placement is not None:
        noted[ReadingKey.ON_TISSUE.value] = int(placement.on_tissue[kept].sum())
        noted[ReadingKey.OVERLAP.value] = placement.overlap
    noted[ReadingKey.DROPPED.value] = {why: int(n) for why, n in dropped.items() if n}
    return noted


def build_adata(raw: RawSection) -> AnnData:
    """AnnData of a section without its thumbnails; ``X`` is CSR float32."""
    import anndata
    import pandas as pd
    from scipy import sparse

    centres = np.asarray(raw.centres_px, dtype=np.float64)
    obs = pd.DataFrame(
        {
            ObsColumn.IN_TISSUE.value: np.ones(len(centres), dtype=int),
            ObsColumn.ARRAY_ROW.value: np.asarray(raw.array_row, dtype=int),
            ObsColumn.ARRAY_COL.value: np.asarray(raw.array_col, dtype=int),
            ObsColumn.PXL_ROW.value: centres[:, 1],
            ObsColumn.PXL_COL.value: centres[:, 0],
        },
        index=pd.Index(np.asarray(raw.barcodes, dtype=object)),
    )
    var = pd.DataFrame(index=pd.Index(np.asarray(raw.genes, dtype=object)))
    if raw.gene_ids is not None:
        var["gene_ids"] = np.asarray(raw.gene_ids, dtype=object)
    adata = anndata.AnnData(X=sparse.csr_matrix(raw.counts, dtype=np.float32), obs=obs, var=var)
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
