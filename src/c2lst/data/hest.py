"""A section of a folder in the HEST-1k layout, ours or HEST's own, before it is a Section."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from c2lst.data.hest_patches import StoredPatches, find_patches
from c2lst.data.image import SLIDE_SUFFIXES
from c2lst.data.lattice import array_positions, nearest_px, pitch_in_px, stated_array
from c2lst.data.layout import HestPlace, read_h5ad, section_names
from c2lst.data.readers.constants import (
    HEST_LIBRARY,
    HestDirectory,
    HestMetadataKey,
    ObsColumn,
    SpatialKey,
)
from c2lst.errors import InputError
from c2lst.progress import logger
from c2lst.storage import read_json

if TYPE_CHECKING:
    from anndata import AnnData

FORMAT = 1
"""Of what c2lst itself notes in the metadata file."""

_OUR_KEYS = ("format", "image_path", "content_hash")
_AGAIN = "copy the folder again, or make it again from the raw files"


@dataclass(frozen=True, eq=False)
class HestSample:
    """What the files of a section say.

    Parameters
    ----------
    place
        The files.
    metadata
        Of HEST's metadata file, what is not ours.
    ours
        What c2lst itself noted there; none in files of others.
    adata
        All spots, with or without a patch.
    patches
        Their patches; none where there is no patch file.
    """

    place: HestPlace
    metadata: dict[str, Any]
    ours: dict[str, Any] | None
    adata: AnnData
    patches: StoredPatches | None

    @property
    def image_path(self) -> Path:
        """The full-resolution image, which may not be there."""
        noted = None
        if self.ours is not None:  # absolute, or beside the rest
            noted = self.place.directory / self.ours["image_path"]
        if noted is not None and noted.is_file():
            return noted
        folder = self.place.slide.parent
        named = (folder / f"{self.place.section}{suffix}" for suffix in sorted(SLIDE_SUFFIXES))
        return next((path for path in named if path.is_file()), noted or self.place.slide)

    @property
    def centres_px(self) -> np.ndarray:
        """Spot centres as (x, y) in full-resolution px, float64 (n, 2)."""
        return np.asarray(self.adata.obsm[SpatialKey.SPATIAL], dtype=np.float64)

    @property
    def contours(self) -> Path | None:
        """Outline of the tissue, where there is one."""
        return self.place.contours if self.place.contours.is_file() else None

    def number(self, key: HestMetadataKey) -> float | None:
        """Return a length of the metadata; none where it is not stated.

        Raises
        ------
        InputError
            If it is no length.
        """
        value = self.metadata.get(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e5:
            raise InputError(
                self.place.metadata,
                f"{key.value!r} is no length",
                found=repr(value),
                expected="µm, above 0",
                remedy=_AGAIN,
            )
        return float(value)

    def require(self, key: HestMetadataKey) -> float:
        """Return a length of the metadata that must be stated.

        Raises
        ------
        InputError
            If it is missing or no length.
        """
        value = self.number(key)
        if value is None:
            raise InputError(
                self.place.metadata,
                f"{key.value!r} is not stated",
                found="null" if key in self.metadata else ", ".join(sorted(self.metadata)) or "{}",
                expected="µm, above 0",
                remedy=_AGAIN,
            )
        return value

    def stored(self) -> StoredPatches:
        """Patches that must be there.

        Raises
        ------
        InputError
            If there is no patch file.
        """
        if self.patches is None:
            raise InputError(
                self.place.patches,
                "no such patch file",
                expected="patches of the spots",
                remedy="copy the folder again, or make it with c2lst ingest",
            )
        return self.patches

    def joined(self) -> np.ndarray:
        """Which spots have a patch, where there is a patch file, and counts, bool (n,)."""
        with_patch = (
            np.full(self.adata.n_obs, True) if self.patches is None else (self.patches.rows >= 0)
        )
        filled = np.asarray(self.adata.X.sum(axis=1)).ravel() > 0
        kept = with_patch & filled
        if not kept.all():
            logger.info(
                "%s: %d spots; dropped: %d without a patch, %d with no count above zero",
                self.place.section, kept.sum(), (~with_patch).sum(), (with_patch & ~filled).sum(),
            )  # fmt: skip
        return kept

    def spot_px(self) -> float | None:
        """Diameter of a spot in full-resolution px, as the thumbnail's scale factors state it."""
        library = self.adata.uns[SpatialKey.SPATIAL].get(HEST_LIBRARY, {})
        value = library.get(SpatialKey.SCALEFACTORS, {}).get(SpatialKey.SPOT_DIAMETER)
        return None if value is None else float(value)

    def pitch_um(self, mpp: float) -> float:
        """Distance of neighbouring spots: as stated, else as the array or the centres have it."""
        stated = self.number(HestMetadataKey.PITCH)
        if stated is not None:
            return stated
        return (pitch_in_px(self.adata, self.centres_px) or nearest_px(self.centres_px)) * mpp


def find_place(source: Path, section: str | None = None) -> HestPlace | None:
    """Find one section of a folder in the HEST layout; none if it is no such folder.

    Raises
    ------
    InputError
        If there are several sections and none is chosen, or the chosen one is not there.
    """
    directory = source
    if source.suffix == ".h5ad" and source.parent.name == HestDirectory.ST:
        directory, section = source.parent.parent, section or source.stem
    names = section_names(directory)
    if not names:
        return None
    if section is None and len(names) == 1:
        section = names[0]
    if section not in names:
        raise InputError(
            directory,
            f"section {section!r} is not here" if section else "which section?",
            found=", ".join(names),
            expected="the name of one",
            remedy=f"choose one with --section, such as {names[0]!r}",
        )
    return HestPlace(directory, section)


