"""Tab-separated tables, plain or gzipped, with every fault named by file and cell."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from c2lst.data.readers.packed import UTF8
from c2lst.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

_UNREADABLE = (OSError, EOFError, zlib.error, UnicodeDecodeError)


def read_header(path: Path) -> list[str]:
    """Return the fields of the first line.

    Raises
    ------
    InputError
        If the file is missing, empty, or not readable text.
    """
    if not path.is_file():
        raise InputError(
            path, "no such file", expected="a tab-separated table", remedy="check the path"
        )
    if path.stat().st_size == 0:
        raise InputError(path, "the file is empty", found="0 bytes", remedy="copy it again")
    try:
        with _open(path) as handle:
            line = handle.readline()
    except _UNREADABLE as error:
        raise _unreadable(path, error) from error
    if not line.strip():
        raise InputError(
            path, "the file has no header line", expected="names of columns", remedy="copy it again"
        )
    return [_unquoted(field) for field in line.rstrip("\r\n").split("\t")]


def read_table(path: Path, columns: list[str]) -> pd.DataFrame:
    """Read the rows below the header, as text where they are no numbers.

    Parameters
    ----------
    path
        The file.
    columns
        Names of its columns, left to right; all rows must have that many fields.

    Raises
    ------
    InputError
        If the file is damaged, has no rows, or its rows have another number of fields.
    """
    import pandas as pd

    try:
        with _open(path) as handle:
            table = pd.read_csv(
                handle,
                sep="\t",
                header=None,
                skiprows=1,
                index_col=False,
                low_memory=False,
                keep_default_na=False,
                na_values=["", "NA", "NaN", "nan"],
            )
    except pd.errors.EmptyDataError as error:
        raise InputError(
            path, "the file has a header but no rows", expected="rows", remedy="copy it again"
        ) from error
    except pd.errors.ParserError as error:
        raise InputError(
            path, "is no regular table", found=error, expected="the same fields in each row",
            remedy="copy it again",
        ) from error  # fmt: skip
    except _UNREADABLE as error:
        raise _unreadable(path, error) from error
    if table.shape[1] != len(columns):
        raise InputError(
            path,
            "header and rows differ in length",
            found=f"{table.shape[1]} fields a row",
            expected=f"{len(columns)} as in the header",
            remedy="check that the table is separated by tabs",
        )
    table.columns = pd.Index(columns)
    return table


def numbers(table: pd.DataFrame, path: Path, rows: np.ndarray) -> np.ndarray:
    """Values of ``table`` as float64; the first cell that is no finite number is an error.

    Parameters
    ----------
    table
        The table.
    path
        Its file.
    rows
        What to call each row in a message.

    Raises
    ------
    InputError
        If a cell is empty, no number, or not finite.
    """
    import pandas as pd

    try:
        values = table.to_numpy(dtype=np.float64)
    except (ValueError, TypeError):
        values = table.apply(pd.to_numeric, errors="coerce").to_numpy(dtype=np.float64)
    wrong = ~np.isfinite(values)
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        raise InputError(
            path,
            f"row {str(rows[row])!r}, column {table.columns[column]!r} is no finite number",
            found=repr(str(table.iat[row, column])),
            expected="a number",
            remedy="correct the cell",
        )
    return values


def _unquoted(field: str) -> str:
    """Field without the quotes that R writes around text; pandas takes them off the rows."""
    return field[1:-1] if len(field) > 1 and field[0] == field[-1] == '"' else field


def _open(path: Path):  # type: ignore[no-untyped-def]
    with path.open("rb") as handle:
        zipped = handle.read(2) == b"\x1f\x8b"
    if zipped:
        return gzip.open(path, "rt", encoding=UTF8)
    return path.open("rt", encoding=UTF8)


def _unreadable(path: Path, error: BaseException) -> InputError:
    return InputError(path, "the file is damaged", found=error, remedy="copy it again")
