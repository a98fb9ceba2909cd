"""The members of an archive, each checked before it is read."""

from __future__ import annotations

import io
import lzma
import re
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from c2lst.archives.stream import JoinedFiles, archive_parts, decompressed
from c2lst.errors import InputError

_CHUNK = 1 << 20
_ALWAYS_ALLOWED = 1 << 30
# Headers with long names or attributes are read whole; no honest one comes near.
_LARGEST_HEADER = 1 << 24
_INSIDE = "a path inside the archive's own folder"
_UNSAFE_LETTERS = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\\]")
_DAMAGE = (
    *(tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error),
    *(EOFError, OSError, ValueError, OverflowError, RuntimeError),
)


@dataclass(frozen=True)
class Limits:
    """How much an archive may hold before it counts as a bomb.

    Parameters
    ----------
    members
        Number of files and folders.
    member_bytes
        Size of one file.
    expansion
        Unpacked bytes for each byte of the archive; 1 GiB is always allowed.
    """

    members: int = 50_000_000
    member_bytes: int = 16 * 2**30
    expansion: int = 100


USUAL = Limits()
IN_MEMORY = Limits(member_bytes=2**30)


@dataclass(frozen=True)
class Member:
    """A file or folder of an archive, readable until the next one is asked for."""

    archive: Path
    name: str
    size: int
    is_folder: bool
    open: Callable[[], IO[bytes]]

    def chunks(self) -> Iterator[bytes]:
        """Give the content piece by piece."""
        with damage_named(self.archive, self.name), self.open() as content:
            left = self.size
            while chunk := content.read(_CHUNK):
                left -= len(chunk)
                yield chunk
            if left:
                raise EOFError(f"{self.size - left} of {self.size} bytes")


def read_members(
    path: str | Path, wanted: Callable[[str], bool] | None = None, limits: Limits = IN_MEMORY
) -> Iterator[tuple[str, bytes]]:
    """Give name and content of an archive's files, one at a time, in the archive's order.

    Parameters
    ----------
    path
        As in ``archive_parts``. Parts are read as one stream, never joined on disk.
    wanted
        Whether a file is to be read, by its name; all by default.
    limits
        What counts as a bomb.

    Raises
    ------
    InputError
        If the archive is damaged or incomplete, or holds a member that is refused: an absolute
        path, ``..``, a link, a device, a sparse file, or more than ``limits``.
    """
    for member in members(path, limits):
        if not member.is_folder and (wanted is None or wanted(member.name)):
            yield member.name, b"".join(member.chunks())


@contextmanager
def open_member(path: str | Path, name: str) -> Iterator[IO[bytes]]:
    """Open one file of an archive as a stream.

    Raises
    ------
    InputError
        If there is none of that name, or as in ``read_members``.
    """
    for member in members(path):
        if member.name == name and not member.is_folder:
            with damage_named(member.archive, name), member.open() as content:
                yield content
            return
    raise InputError(path, f"holds no file {name!r}")


def first_member(path: str | Path) -> str | None:
    """Return the name of an archive's first file; none if there is none or it is unreadable."""
    try:
        return next((member.name for member in members(path) if not member.is_folder), None)
    except InputError:
        return None


def members(
    path: str | Path, limits: Limits = USUAL, advance: Callable[[int], None] | None = None
) -> Iterator[Member]:
    """Give every member after checking its name, its kind and the limits.

    ``advance`` is told how many bytes of the archive were read.
    """
    parts = archive_parts(path)
    archive = parts[0]
    budget = max(_ALWAYS_ALLOWED, limits.expansion * sum(part.stat().st_size for part in parts))
    unpacked = 0
    with damage_named(archive), JoinedFiles(parts, advance) as stream:
        found = _zip_members if archive.suffix.lower() == ".zip" else _tar_members
        for number, member in enumerate(found(archive, stream), start=1):
            unpacked += member.size
            if number > limits.members:
                raise refused(archive, member.name, f"comes after the {limits.members:,} allowed")
            if member.size > limits.member_bytes:
                raise refused(
                    archive, member.name, "is too large",
                    found=f"{member.size:,} bytes", expected=f"at most {limits.member_bytes:,}",
                )  # fmt: skip
            if unpacked > budget:
                raise refused(
                    archive, member.name, "makes the archive unpack to too much",
                    found=f"{unpacked:,} bytes", expected=f"at most {budget:,}",
                )  # fmt: skip
            if member.name:
                yield member


