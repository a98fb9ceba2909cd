"""Legacy Spatial Transcriptomics: an image, a count table and a spot file.

Two dialects are known. her2st lists the spots under the tissue, with gene symbols; the mouse
olfactory bulb of STUtility lists all array positions with ``selected`` 0 or 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from c2lst.data.assembly import assemble, check_patch_request
from c2lst.data.image import IMAGE_SUFFIXES
from c2lst.data.lattice import fit_lattice
from c2lst.data.raw import RawSection, ReadRequest
from c2lst.data.readers.constants import (
    LEGACY_COUNT_FILES,
    LEGACY_SPOT_FILES,
    LegacyColumn,
)
from c2lst.data.readers.tables import numbers, read_header, read_table
from c2lst.errors import InputError
from c2lst.progress import logger

if TYPE_CHECKING:
    import pandas as pd

    from c2lst.data.section import Section

TECHNOLOGY = "Spatial Transcriptomics"

SPOT_UM = 100.0
"""Diameter of a spot of both array types."""

PITCH_1K_UM = 200.0
"""Distance of neighbouring spots on the array of about 1,000 spots, a square grid."""

PITCH_2K_UM = 141.0
"""The same on the array of about 2,000 spots, whose grid is filled like a chessboard."""

_LATTICE_TOLERANCE = 0.25


@dataclass(frozen=True)
class LegacyFiles:
    """Files of one legacy section."""

    section: str
    image: Path
    counts: Path
    spots: Path


def locate(source: Path, section: str | None = None) -> LegacyFiles:
    """Find the files of one section.

    Parameters
    ----------
    source
        A folder of sections, one of its files, or folder and section as one path.
    section
        Which section; needed only where there are several.

    Raises
    ------
    InputError
        If there is none, or several and none is chosen, or a file of it is missing.
    """
    folder, named = _folder_and_section(source)
    section = section or named
    complete, partial = _sections(folder)
    if section is not None:
        if section in complete:
            return complete[section]
        known = ", ".join(sorted(complete)) or "none"
        raise InputError(
            folder,
            f"section {section!r} "
            + (f"lacks {partial[section]}" if section in partial else "is not here"),
            found=f"complete sections: {known}",
            expected=_expected(section),
        )
    if len(complete) == 1:
        return next(iter(complete.values()))
    if complete:
        raise InputError(
            folder,
            "holds several sections",
            found=", ".join(sorted(complete)),
            remedy=f"choose one with section=, such as {sorted(complete)[0]!r}",
        )
    some = sorted(partial)
    raise InputError(
        folder,
        "holds no readable section",
        found=f"{some[0]} lacks {partial[some[0]]}" if some else "no image",
        expected=_expected(some[0] if some else "C3"),
    )


def read_legacy(files: LegacyFiles, request: ReadRequest) -> Section:
    """Read a legacy section.

    Spots that are not selected, have no counts, or none above zero are dropped with a message.

    Parameters
    ----------
    files
        The files.
    request
        How it is to be read.

    Raises
    ------
    InputError
        If a file is damaged, or the files do not fit together.
    """
    check_patch_request(request.patch_um, request.size)
    spots = read_spots(files.spots)
    derived, pitch_um = read_scale(spots, files.spots)
    barcodes, genes, counts = read_counts(files.counts)
    chosen, rows = _join(files, spots, barcodes, counts)
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
        ),
        request,
    )


def read_spots(path: Path) -> pd.DataFrame:
    """Read a spot file; all rows, also those that are not selected.

    Returns
    -------
    Columns ``x, y`` (int), ``new_x, new_y, pixel_x, pixel_y`` (float), ``selected`` (bool).
    """
    header = read_header(path)
    optional = (LegacyColumn.SELECTED, LegacyColumn.NEW_X, LegacyColumn.NEW_Y)
    missing = [c.value for c in LegacyColumn if c not in header and c not in optional]
    if missing:
        raise InputError(
            path,
            f"column {missing[0]!r} is missing",
            found=", ".join(header[:10]),
            expected=", ".join(LegacyColumn),
        )
    table = read_table(path, header)
    table = table[[column for column in LegacyColumn if column in header]]
    lines = np.array([f"line {number}" for number in range(2, len(table) + 2)])
    numbers(table, path, lines)  # refuses cells that are no numbers
    table = table.astype(np.float64)
    if LegacyColumn.NEW_X not in table or LegacyColumn.NEW_Y not in table:
        table[LegacyColumn.NEW_X] = table[LegacyColumn.X]
        table[LegacyColumn.NEW_Y] = table[LegacyColumn.Y]
    if LegacyColumn.SELECTED not in table:
        table[LegacyColumn.SELECTED] = 1.0
    _check_spots(table, path, lines)
    return table.astype({LegacyColumn.X: int, LegacyColumn.Y: int, LegacyColumn.SELECTED: bool})


def _check_spots(table: pd.DataFrame, path: Path, lines: np.ndarray) -> None:
    for column in (LegacyColumn.X, LegacyColumn.Y):
        wrong = (table[column] != table[column].round()).to_numpy()
        if wrong.any():
            raise InputError(
                path,
                f"{lines[wrong][0]}, column {column.value!r} is no array position",
                found=table[column].to_numpy()[wrong][0],
                expected="a whole number",
            )
    wrong = ~table[LegacyColumn.SELECTED].isin([0, 1]).to_numpy()
    if wrong.any():
        raise InputError(
            path,
            f"{lines[wrong][0]}, column 'selected' is no choice",
            found=table[LegacyColumn.SELECTED].to_numpy()[wrong][0],
            expected="0 or 1",
        )
    twice = table.duplicated([LegacyColumn.X, LegacyColumn.Y]).to_numpy()
    if twice.any():
        row = table[twice].iloc[0]
        raise InputError(
            path,
            f"{twice.sum()} array positions are listed twice",
            found=f"{row[LegacyColumn.X]:.0f}x{row[LegacyColumn.Y]:.0f}",
            remedy="keep one row for each position",
        )


def read_counts(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Read a count table, spots x genes, with rows named like ``10x13``.

    Returns
    -------
    Barcodes (n,), gene names (G,), counts float64 (n, G).

    Repeated spots are refused: nothing says which one is right. Repeated gene names are kept
    apart under new names, since they are different genes that share a symbol.
    """
    header = read_header(path)
    # Some writers leave the corner of the table empty, some leave it out.
    names = header[1:] if header[0] == "" else header
    table = read_table(path, ["spot", *names])
    barcodes = table["spot"].astype(str).to_numpy(dtype=str)
    pattern = r"\d+x\d+"
    if not table["spot"].astype(str).str.fullmatch(pattern).all():
        wrong = barcodes[~table["spot"].astype(str).str.fullmatch(pattern).to_numpy()][0]
        turned = sum("x" in name and name.replace("x", "").isdigit() for name in names)
        raise InputError(
            path,
            "a row is not named after an array position",
            found=repr(wrong),
            expected="names such as '10x13'",
            remedy="transpose the table: spots are rows" if turned > len(names) / 2 else None,
        )
    values, counts = np.unique(barcodes, return_counts=True)
    if (counts > 1).any():
        raise InputError(
            path,
            f"{(counts > 1).sum()} spots have several rows",
            found=repr(values[counts > 1][0]),
            expected="one row for each spot",
        )
    matrix = numbers(table.iloc[:, 1:], path, barcodes)
    _check_raw(path, matrix, barcodes, names)
    return barcodes, _unique_names(path, names), matrix


