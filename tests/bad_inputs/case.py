"""One entry of the catalogue: an input that is wrong in one way, and what must be said about it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class BadInput:
    """A malformed input.

    Parameters
    ----------
    name
        Format and fault, such as ``"visium: negative count"``.
    make
        Writes the input into an empty folder and returns the command line that reads it, without
        its output option.
    says
        What the message must name: the file, the field, what was found.
    """

    name: str
    make: Callable[[Path], list[str]]
    says: tuple[str, ...]


def fingerprint(folder: Path) -> dict[str, str]:
    """Kind, size and hash of everything below ``folder``: what must not change."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            found[name] = f"link to {path.readlink()}"
        elif path.is_file():
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
        else:
            found[name] = "folder"
    return found