def load_sample(place: HestPlace) -> HestSample:
    """Read the files of a section; patches stay in theirs.

    Raises
    ------
    InputError
        If a file is missing or damaged, or the files disagree.
    """
    metadata = _finite(read_json(place.metadata))
    ours = _ours(place, metadata.pop(HestMetadataKey.OURS, None))
    adata = read_counts(place)
    stored = find_patches(place, adata) if place.patches.is_file() else None
    return HestSample(place, metadata, ours, adata, stored)


def _finite(metadata: dict[str, Any]) -> dict[str, Any]:
    """HEST writes NaN, which is no JSON, for what is not known."""
    return {
        key: None if isinstance(value, float) and not math.isfinite(value) else value
        for key, value in metadata.items()
    }


def _ours(place: HestPlace, ours: Any) -> dict[str, Any] | None:
    """Return what c2lst itself noted; none in files of others."""
    if ours is None:
        return None
    missing = [key for key in _OUR_KEYS if not isinstance(ours, dict) or key not in ours]
    if missing or ours["format"] != FORMAT:
        raise InputError(
            place.metadata,
            f"'c2lst' lacks the key {missing[0]!r}" if missing else "unknown format",
            found=json.dumps(ours)[:60] if missing else ours["format"],
            expected=", ".join(_OUR_KEYS) if missing else FORMAT,
            remedy="make the section again from its raw files",
        )
    return dict(ours)


def read_counts(place: HestPlace) -> AnnData:
    """Read the counts and places of a sample's spots, with the columns that HEST leaves out.

    Raises
    ------
    InputError
        If the file is missing or damaged, or says two things of where the spots are.
    """
    from scipy import sparse

    adata = read_h5ad(place.counts)
    if adata.X is None:
        raise InputError(place.counts, "X is missing", expected="raw counts", remedy=_AGAIN)
    adata.X = sparse.csr_matrix(adata.X)
    if SpatialKey.SPATIAL not in adata.obsm:
        raise InputError(
            place.counts, "obsm lacks 'spatial'", found=", ".join(adata.obsm) or "no obsm",
            expected="(x, y) centres in px", remedy=_AGAIN,
        )  # fmt: skip
    centres = np.asarray(adata.obsm[SpatialKey.SPATIAL], dtype=np.float64)
    columns = [ObsColumn.PXL_COL.value, ObsColumn.PXL_ROW.value]
    if all(column in adata.obs for column in columns):
        stated = adata.obs[columns].to_numpy(np.float64)
        # Row is y and column is x: exchanging them is the best-known mistake of the field.
        if not np.allclose(stated, centres, atol=1.0, equal_nan=True):
            swapped = np.allclose(stated[:, ::-1], centres, atol=1.0)
            raise InputError(
                place.counts,
                "obsm['spatial'] and the pixel columns of obs disagree",
                found="x and y exchanged" if swapped else "other places",
                expected="obsm['spatial'] = (pxl_col_in_fullres, pxl_row_in_fullres)",
                remedy="correct the one that is wrong",
            )
    _complete_obs(adata)
    _name_thumbnails(adata)
    return adata


def _complete_obs(adata: AnnData) -> None:
    """Fill in the columns that HEST leaves out for pseudo-spots."""
    if stated_array(adata) is None:  # nor is one of use that some spots lack, or that is no number
        stated = [ObsColumn.ARRAY_ROW.value, ObsColumn.ARRAY_COL.value]
        adata.obs = adata.obs.drop(columns=stated, errors="ignore")
    array = array_positions(adata, np.asarray(adata.obsm[SpatialKey.SPATIAL], dtype=np.float64))
    x, y = np.asarray(adata.obsm[SpatialKey.SPATIAL], dtype=np.float64).T
    for column, values in (
        (ObsColumn.IN_TISSUE, np.ones(adata.n_obs, dtype=int)),
        (ObsColumn.ARRAY_ROW, array[:, 1]),
        (ObsColumn.ARRAY_COL, array[:, 0]),
        (ObsColumn.PXL_ROW, y),
        (ObsColumn.PXL_COL, x),
    ):
        if column not in adata.obs:
            adata.obs[column.value] = values


def _name_thumbnails(adata: AnnData) -> None:
    """Give HEST's one thumbnail, ``downscaled_fullres``, the keys that plots look for too."""
    spatial = dict(adata.uns.get(SpatialKey.SPATIAL) or {})
    if HEST_LIBRARY not in spatial and len(spatial) == 1:
        spatial = {HEST_LIBRARY: next(iter(spatial.values()))}
    for entry in spatial.values():
        images = entry.get(SpatialKey.IMAGES, {})
        factors = entry.get(SpatialKey.SCALEFACTORS, {})
        factor = factors.get(f"tissue_{SpatialKey.DOWNSCALED.value}_scalef")
        if SpatialKey.DOWNSCALED in images and factor is not None:
            for key in (SpatialKey.HIRES, SpatialKey.LOWRES):
                images.setdefault(key.value, images[SpatialKey.DOWNSCALED])
                factors.setdefault(f"tissue_{key.value}_scalef", factor)
    adata.uns[SpatialKey.SPATIAL.value] = spatial