def _check_raw(path: Path, matrix: np.ndarray, barcodes: np.ndarray, names: list[str]) -> None:
    for wrong, problem in ((matrix < 0, "negative"), (matrix != np.rint(matrix), "fractional")):
        if wrong.any():
            row, column = np.argwhere(wrong)[0]
            raise InputError(
                path,
                f"spot {barcodes[row]!r}, gene {names[column]!r}: the count is {problem}",
                found=matrix[row, column],
                expected="raw counts, whole and not negative",
                remedy="give the table before any normalisation",
            )


def _unique_names(path: Path, names: list[str]) -> np.ndarray:
    if len(set(names)) == len(names):
        return np.array(names, dtype=str)
    taken, unique, renamed = set(names), [], 0
    seen: set[str] = set()
    for name in names:
        candidate, number = name, 1
        while candidate in seen or (candidate != name and candidate in taken):
            candidate, number = f"{name}-{number}", number + 1
        renamed += candidate != name
        seen.add(candidate)
        unique.append(candidate)
    logger.warning("%s: %d repeated gene names were made unique, such as X-1", path, renamed)
    return np.array(unique, dtype=str)


def read_scale(spots: pd.DataFrame, path: Path) -> tuple[float, float]:
    """Derive µm per px and the pitch in µm from array and pixel coordinates.

    The square array of about 1,000 spots has a pitch of 200 µm; that of about 2,000 spots is
    filled like a chessboard and has one of 141 µm (both as in STUtility).

    Raises
    ------
    InputError
        If the positions lie on one line, or pixels and array disagree.
    """
    lattice = fit_lattice(
        spots[[LegacyColumn.NEW_X, LegacyColumn.NEW_Y]].to_numpy(np.float64),
        spots[[LegacyColumn.PIXEL_X, LegacyColumn.PIXEL_Y]].to_numpy(np.float64),
        spots[[LegacyColumn.X, LegacyColumn.Y]].to_numpy(np.int64),
    )
    if lattice is None:
        raise InputError(
            path,
            "µm/px cannot be derived: the positions do not span the array",
            found=f"{len(spots)} positions",
            expected="three or more, not on one line",
        )
    if lattice.residual_px > _LATTICE_TOLERANCE * lattice.unit_px:
        raise InputError(
            path,
            "pixel and array coordinates disagree",
            found=f"a median distance of {lattice.residual_px:.0f} px",
            expected=f"below a quarter of an array unit ({lattice.unit_px / 4:.0f} px)",
            remedy="check that pixel_x, pixel_y and x, y are of the same spots",
        )
    pitch_um = PITCH_2K_UM if lattice.chessboard else PITCH_1K_UM
    return pitch_um / lattice.pitch_px, pitch_um


