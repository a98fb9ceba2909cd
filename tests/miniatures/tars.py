"""Tar archives made member by member, honest and malicious."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable
from pathlib import Path


def member(name: str, content: bytes = b"", **header: object) -> tuple[tarfile.TarInfo, bytes]:
    """A member whose header may say anything."""
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for key, value in header.items():
        setattr(info, key, value)
    return info, content


def write_tar(
    path: Path, members: Iterable[tuple[tarfile.TarInfo, bytes]], mode: str = "w"
) -> Path:
    """Write members as they are, whatever their headers say."""
    with tarfile.open(path, mode) as tar:
        for info, content in members:
            tar.addfile(info, io.BytesIO(content))
    return path


def tar_of(path: Path, files: dict[str, bytes], mode: str = "w") -> Path:
    """Write plain files."""
    return write_tar(path, [member(name, content) for name, content in files.items()], mode)


def split_file(path: Path, parts: int, numbers: Iterable[str] | None = None) -> list[Path]:
    """Cut a file into ``name.00``, ``name.01``, … as `split` does; the file itself is removed."""
    content = path.read_bytes()
    step = -(-len(content) // parts)
    names = list(numbers or (f"{number:02d}" for number in range(parts)))
    written = []
    for number, name in enumerate(names):
        part = path.with_name(f"{path.name}.{name}")
        part.write_bytes(content[number * step : (number + 1) * step])
        written.append(part)
    path.unlink()
    return written
