"""Files that may be gzipped, whatever they are called."""

from __future__ import annotations

import gzip
import io
import json
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from c2lst.errors import InputError

_DAMAGED = (OSError, EOFError, zlib.error, UnicodeDecodeError)
_GZIP = b"\x1f\x8b"

UTF8 = "utf-8-sig"
"""Encoding of text: UTF-8, less the mark that spreadsheets begin their files with."""


@contextmanager
def opened_bytes(path: Path) -> Iterator[IO[bytes]]:
    """Open a plain or gzipped file for reading.

    Raises
    ------
    InputError
        If the file is missing, empty, or turns out to be damaged while it is read.
    """
    if not path.is_file():
        raise InputError(
            path, "is missing", expected="a plain or gzipped file", remedy="check the path"
        )
    if path.stat().st_size == 0:
        raise InputError(path, "the file is empty", found="0 bytes", remedy="copy it again")
    try:
        with path.open("rb") as file:
            zipped = file.read(2) == _GZIP
        with gzip.open(path) if zipped else path.open("rb") as stream:
            yield stream  # type: ignore[misc]
    except _DAMAGED as error:
        raise InputError(
            path, "the file is damaged", found=error, remedy="copy it again"
        ) from error


def bytes_read(stream: IO[bytes]) -> int:
    """Bytes of the file, packed as it is, that were read so far."""
    return int(getattr(stream, "fileobj", stream).tell())


@contextmanager
def opened_text(path: Path) -> Iterator[IO[str]]:
    """Open a plain or gzipped UTF-8 file for reading; see ``opened_bytes``."""
    with opened_bytes(path) as stream, io.TextIOWrapper(stream, UTF8, newline="") as text:
        yield text


def read_packed_json(path: Path) -> dict[str, Any]:
    """Read a JSON object from a plain or gzipped file.

    Raises
    ------
    InputError
        If the file is missing, damaged, or no JSON object.
    """
    with opened_text(path) as stream:
        text = stream.read()
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(
            path, "is not readable JSON", found=error, remedy="copy it again"
        ) from error
    if not isinstance(value, dict):
        raise InputError(
            path,
            "wrong JSON",
            found=type(value).__name__,
            expected="an object",
            remedy="copy the file again, as it was written",
        )
    return value


def read_length(path: Path, values: dict[str, Any], key: str) -> float:
    """Value of ``key``, which must be a number above 0.

    Raises
    ------
    InputError
        If it is missing or no such number.
    """
    value = values.get(key)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 1e6:
        raise InputError(
            path,
            f"key '{key}' is missing" if key not in values else f"key '{key}' is no length",
            found=", ".join(sorted(values)[:12]) or "no keys" if key not in values else repr(value),
            expected="a number above 0",
            remedy="copy the file again, as it was written",
        )
    return float(value)
