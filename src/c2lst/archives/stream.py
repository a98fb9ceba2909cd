"""The bytes of an archive: its parts found, read as one file, decompressed."""

from __future__ import annotations

import bz2
import glob
import gzip
import io
import lzma
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from c2lst.errors import InputError

_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".zip")
_PART = re.compile(r"(?P<name>.+\.tar)\.(?P<number>\d{1,5}|[a-z]{2,3})")
_OTHERS = ("gz", "xz", "bz", "lz", "zst", "asc", "sig")
"""What a compressed archive, or a signature beside one, ends with, as letters of a part do."""


def is_archive(path: str | Path) -> bool:
    """Whether the name is that of a tar or zip archive, or of a part of a tar."""
    path = Path(path)
    return path.name.lower().endswith(_SUFFIXES) or _part(path) is not None


def archive_parts(path: str | Path) -> tuple[Path, ...]:
    """Return the files that make up an archive, in order.

    Parameters
    ----------
    path
        A tar or zip; one part of a tar (``name.tar.00``, ``name.tar.aa``); or ``name.tar``, where
        only its parts exist.

    Raises
    ------
    InputError
        If there is no such file, or a part is missing between others.
    """
    path = Path(path)
    part = _part(path)
    if path.is_file() and part is None:
        return (path,)
    name = path.name if part is None else part[0]
    numbered: dict[int, Path] = {}
    for candidate in sorted(path.parent.glob(glob.escape(name) + ".*")):
        if found := _part(candidate):
            if found[1] in numbered:
                raise InputError(
                    candidate, "has the number of another part", found=numbered[found[1]].name
                )
            numbered[found[1]] = candidate
    if not numbered:
        raise InputError(path, "no such archive", expected=f"{name}, or its parts {name}.00, .01")
    missing = set(range(min(1, *numbered), max(numbered))) - set(numbered)
    if missing:
        raise InputError(
            path.parent / name,
            f"part {min(missing)} of the archive is missing",
            found=", ".join(numbered[number].name for number in sorted(numbered)),
            remedy="fetch it again",
        )
    return tuple(numbered[number] for number in sorted(numbered))


def _part(path: Path) -> tuple[str, int] | None:
    """Name of the whole and number of the part: ``.00``, ``.01`` or ``.aa``, ``.ab``.

    What may be no part at all, such as ``.bz``, is one only where ``.by`` lies beside it.
    """
    found = _PART.fullmatch(path.name)
    if found is None:
        return None
    text = found["number"]
    if text.isdigit():
        return found["name"], int(text)
    before = f"{found['name']}.{text[:-1]}{chr(ord(text[-1]) - 1)}"
    if text in _OTHERS and not path.with_name(before).is_file():
        return None
    number = 0
    for letter in text:
        number = 26 * number + ord(letter) - ord("a")
    return found["name"], number


class JoinedFiles(io.RawIOBase):
    """Files read one after the other as if they were one.

    Parameters
    ----------
    paths
        The files.
    advance
        Told the number of bytes after each read.
    """

    def __init__(
        self, paths: tuple[Path, ...], advance: Callable[[int], None] | None = None
    ) -> None:
        super().__init__()
        self._files = [path.open("rb") for path in paths]
        self._sizes = [path.stat().st_size for path in paths]
        self._position = 0
        self._advance = advance

    def readable(self) -> bool:
        """Return true."""
        return True

    def seekable(self) -> bool:
        """Return true."""
        return True

    def tell(self) -> int:
        """Position in all files together, bytes."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a position in all files together."""
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: sum(self._sizes)}
        position = start[whence] + offset
        if position < 0:
            raise ValueError(f"position {position} is before the start")
        self._position = position
        return position

    def readinto(self, buffer: Any) -> int:
        """Read up to the end of the current file."""
        before = 0
        for file, size in zip(self._files, self._sizes, strict=True):
            if self._position < before + size:
                file.seek(self._position - before)
                read = file.readinto(buffer)
                self._position += read
                if self._advance is not None:
                    self._advance(read)
                return read
            before += size
        return 0

    def close(self) -> None:
        """Close all files."""
        for file in self._files:
            file.close()
        super().close()


def decompressed(stream: JoinedFiles) -> Any:
    """Return the file as it was before gzip, bzip2 or xz, told by its first bytes."""
    start = stream.read(6) or b""
    stream.seek(0)
    buffered = io.BufferedReader(stream)
    if start.startswith(b"\x1f\x8b"):
        return gzip.GzipFile(fileobj=buffered)
    if start.startswith(b"BZh"):
        return bz2.BZ2File(buffered)
    if start.startswith(b"\xfd7zXZ\x00"):
        return lzma.LZMAFile(buffered)
    return buffered