def _join(
    files: LegacyFiles, spots: pd.DataFrame, barcodes: np.ndarray, counts: np.ndarray
) -> tuple[pd.DataFrame, np.ndarray]:
    """Return the selected spots that have counts, and their rows in the count table."""
    import pandas as pd

    chosen = spots[spots[LegacyColumn.SELECTED]]
    keys = [f"{x}x{y}" for x, y in zip(chosen[LegacyColumn.X], chosen[LegacyColumn.Y], strict=True)]
    rows = pd.Index(barcodes).get_indexer(pd.Index(keys))
    absent = rows < 0
    empty = ~absent & (counts.sum(axis=1)[rows] == 0)
    kept = ~absent & ~empty
    if not kept.any():
        raise InputError(
            files.counts,
            "no selected spot has counts",
            found=f"rows such as {barcodes[0]!r}",
            expected=f"rows such as {keys[0]!r}" if keys else "a spot with selected = 1",
            remedy=f"check that {files.spots.name} belongs to it",
        )
    others = int((~spots[LegacyColumn.SELECTED]).sum())
    logger.info(
        "%s: %d spots; dropped: %d not selected, %d without a row of counts, %d with no count "
        "above zero", files.section, kept.sum(), others, absent.sum(), empty.sum(),
    )  # fmt: skip
    return chosen[kept], rows[kept]


def _folder_and_section(source: Path) -> tuple[Path, str | None]:
    if source.is_dir():
        return source, None
    folder = source.parent
    if not folder.is_dir():
        raise InputError(source, "no such file or folder")
    complete, partial = _sections(folder)
    for section in sorted({*complete, *partial}):
        if source.name == section:
            return folder, section
        if section in complete and source in (
            complete[section].image,
            complete[section].counts,
            complete[section].spots,
        ):
            return folder, section
    if source.exists():
        raise InputError(
            source,
            "belongs to no readable section",
            found=", ".join(f"{name} lacks {what}" for name, what in sorted(partial.items()))
            or f"sections: {', '.join(sorted(complete)) or 'none'}",
            expected=_expected("C3"),
        )
    raise InputError(
        source,
        "no such file or folder",
        found=f"sections in {folder}: {', '.join(sorted(complete)) or 'none'}",
    )


def _sections(folder: Path) -> tuple[dict[str, LegacyFiles], dict[str, str]]:
    """Complete sections of a folder, and what the others lack."""
    complete: dict[str, LegacyFiles] = {}
    partial: dict[str, str] = {}
    images = {p.stem: p for p in sorted(folder.iterdir()) if p.suffix.lower() in IMAGE_SUFFIXES}
    for section in sorted(set(images) | _count_sections(folder)):
        counts = _first(folder, LEGACY_COUNT_FILES, section)
        spots = _first(folder, LEGACY_SPOT_FILES, section)
        lacking = [
            what
            for what, path in (
                ("the image", images.get(section)),
                ("the counts", counts),
                ("the spot file", spots),
            )
            if path is None
        ]
        if counts is not None and spots is not None and section in images:
            complete[section] = LegacyFiles(section, images[section], counts, spots)
        elif len(lacking) < 3:
            partial[section] = " and ".join(lacking)
    return complete, partial


def _count_sections(folder: Path) -> set[str]:
    """Names of tables that have a spot file beside them, with or without an image."""
    names = {p.name.removesuffix(".gz").removesuffix(".tsv") for p in folder.glob("*.tsv*")}
    return {name for name in names if _first(folder, LEGACY_SPOT_FILES, name) is not None}


def _first(folder: Path, patterns: tuple[str, ...], section: str) -> Path | None:
    candidates = (folder / pattern.format(section=section) for pattern in patterns)
    return next((path for path in candidates if path.is_file()), None)


def _expected(section: str) -> str:
    return f"{section}.jpg, {section}.tsv.gz and {section}_selection.tsv"
