"""Patches of a HEST sample: which spot each belongs to, and how wide they are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from c2lst.data.layout import HestPlace
from c2lst.data.patch_file import PatchFile, patch_file, read_barcodes, stated_length
from c2lst.data.readers.constants import HestMetadataKey, HestPatchKey, SpatialKey
from c2lst.errors import InputError
from c2lst.progress import logger
from c2lst.storage import read_json

if TYPE_CHECKING:
    from anndata import AnnData

PATCH_UM = 112.0
"""Width of HEST-1k's patches; its first releases, of 256 px, do not state it."""

_AGAIN = "copy the folder again, or make it again from the raw files"


@dataclass(frozen=True, eq=False)
class StoredPatches:
    """Patches of a patch file, in the order of the spots that have one.

    Parameters
    ----------
    path
        The file.
    rows
        Row of the file for each spot, -1 where it has no patch, int (n,).
    width_px
        Width of a patch in full-resolution px.
    size
        Width of a patch in px of its own.
    """

    path: Path
    rows: np.ndarray
    width_px: float
    size: int

    def images(self, kept: np.ndarray, size: int | None = None, crop: float = 1.0) -> PatchFile:
        """Patches of the spots ``kept``, bool (n,), which stay in their file."""
        return PatchFile(self.path, self.rows[kept], size, crop)


def find_patches(place: HestPlace, adata: AnnData) -> StoredPatches:
    """Join spots and patches on their barcodes; a spot may have no patch.

    Raises
    ------
    InputError
        If the patch file is damaged, or of another sample.
    """
    import pandas as pd

    barcodes = read_barcodes(place.patches)
    index = pd.Index(barcodes.astype(object))
    if not index.is_unique:
        repeated = index[index.duplicated()][0]
        raise InputError(
            place.patches, "a barcode has several patches", found=repr(str(repeated)),
            expected="one patch a barcode", remedy=_AGAIN,
        )  # fmt: skip
    rows = index.get_indexer(adata.obs_names.astype(str))
    if not (rows >= 0).any():
        raise InputError(
            place.patches,
            "no patch belongs to a spot with counts",
            found=f"barcodes such as {str(barcodes[0])!r}" if len(barcodes) else "no patches",
            expected=f"such as {adata.obs_names[0]!r}" if adata.n_obs else "spots",
            remedy="give patches and counts of the same sample",
        )
    centres = np.asarray(adata.obsm[SpatialKey.SPATIAL], dtype=np.float64)
    kept = rows >= 0
    width_px, size = _patch_width(place, centres[kept], rows[kept])
    return StoredPatches(place.patches, rows, width_px, size)


def _patch_width(place: HestPlace, centres: np.ndarray, rows: np.ndarray) -> tuple[float, int]:
    """Width of the stored patches in full-resolution px and in their own.

    Their corners are level-0 and top-left, so half a width lies between corner and centre. The
    first releases noted centres instead, as (y, x).
    """
    with patch_file(place.patches) as file:
        size = int(file[HestPatchKey.IMAGES].shape[1])
        attributes = dict(file[HestPatchKey.IMAGES].attrs)
        corners = np.asarray(file[HestPatchKey.COORDS][()]) if HestPatchKey.COORDS in file else None
    stated = _stated_width(place.patches, attributes)
    if corners is None:
        if stated is None:
            return _usual_width(place), size
        return stated, size
    if corners.ndim != 2 or corners.shape[1] != 2 or len(corners) <= rows.max():
        raise InputError(
            place.patches,
            "data set 'coords' has the wrong shape",
            found=corners.shape,
            expected=f"({rows.max() + 1} or more, 2)",
            remedy=_AGAIN,
        )
    if any(np.abs(centres - c).max() <= 1 for c in (corners[rows], corners[rows][:, ::-1])):
        return (_usual_width(place) if stated is None else stated), size
    halves = centres - corners[rows]
    half = float(np.median(halves)) if stated is None else stated / 2
    away = float(np.median(np.abs(halves - half).max(axis=1)))
    if half <= 0 or away > 0.2 * half:
        raise InputError(
            place.patches,
            "patches lie elsewhere than their spots",
            found=f"a median distance of {away:.0f} px",
            expected=f"'coords' = centre - {half:.0f} px, as (x, y)",
            remedy="give patches and counts of the same sample",
        )
    return 2 * half, size


def _stated_width(path: Path, attributes: dict[str, Any]) -> float | None:
    target, factor = (
        stated_length(path, attributes, key)
        for key in (HestPatchKey.SIZE_TARGET, HestPatchKey.DOWNSAMPLE)
    )
    if target is not None and factor is not None:
        return target * factor  # HestPatchKey.SIZE_SRC is this, rounded
    width = stated_length(path, attributes, HestPatchKey.SIZE_SRC)
    return stated_length(path, attributes, HestPatchKey.OLD_SIZE) if width is None else width


def _usual_width(place: HestPlace) -> float:
    mpp = read_json(place.metadata, required=[HestMetadataKey.PIXEL_SIZE])
    logger.warning(
        "%s does not state the width of its patches; they are taken to be %g µm wide, as all of "
        "HEST-1k's are", place.patches, PATCH_UM,
    )  # fmt: skip
    return PATCH_UM / float(mpp[HestMetadataKey.PIXEL_SIZE])