def refused(archive: Path, member: str, problem: str, **details: Any) -> InputError:
    """Return the error for a member that must not be read."""
    shown = member if len(member) <= 100 else f"{member[:80]}…{member[-15:]}"
    return InputError(
        f"{archive}, member {shown!r}",
        problem,
        remedy="the archive is refused: get it from its publisher again",
        **details,
    )


@contextmanager
def damage_named(archive: Path, member: str | None = None) -> Iterator[None]:
    """Turn whatever a damaged archive raises into one line that names it."""
    try:
        yield
    except _DAMAGE as error:
        raise InputError(
            archive if member is None else f"{archive}, member {member!r}",
            "the archive is damaged or incomplete",
            found=str(error) or type(error).__name__,
            remedy="fetch it again",
        ) from error


def _checked_name(archive: Path, name: str, is_folder: bool) -> str:
    """Return the name without ``.`` and doubled slashes; refuse what is not safe everywhere."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if name.startswith(("/", "\\")) or re.match(r"[A-Za-z]:", name):
        raise refused(archive, name, "has an absolute path", expected=_INSIDE)
    if ".." in parts or "..\\" in name:
        raise refused(archive, name, "leaves the folder (..)", expected=_INSIDE)
    if _UNSAFE_LETTERS.search(name):
        raise refused(archive, name, "has a control character, a backslash or a name not in UTF-8")
    if len(name) > 4000 or any(len(part.encode()) > 255 for part in parts):
        raise refused(archive, name, "has too long a name")
    if not parts and not is_folder:
        raise refused(archive, name, "has no name")
    return "/".join(parts)


def _tar_members(archive: Path, stream: JoinedFiles) -> Iterator[Member]:
    guarded = _Guarded(decompressed(stream))
    with tarfile.open(fileobj=guarded, mode="r:") as tar:  # type: ignore[call-overload]
        reached = -1
        while (info := tar.next()) is not None:
            if info.size < 0 or tar.offset <= reached:
                raise refused(archive, info.name, "has a header that points backwards")
            reached = tar.offset
            tar.members = []  # it keeps every header: gigabytes for millions of files
            _check_kind(archive, info)
            name = _checked_name(archive, info.name, info.isdir())
            size = 0 if info.isdir() else info.size
            yield Member(archive, name, size, info.isdir(), _tar_opener(tar, info))
    # tarfile takes whatever is no header for the end, a file cut off between two members too.
    if guarded.last != bytes(tarfile.BLOCKSIZE):
        raise EOFError("no end-of-archive mark")


def _tar_opener(tar: tarfile.TarFile, info: tarfile.TarInfo) -> Callable[[], IO[bytes]]:
    return lambda: tar.extractfile(info) or io.BytesIO()


def _check_kind(archive: Path, info: tarfile.TarInfo) -> None:
    if info.issym() or info.islnk():
        raise refused(archive, info.name, "is a link", found=f"to {info.linkname[:80]!r}")
    if info.issparse():
        raise refused(archive, info.name, "is a sparse file")
    if not (info.isreg() or info.isdir()):
        raise refused(archive, info.name, "is a device or pipe", expected="files and folders")


def _zip_members(archive: Path, stream: JoinedFiles) -> Iterator[Member]:
    with zipfile.ZipFile(io.BufferedReader(stream)) as bundle:
        for info in bundle.infolist():
            kind = stat.S_IFMT(info.external_attr >> 16)
            if kind == stat.S_IFLNK:
                raise refused(archive, info.filename, "is a link")
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise refused(archive, info.filename, "is a device or pipe")
            if info.flag_bits & 1:
                raise refused(archive, info.filename, "is encrypted")
            name = _checked_name(archive, info.filename, info.is_dir())
            yield Member(archive, name, info.file_size, info.is_dir(), _zip_opener(bundle, info))


def _zip_opener(bundle: zipfile.ZipFile, info: zipfile.ZipInfo) -> Callable[[], IO[bytes]]:
    return lambda: bundle.open(info)


class _Guarded:
    """A file for ``tarfile`` that refuses reads which only a forged header asks for."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self.seek, self.tell = file.seek, file.tell
        self.last = b""

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _LARGEST_HEADER:
            raise tarfile.ReadError(f"a header asks for {size} bytes")
        self.last = self._file.read(size)
        return self.last
