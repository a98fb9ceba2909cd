"""Legacy Spatial Transcriptomics: an image, a count table and a spot file.

Two dialects are known. her2st lists the spots under the tissue, with gene symbols; the mouse
olfactory bulb of STUtility lists all array positions with ``selected`` 0 or 1.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from c2lst.data.assembly import assemble, check_patch_request
from c2lst.data.image import SLIDE_SUFFIXES
from c2lst.data.raw import RawSection, ReadRequest
from c2lst.data.readers.constants import (
    LEGACY_COUNT_FILES,
    LEGACY_SPOT_FILES,
    LegacyColumn,
)
from c2lst.data.readers.legacy_tables import read_counts, read_scale, read_spots
from c2lst.errors import InputError
from c2lst.progress import logger
from c2lst.storage import is_litter

if TYPE_CHECKING:
    import pandas as pd

    from c2lst.data.section import Section

NAME = "legacy"
TITLE = "legacy Spatial Transcriptomics"
HAS_BINS = False
LOOKS_FOR = (
    "an image such as C3.jpg, counts C3.tsv or C3.tsv.gz, and a spot file C3_selection.tsv, "
    "alignment_table_C3.tsv or spot_data-selection-C3.tsv"
)
TECHNOLOGY = "Spatial Transcriptomics"

SPOT_UM = 100.0
"""Diameter of a spot of both array types."""


@dataclass(frozen=True)
class LegacyFiles:
    """Files of one legacy section; none where one is missing."""

    section: str
    image: Path | None
    counts: Path | None
    spots: Path | None

    @property
    def there(self) -> list[Path]:
        """The files that are there."""
        return [path for path in (self.image, self.counts, self.spots) if path is not None]

    def lacks(self) -> str:
        """Say what is missing; nothing where it is complete."""
        named = {"the image": self.image, "the counts": self.counts, "the spot file": self.spots}
        return " and ".join(what for what, path in named.items() if path is None)


def recognise(source: Path, section: str | None) -> str | None:
    """Say why ``source`` is legacy Spatial Transcriptomics; none if it is not."""
    found = _sections(source)
    if not found:
        return None
    files = found[section] if section in found else next(iter(found.values()))
    return f"it has {', '.join(path.name for path in files.there)}"


def locate(source: Path, section: str | None = None, image: Path | None = None) -> LegacyFiles:
    """Find the files of one section.

    Parameters
    ----------
    source
        A folder of sections, or one of its files.
    section
        Which section; needed only where there are several.
    image
        The image, where it lies elsewhere.

    Raises
    ------
    InputError
        If there are several and none is chosen, it is not there, or a file of it is missing.
    """
    found = _sections(source)
    if section is None and len(found) == 1:
        section = next(iter(found))
    if section not in found:
        raise InputError(
            source,
            "holds several sections" if section is None else f"section {section!r} is not here",
            found=", ".join(sorted(found)) or "no section",
            expected="the name of one" if section is None else _expected(section),
            remedy=f"choose one with --section, such as {min(found)!r}"
            if found
            else "give the folder that holds these files",
        )
    files = found[section]
    if image is not None:
        files = replace(files, image=image)
    if files.lacks():
        raise InputError(
            source,
            f"section {section!r} lacks {files.lacks()}",
            found=", ".join(path.name for path in files.there),
            expected=_expected(section),
            remedy="copy it here, under this name"
            + (", or give it with --image" if files.image is None else ""),
        )
    return files


def read(source: Path, request: ReadRequest) -> Section:
    """Read a legacy section.

    Spots that are not selected, have no counts, or none above zero are dropped with a message.

    Parameters
    ----------
    source
        A folder of sections, or one of its files.
    request
        How it is to be read.

    Raises
    ------
    InputError
        If a file is missing or damaged, or the files do not fit together.
    """
    check_patch_request(request.patch_um, request.size)
    files = locate(source, request.section, request.image)
    assert files.image is not None and files.counts is not None and files.spots is not None
    spots = read_spots(files.spots)
    derived, pitch_um = read_scale(spots, files.spots)
    barcodes, genes, counts = read_counts(files.counts)
    chosen, rows, dropped = _join(files, spots, barcodes, counts)
    return assemble(
        RawSection(
            name=files.section,
            technology=TECHNOLOGY,
            counts=counts[rows],
            barcodes=barcodes[rows],
            genes=genes,
            array_row=chosen[LegacyColumn.Y].to_numpy(),
            array_col=chosen[LegacyColumn.X].to_numpy(),
            centres_px=chosen[[LegacyColumn.PIXEL_X, LegacyColumn.PIXEL_Y]].to_numpy(np.float64),
            image_path=files.image,
            pitch_um=pitch_um,
            spot_um=SPOT_UM,
            mpp_pitch=derived,
            places_file=files.spots,
            dropped=dropped,
        ),
        request,
    )


def _join(
    files: LegacyFiles, spots: pd.DataFrame, barcodes: np.ndarray, counts: np.ndarray
) -> tuple[pd.DataFrame, np.ndarray, dict[str, int]]:
    """Return the selected spots that have counts, their rows of counts, and what was dropped."""
    import pandas as pd

    chosen = spots[spots[LegacyColumn.SELECTED]]
    keys = [f"{x}x{y}" for x, y in zip(chosen[LegacyColumn.X], chosen[LegacyColumn.Y], strict=True)]
    rows = pd.Index(barcodes).get_indexer(pd.Index(keys))
    absent = rows < 0
    empty = ~absent & (counts.sum(axis=1)[rows] == 0)
    kept = ~absent & ~empty
    if not kept.any():
        raise InputError(
            files.counts or files.section,
            "no selected spot has counts",
            found=f"rows such as {str(barcodes[0])!r}",
            expected=f"rows such as {keys[0]!r}" if keys else "a spot with selected = 1",
            remedy=f"check that {files.spots} belongs to it",
        )
    dropped = {
        "not selected": int((~spots[LegacyColumn.SELECTED]).sum()),
        "without a row of counts": int(absent.sum()),
        "with no count above zero": int(empty.sum()),
    }
    listed = ", ".join(f"{number} {why}" for why, number in dropped.items())
    logger.info("%s: %d spots; dropped: %s", files.section, kept.sum(), listed)
    return chosen[kept], rows[kept], dropped


def _sections(source: Path) -> dict[str, LegacyFiles]:
    """Sections by name that have two files or all three; those of ``source`` if it is a file."""
    folder = source if source.is_dir() else source.parent
    there = [path for path in sorted(folder.iterdir()) if not is_litter(path)]
    images = {path.stem: path for path in there if path.suffix.lower() in SLIDE_SUFFIXES}
    tables = {
        path.name.removesuffix(".gz").removesuffix(".tsv") for path in there if ".tsv" in path.name
    }
    found = {}
    for name in sorted(set(images) | tables):
        counts, spots = (
            _first(folder, files, name) for files in (LEGACY_COUNT_FILES, LEGACY_SPOT_FILES)
        )
        files = LegacyFiles(name, images.get(name), counts, spots)
        if len(files.there) > 1 and (source.is_dir() or source in files.there):
            found[name] = files
    return found


def _first(folder: Path, patterns: tuple[str, ...], section: str) -> Path | None:
    candidates = (folder / pattern.format(section=section) for pattern in patterns)
    return next((path for path in candidates if path.is_file()), None)


def _expected(section: str) -> str:
    return f"{section}.jpg, {section}.tsv.gz and {section}_selection.tsv"
