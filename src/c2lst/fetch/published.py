"""A file as its publisher has it, and the check whether another is the same."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from c2lst.errors import InputError

_CHUNK = 1 << 20


@dataclass(frozen=True)
class PublishedFile:
    """What a fetched file must be.

    Parameters
    ----------
    name
        Its path in the output folder.
    size
        Bytes.
    checksum
        ``sha256:…``, or ``git:…``, the id of the file in git, which the id of a commit fixes;
        none where its home gives neither and the size is all that can be checked.
    address
        Where it is fetched, if not through a library.
    """

    name: str
    size: int
    checksum: str | None
    address: str = ""

    def check(self, path: Path) -> None:
        """Compare a file with the published one.

        Raises
        ------
        ValueError
            If it is another; says in what.
        """
        found = path.stat().st_size
        if found != self.size:
            raise ValueError(f"{found:,} bytes, expected {self.size:,}")
        if self.checksum is None:
            return
        kind, _, expected = self.checksum.partition(":")
        digest = hashlib.sha256()
        if kind == "git":
            digest = hashlib.sha1(b"blob %d\0" % self.size, usedforsecurity=False)
        with path.open("rb") as content:
            while chunk := content.read(_CHUNK):
                digest.update(chunk)
        if digest.hexdigest() != expected:
            raise ValueError(f"{kind} {digest.hexdigest()}, expected {expected}")

    def check_present(self, path: Path) -> None:
        """Check a file that was there before: another one is the user's, and stays.

        Raises
        ------
        InputError
            If it is another.
        """
        try:
            self.check(path)
        except (ValueError, OSError) as error:
            raise InputError(
                path, f"exists and is not the published file ({error})",
                remedy="remove it, or choose another folder",
            ) from error  # fmt: skip
