"""The two tables of a legacy section, and the scale that they imply."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from c2lst.data.lattice import fit_lattice
from c2lst.data.readers.constants import LegacyColumn
from c2lst.data.readers.names import unique_names
from c2lst.data.readers.tables import numbers, read_header, read_table
from c2lst.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

PITCH_1K_UM = 200.0
"""Distance of neighbouring spots on the array of about 1,000 spots, a square grid."""

PITCH_2K_UM = 141.0
"""The same on the array of about 2,000 spots, whose grid is filled like a chessboard."""

_LATTICE_TOLERANCE = 0.25


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
            remedy="give a spot file, separated by tabs",
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
                remedy="correct the row",
            )
    wrong = ~table[LegacyColumn.SELECTED].isin([0, 1]).to_numpy()
    if wrong.any():
        raise InputError(
            path,
            f"{lines[wrong][0]}, column 'selected' is no choice",
            found=table[LegacyColumn.SELECTED].to_numpy()[wrong][0],
            expected="0 or 1",
            remedy="correct the row",
        )
    twice = table.duplicated([LegacyColumn.X, LegacyColumn.Y]).to_numpy()
    if twice.any():
        row = table[twice].iloc[0]
        raise InputError(
            path,
            f"{twice.sum()} array positions are listed twice",
            found=f"{row[LegacyColumn.X]:.0f}x{row[LegacyColumn.Y]:.0f}",
            expected="each once",
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
            found=repr(str(wrong)),
            expected="names such as '10x13'",
            remedy="transpose the table: spots are rows"
            if turned > len(names) / 2
            else "name each row after the x and y of its spot",
        )
    values, counts = np.unique(barcodes, return_counts=True)
    if (counts > 1).any():
        raise InputError(
            path,
            f"{(counts > 1).sum()} spots have several rows",
            found=repr(str(values[counts > 1][0])),
            expected="one row for each spot",
            remedy="keep the right one",
        )
    matrix = numbers(table.iloc[:, 1:], path, barcodes)
    _check_raw(path, matrix, barcodes, names)
    return barcodes, unique_names(path, names), matrix


def _check_raw(path: Path, matrix: np.ndarray, barcodes: np.ndarray, names: list[str]) -> None:
    for wrong, problem in ((matrix < 0, "negative"), (matrix != np.rint(matrix), "fractional")):
        if wrong.any():
            row, column = np.argwhere(wrong)[0]
            raise InputError(
                path,
                f"spot {str(barcodes[row])!r}, gene {names[column]!r}: the count is {problem}",
                found=matrix[row, column],
                expected="raw counts, whole and not negative",
                remedy="give the table before any normalisation",
            )


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
            remedy="give the spot file of the whole array",
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
