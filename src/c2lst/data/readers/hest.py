"""The HEST-1k layout: ``st/{id}.h5ad``, ``patches/{id}.h5``, ``metadata/{id}.json``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from c2lst.data.image import IMAGE_SUFFIXES
from c2lst.data.lattice import fit_lattice
from c2lst.data.layout import (
    PatchFile,
    patch_file,
    read_barcodes,
    read_h5ad,
    section_names,
)
from c2lst.data.patches import Patches
from c2lst.data.readers.constants import (
    HestDirectory,
    HestMetadataKey,
    HestPatchKey,
    ObsColumn,
    SpatialKey,
)
from c2lst.data.section import FORMAT, Section
from c2lst.errors import InputError
from c2lst.progress import logger
from c2lst.storage import read_json

if TYPE_CHECKING:
    from anndata import AnnData

_TOLERANCE = 0.05
_OUR_KEYS = ("format", "image_path", "content_hash")


@dataclass(frozen=True)
class HestPlace:
    """A section of a folder in the HEST layout."""

    directory: Path
    section: str

    @property
    def counts(self) -> Path:
        """The AnnData file."""
        return self.directory / HestDirectory.ST / f"{self.section}.h5ad"

    @property
    def patches(self) -> Path:
        """The patch file."""
        return self.directory / HestDirectory.PATCHES / f"{self.section}.h5"

    @property
    def metadata(self) -> Path:
        """The metadata file."""
        return self.directory / HestDirectory.METADATA / f"{self.section}.json"


def locate(source: Path, section: str | None = None) -> HestPlace | None:
    """Find one section of a folder in the HEST layout; none if it is no such folder.

    Raises
    ------
    InputError
        If there are several sections and none is chosen, or the chosen one is not there.
    """
    directory = source
    if source.suffix == ".h5ad" and source.parent.name == HestDirectory.ST:
        directory, section = source.parent.parent, section or source.stem
    elif not source.exists() and (source.parent / HestDirectory.ST).is_dir():
        directory, section = source.parent, section or source.name
    if not (directory / HestDirectory.ST).is_dir():
        return None
    names = section_names(directory)
    if section is None and len(names) == 1:
        section = names[0]
    if section is None or section not in names:
        raise InputError(
            directory,
            f"section {section!r} is not here" if section else "which section?",
            found=", ".join(names) or "no st/*.h5ad",
            remedy=f"choose one with section=, such as {names[0]!r}" if names else None,
        )
    return HestPlace(directory, section)


def load_section(directory: Path, name: str | None = None) -> Section:
    """Read a section as it was saved, with its patches as they are.

    Raises
    ------
    InputError
        If a file is missing or damaged, or the counts are not those that were saved.
    """
    place = locate(directory, name)
    if place is None:
        raise InputError(
            directory, "holds no section", expected="st/{name}.h5ad", remedy="check the folder"
        )
    return read_hest(place)


def read_hest(
    place: HestPlace,
    *,
    patch_um: float | None = None,
    size: int | None = None,
    mpp: float | None = None,
) -> Section:
    """Read a section in the HEST layout.

    Parameters
    ----------
    place
        Which section.
    patch_um, size
        Width of a patch in µm and in px; the stored one by default. A narrower one is cut from
        the centre of the stored patch.
    mpp
        µm per full-resolution px; that of the metadata by default.

    Raises
    ------
    InputError
        If a file is missing or damaged, files disagree, or a wider patch is asked for than is
        stored.
    """
    metadata = read_json(place.metadata, required=[HestMetadataKey.PIXEL_SIZE])
    ours = _ours(place, metadata)
    adata = _read_counts(place)
    scale = _choose_mpp(place, metadata, mpp)
    stored = read_barcodes(place.patches)
    adata, rows = _join(place, adata, stored)
    stored_um = _patch_width(place, adata, rows, scale)
    section = Section(
        name=place.section,
        adata=_with_thumbnail_keys(adata, place.section),
        mpp=scale,
        pitch_um=(
            float(metadata[HestMetadataKey.PITCH])
            if ours is not None
            else _pitch(place, metadata, adata, scale)
        ),
        image_path=_image_path(place, ours),
        patches=_patches(place, rows, stored_um, patch_um, size),
    )
    _check_saved(place, ours, section)
    return section


def _ours(place: HestPlace, metadata: dict[str, Any]) -> dict[str, Any] | None:
    """Return what c2lst itself noted; none in files of others."""
    ours = metadata.get(HestMetadataKey.OURS)
    if ours is None:
        return None
    missing = [key for key in _OUR_KEYS if not isinstance(ours, dict) or key not in ours]
    if missing:
        raise InputError(place.metadata, f"'c2lst' lacks the key {missing[0]!r}")
    if ours["format"] != FORMAT:
        raise InputError(place.metadata, "unknown format", found=ours["format"], expected=FORMAT)
    return dict(ours)


def _read_counts(place: HestPlace) -> AnnData:
    from scipy import sparse

    adata = read_h5ad(place.counts)
    if adata.X is None:
        raise InputError(place.counts, "X is missing", expected="raw counts")
    adata.X = sparse.csr_matrix(adata.X)
    if SpatialKey.SPATIAL not in adata.obsm:
        raise InputError(place.counts, "obsm lacks 'spatial'", expected="(x, y) centres in px")
    centres = np.asarray(adata.obsm[SpatialKey.SPATIAL], dtype=np.float64)
    adata.obsm[SpatialKey.SPATIAL.value] = centres
    columns = (ObsColumn.PXL_COL, ObsColumn.PXL_ROW)
    if all(column in adata.obs for column in columns):
        stated = adata.obs[list(columns)].to_numpy(np.float64)
        # Row is y and column is x: exchanging them is the best-known mistake of the field.
        if not np.allclose(stated, centres, atol=1.0):
            swapped = np.allclose(stated[:, ::-1], centres, atol=1.0)
            raise InputError(
                place.counts,
                "obsm['spatial'] and the pixel columns of obs disagree",
                found="x and y exchanged" if swapped else "other places",
                expected="obsm['spatial'] = (pxl_col_in_fullres, pxl_row_in_fullres)",
            )
    return adata


def _choose_mpp(place: HestPlace, metadata: dict[str, Any], mpp: float | None) -> float:
    value = metadata[HestMetadataKey.PIXEL_SIZE] if mpp is None else mpp
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 1e3:
        raise InputError(
            place.metadata if mpp is None else "mpp",
            f"{HestMetadataKey.PIXEL_SIZE.value!r} is no length",
            found=value,
            expected="µm per px, above 0",
        )
    return float(value)


def _join(place: HestPlace, adata: AnnData, stored: np.ndarray) -> tuple[AnnData, np.ndarray]:
    """Spots that have a patch and counts, and the rows of their patches."""
    import pandas as pd

    index = pd.Index(stored)
    if not index.is_unique:
        repeated = index[index.duplicated()][0]
        raise InputError(place.patches, "a barcode has several patches", found=repr(repeated))
    rows = index.get_indexer(adata.obs_names.astype(str))
    empty = np.asarray(adata.X.sum(axis=1)).ravel() == 0
    kept = (rows >= 0) & ~empty
    if not kept.any():
        raise InputError(
            place.patches,
            "no patch belongs to a spot with counts",
            found=f"barcodes such as {stored[0]!r}" if len(stored) else "no patches",
            expected=f"such as {adata.obs_names[0]!r}" if adata.n_obs else "spots",
        )
    if not kept.all():
        logger.info(
            "%s: %d spots; dropped: %d without a patch, %d with no count above zero",
            place.section, kept.sum(), (rows < 0).sum(), ((rows >= 0) & empty).sum(),
        )  # fmt: skip
        adata = adata[kept].copy()
    return adata, rows[kept]


def _patch_width(place: HestPlace, adata: AnnData, rows: np.ndarray, mpp: float) -> float:
    """Width in µm of the stored patches, which must lie where the spots are.

    Their corners are level-0 and top-left. Half a width lies between corner and centre, which
    gives the width where the attributes are missing.
    """
    with patch_file(place.patches) as file:
        width = file[HestPatchKey.IMAGES].attrs.get(HestPatchKey.SIZE_SRC)
        pixel = file[HestPatchKey.IMAGES].attrs.get(HestPatchKey.PIXEL_SIZE)
        corners = np.asarray(file[HestPatchKey.COORDS][()]) if HestPatchKey.COORDS in file else None
    if corners is None:
        if width is None:
            raise InputError(
                place.patches,
                "the width of its patches is not known",
                found="neither 'coords' nor the attribute 'patch_size_src'",
            )
        return float(width) * (mpp if pixel is None else float(pixel))
    if corners.ndim != 2 or corners.shape[1] != 2 or len(corners) <= rows.max():
        raise InputError(
            place.patches, "data set 'coords' has the wrong shape", found=corners.shape
        )
    halves = np.asarray(adata.obsm[SpatialKey.SPATIAL]) - corners[rows]
    half = float(np.median(halves)) if width is None else float(width) / 2
    away = float(np.median(np.abs(halves - half).max(axis=1)))
    if half <= 0 or away > 0.2 * half:
        raise InputError(
            place.patches,
            "patches lie elsewhere than their spots",
            found=f"a median distance of {away:.0f} px",
            expected=f"'coords' = centre - {half:.0f} px, as (x, y)",
        )
    return 2 * half * (mpp if pixel is None else float(pixel))


def _pitch(place: HestPlace, metadata: dict[str, Any], adata: AnnData, mpp: float) -> float:
    """Distance of neighbouring spots in µm; the metadata's is compared with the array's."""
    from scipy.spatial import KDTree

    stated = metadata.get(HestMetadataKey.PITCH)
    centres = np.asarray(adata.obsm[SpatialKey.SPATIAL])
    array = adata.obs[[ObsColumn.ARRAY_COL, ObsColumn.ARRAY_ROW]].to_numpy(np.float64)
    lattice = fit_lattice(array, centres, np.rint(array).astype(int))
    if lattice is None or lattice.residual_px > lattice.unit_px / 4:
        if stated:
            return float(stated)
        if len(centres) < 2:
            raise InputError(place.metadata, f"{HestMetadataKey.PITCH.value!r} is missing")
        return float(np.median(KDTree(centres).query(centres, k=2)[0][:, 1])) * mpp
    measured = lattice.pitch_px * mpp
    if stated and abs(measured / float(stated) - 1) > _TOLERANCE:
        raise InputError(
            place.metadata,
            "µm/px and the distance between spots disagree",
            found=f"{measured:.0f} µm at {mpp:.3f} µm/px",
            expected=f"{stated:.0f} µm ({HestMetadataKey.PITCH.value})",
            remedy=f"give the right mpp, such as {float(stated) / lattice.pitch_px:.3f}",
        )
    return float(stated) if stated else measured


def _patches(
    place: HestPlace,
    rows: np.ndarray,
    stored_um: float,
    patch_um: float | None,
    size: int | None,
) -> Patches:
    with patch_file(place.patches) as file:
        stored_size = int(file[HestPatchKey.IMAGES].shape[1])
    if patch_um is None:
        return Patches(PatchFile(place.patches, rows, size), stored_um)
    if patch_um > 1.01 * stored_um:
        raise InputError(
            place.patches,
            "its patches are narrower than asked for",
            found=f"{stored_um:.0f} µm",
            expected=f"{patch_um:g} µm",
            remedy="ask for narrower patches, or read the raw files",
        )
    crop = 1.0 if abs(patch_um / stored_um - 1) < 0.01 else patch_um / stored_um
    if size is not None and size > 1.01 * stored_size * crop:
        logger.warning(
            "%s: stored patches have %.0f px in %g µm and are upsampled to %d px",
            place.section, stored_size * crop, patch_um, size,
        )  # fmt: skip
    return Patches(PatchFile(place.patches, rows, size, crop), patch_um)


def _image_path(place: HestPlace, ours: dict[str, Any] | None) -> Path:
    if ours is not None:
        return Path(ours["image_path"])
    folder = place.directory / HestDirectory.SLIDES
    candidates = (folder / f"{place.section}{suffix}" for suffix in sorted(IMAGE_SUFFIXES))
    return next((p for p in candidates if p.is_file()), folder / f"{place.section}.tif")


def _with_thumbnail_keys(adata: AnnData, name: str) -> AnnData:
    """Name the thumbnail after the section, and give it the keys that plots look for.

    HEST-1k calls it ``ST`` and has ``downscaled_fullres`` alone.
    """
    spatial = adata.uns.get(SpatialKey.SPATIAL) or {}
    if name not in spatial and len(spatial) == 1:
        spatial = {name: next(iter(spatial.values()))}
    for entry in spatial.values():
        images = entry.get(SpatialKey.IMAGES, {})
        factors = entry.get(SpatialKey.SCALEFACTORS, {})
        if SpatialKey.DOWNSCALED not in images:
            continue
        for key in (SpatialKey.HIRES, SpatialKey.LOWRES):
            if key not in images:
                images[key.value] = images[SpatialKey.DOWNSCALED]
                factors[f"tissue_{key.value}_scalef"] = factors[
                    f"tissue_{SpatialKey.DOWNSCALED.value}_scalef"
                ]
    adata.uns[SpatialKey.SPATIAL.value] = spatial
    return adata


def _check_saved(place: HestPlace, ours: dict[str, Any] | None, section: Section) -> None:
    if ours is None:
        return
    if ours["content_hash"] != section.content_hash:
        raise InputError(
            place.counts,
            "its barcodes, genes or counts are not those that were saved",
            found=f"content {section.content_hash[:12]}",
            expected=str(ours["content_hash"])[:12],
            remedy="read the section from its raw files again",
        )
