"""Readers of spatial transcriptomics: one format a file, and the choice between them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from c2lst.data.raw import ReadRequest
from c2lst.errors import InputError
from c2lst.progress import logger

if TYPE_CHECKING:
    from c2lst.data.section import Section

_SPACE_RANGER = ("filtered_feature_bc_matrix.h5", "filtered_feature_bc_matrix", "spatial")


def read(
    source: str | Path,
    *,
    section: str | None = None,
    patch_um: float = 112.0,
    size: int = 64,
    mpp: float | None = None,
) -> Section:
    """Read one section, whatever its format.

    Parameters
    ----------
    source
        A folder in the HEST-1k layout (``st/``, ``patches/``, ``metadata/``), or a folder of
        legacy Spatial Transcriptomics files (``C3.jpg``, ``C3.tsv.gz``, ``C3_selection.tsv``);
        or one of these files; or folder and section as one path, such as ``her2st/C3``.
    section
        Which section; needed only where there are several.
    patch_um
        Width of a patch in µm.
    size
        Width of a patch in px.
    mpp
        µm per full-resolution px, where the one that is derived or stated is wrong.

    Raises
    ------
    InputError
        If nothing there can be read, or it cannot be trusted; the message says what was found.
    """
    from c2lst.data.readers import hest, legacy

    source = Path(source)
    place = hest.locate(source, section)
    if place is not None:
        logger.info("%s: HEST layout (it has st/), section %s", place.directory, place.section)
        return hest.read_hest(place, patch_um=patch_um, size=size, mpp=mpp)
    if source.is_dir() and any((source / name).exists() for name in _SPACE_RANGER):
        raise InputError(
            source,
            "is Space Ranger output, which is not read yet",
            expected="a folder in the HEST layout or of legacy Spatial Transcriptomics files",
        )
    files = legacy.locate(source, section)
    logger.info(
        "%s: legacy Spatial Transcriptomics, section %s (%s, %s, %s)",
        files.image.parent, files.section, files.image.name, files.counts.name, files.spots.name,
    )  # fmt: skip
    return legacy.read_legacy(files, ReadRequest(section, None, mpp, patch_um, size))
