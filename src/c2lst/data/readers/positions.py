"""Space Ranger's tissue positions: where each barcode is, on the array and on the image."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from c2lst.data.readers.constants import PositionColumn
from c2lst.data.readers.packed import opened_text
from c2lst.data.readers.tables import numbers
from c2lst.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

_AGAIN = "copy the file again, as Space Ranger wrote it"
_COLUMNS = [column.value for column in PositionColumn]
_NUMBERS = _COLUMNS[1:]
_FARTHEST_PX = 1e7


@dataclass(frozen=True, eq=False)
class Places:
    """Where the barcodes of an array are.

    Parameters
    ----------
    path
        Their file.
    barcodes
        str (n,), unique.
    in_tissue
        bool (n,).
    array_row, array_col
        Places on the array, int (n,); each pair once.
    centres_px
        float64 (n, 2) centres as (x, y) in full-resolution px. Row is y and column is x.
    header
        Whether the file names its columns.
    """

    path: Path
    barcodes: np.ndarray
    in_tissue: np.ndarray
    array_row: np.ndarray
    array_col: np.ndarray
    centres_px: np.ndarray
    header: bool

    def __len__(self) -> int:
        return len(self.barcodes)

    @property
    def array(self) -> np.ndarray:
        """Places on the array as (column, row), int (n, 2)."""
        return np.stack([self.array_col, self.array_row], axis=1)


def read_positions(path: Path) -> Places:
    """Read ``tissue_positions.csv``, ``tissue_positions_list.csv`` or ``….parquet``.

    Whether there is a header is seen from the content: real files break the rule of their names
    both ways, and a header that is assumed costs the first spot.

    Raises
    ------
    InputError
        If the file is missing, damaged or empty, a column is missing, a value is none, or a
        barcode or array position is repeated.
    """
    if path.suffix == ".parquet":
        table, header = _read_parquet(path), True
    else:
        table, header = _read_csv(path)
    barcodes = table[PositionColumn.BARCODE].to_numpy()
    values = numbers(table[_NUMBERS], path, barcodes)
    _check(path, barcodes, values)
    in_tissue, row, col, y, x = values.T
    return Places(
        path=path,
        barcodes=barcodes,
        in_tissue=in_tissue == 1,
        array_row=row.astype(np.int64),
        array_col=col.astype(np.int64),
        centres_px=np.stack([x, y], axis=1),
        header=header,
    )


def _read_csv(path: Path) -> tuple[pd.DataFrame, bool]:
    import pandas as pd

    with opened_text(path) as lines:
        try:
            rows = [row for row in csv.reader(lines) if row]
        except csv.Error as error:
            raise InputError(
                path, "is no table separated by commas", found=error, remedy=_AGAIN
            ) from error
    header = bool(rows) and _is_header(rows[0])
    columns = [name.strip() for name in rows.pop(0)] if header else _COLUMNS
    _check_columns(path, columns)
    if not rows:
        raise InputError(
            path, "has no spots", found="0 rows", expected="a row a spot", remedy=_AGAIN
        )
    for number, row in enumerate(rows, 1 + header):
        if len(row) != len(columns):
            raise InputError(
                path,
                f"row {number} has the wrong number of fields",
                found=f"{len(row)}: {','.join(row)[:60]!r}",
                expected=f"{len(columns)}, separated by commas",
                remedy=_AGAIN,
            )
    return pd.DataFrame(rows, columns=columns), header


def _is_header(fields: list[str]) -> bool:
    """Whether the first line names columns: no number is in it."""
    return PositionColumn.BARCODE in fields or not any(map(_is_number, fields[1:]))


def _is_number(field: str) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True


def _read_parquet(path: Path) -> pd.DataFrame:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            _check_columns(path, file.schema_arrow.names)
            table = file.read(columns=_COLUMNS)
            barcodes = table.column(PositionColumn.BARCODE).cast(pa.string()).to_numpy()
            values = table.select(_NUMBERS).to_pandas()
    except (OSError, pa.ArrowException) as error:
        raise InputError(
            path,
            "is no readable Parquet file",
            found=error,
            expected="the bins' positions",
            remedy=_AGAIN,
        ) from error
    if len(barcodes) == 0:
        raise InputError(path, "has no bins", found="0 rows", expected="a row a bin", remedy=_AGAIN)
    values.insert(0, PositionColumn.BARCODE.value, barcodes)
    return values


def _check_columns(path: Path, columns: list[str]) -> None:
    missing = [column.value for column in PositionColumn if column not in columns]
    repeated = [column.value for column in PositionColumn if columns.count(column) > 1]
    if missing or repeated:
        raise InputError(
            path,
            f"column {missing[0]!r} is missing"
            if missing
            else f"column {repeated[0]!r} is there twice",
            found=", ".join(columns)[:120],
            expected=", ".join(PositionColumn),
            remedy=_AGAIN,
        )


def _check(path: Path, barcodes: np.ndarray, values: np.ndarray) -> None:
    import pandas as pd

    array, pixels = values[:, 1:3], values[:, 3:]
    position = pd.Index(array @ [4 * _FARTHEST_PX, 1.0])
    for wrong, problem, shown, expected in (
        (pd.isna(barcodes) | (barcodes == ""), "has no barcode", barcodes, "a barcode"),
        (pd.Index(barcodes).duplicated(), "is listed twice", barcodes, "each barcode once"),
        (~np.isin(values[:, 0], (0, 1)), "column 'in_tissue' is no flag", values[:, 0], "0 or 1"),
        (
            ((array != np.rint(array)) | (array < 0) | (array > _FARTHEST_PX)).any(axis=1),
            "its place on the array is none",
            array,
            "whole numbers for array_row, array_col",
        ),
        (position.duplicated(), "shares its array position", array, "each position once"),
        (
            (np.abs(pixels) > _FARTHEST_PX).any(axis=1),
            "lies on no image",
            pixels,
            f"pixels below {_FARTHEST_PX:.0e}",
        ),
    ):
        if wrong.any():
            first = int(np.argmax(wrong))
            raise InputError(
                path,
                f"barcode {str(barcodes[first])!r} {problem}",
                found=f"{np.asarray(shown[first]).tolist()!r}, {int(wrong.sum())} such rows",
                expected=expected,
                remedy=_AGAIN,
            )
    if not (values[:, 0] == 1).any():
        raise InputError(
            path,
            "no spot lies in tissue",
            found=f"{len(values)} rows with in_tissue 0",
            expected="in_tissue 1 where the tissue is",
            remedy="run Space Ranger's tissue detection again",
        )
