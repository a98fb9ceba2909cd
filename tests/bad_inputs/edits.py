"""Ways to spoil a file."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np


def text(path: Path, change: Callable[[str], str]) -> None:
    """Change a text file, plain or gzipped."""
    if path.suffix == ".gz":
        path.write_bytes(
            gzip.compress(change(gzip.decompress(path.read_bytes()).decode()).encode())
        )
    else:
        path.write_text(change(path.read_text(encoding="utf-8")), encoding="utf-8")


def rows(path: Path, change: Callable[[list[list[str]]], list[list[str]]], sep: str = "\t") -> None:
    """Change a table as rows of fields, the header among them."""

    def changed(content: str) -> str:
        table = [line.split(sep) for line in content.splitlines()]
        return "\n".join(sep.join(fields) for fields in change(table)) + "\n"

    text(path, changed)


def cell(path: Path, row: int, column: int, value: str, sep: str = "\t") -> None:
    """Write ``value`` into one cell; row 0 is the header."""

    def changed(table: list[list[str]]) -> list[list[str]]:
        table[row][column] = value
        return table

    rows(path, changed, sep)


def truncate(path: Path, share: float = 0.5) -> None:
    """Keep the first part of a file."""
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])


def empty(path: Path) -> None:
    """Leave nothing in a file."""
    path.write_bytes(b"")


def json_value(path: Path, key: str, value: Any) -> None:
    """Set one key of a JSON object; ``...`` deletes it."""
    content = json.loads(path.read_text(encoding="utf-8"))
    if value is ...:
        del content[key]
    else:
        content[key] = value
    path.write_text(json.dumps(content), encoding="utf-8")


def h5_value(path: Path, key: str, value: Any) -> None:
    """Replace a data set of an HDF5 file; ``...`` deletes it."""
    with h5py.File(path, "r+") as file:
        del file[key]
        if value is not ...:
            file[key] = value


def h5_changed(path: Path, key: str, change: Callable[[np.ndarray], np.ndarray]) -> None:
    """Replace a data set of an HDF5 file by a change of itself."""
    with h5py.File(path, "r") as file:
        value = file[key][()]
    h5_value(path, key, change(value))
