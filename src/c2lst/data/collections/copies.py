"""Which patches of a stream are copies of earlier ones, or of patches of another collection."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from c2lst.data.collections.duplicates import MAX_DISTANCE, CopyIndex, perceptual_hash
from c2lst.data.collections.store import Store, is_stored
from c2lst.errors import InputError
from c2lst.progress import logger
from c2lst.storage import hash_arrays

_AT_ONCE = 1024


@dataclass(frozen=True)
class Fingerprint:
    """What two copies of a patch have in common: all pixels, or their coarse structure."""

    sha256: str
    phash: int | None


@dataclass(frozen=True, slots=True)
class Member:
    """A patch as it is remembered: its name, group and side of the split."""

    name: str
    group: str = ""
    side: str = ""


@dataclass(frozen=True)
class Original:
    """The patch that another is a copy of, and whether every pixel is equal."""

    patch: Member
    exact: bool


class KnownPatches:
    """Patches that a new one may be a copy of; about 650 bytes of memory each.

    Parameters
    ----------
    max_distance
        Signs of the perceptual hash that may differ.
    """

    def __init__(self, max_distance: int = MAX_DISTANCE) -> None:
        self._exact: dict[bytes, int] = {}
        self._index = CopyIndex(max_distance)
        self._owners: list[int] = []
        self._members: list[Member] = []

    def __len__(self) -> int:
        return len(self._members)

    def add(self, patches: Sequence[Fingerprint], members: Sequence[Member]) -> None:
        """Remember patches."""
        hashes = []
        for patch, member in zip(patches, members, strict=True):
            self._exact.setdefault(bytes.fromhex(patch.sha256), len(self._members))
            if patch.phash is not None:
                self._owners.append(len(self._members))
                hashes.append(patch.phash)
            self._members.append(member)
        if hashes:
            self._index.add(np.array(hashes, dtype=np.uint64))

    def originals(self, patches: Sequence[Fingerprint]) -> list[Original | None]:
        """Return what each patch is a copy of: an equal one, else the nearest; none if it is new.

        Blank patches all look alike, so they are copies only where every pixel is equal.
        """
        found: list[Original | None] = [None] * len(patches)
        hashed = [row for row, patch in enumerate(patches) if patch.phash is not None]
        hashes = np.array([patches[row].phash for row in hashed], dtype=np.uint64)
        rows, numbers, apart = self._index.find(hashes)
        # The nearest comes last and stays, and of the nearest the one that came first.
        for at in np.lexsort((-numbers, -apart)):
            owner = self._members[self._owners[int(numbers[at])]]
            found[hashed[int(rows[at])]] = Original(owner, exact=False)
        for row, patch in enumerate(patches):
            number = self._exact.get(bytes.fromhex(patch.sha256))
            if number is not None:
                found[row] = Original(self._members[number], exact=True)
        return found


def earlier_copies(
    patches: Sequence[Fingerprint], max_distance: int = MAX_DISTANCE
) -> list[list[tuple[int, bool]]]:
    """Return, for each patch, the earlier ones it is a copy of: (row, whether it is equal)."""
    hashed = [row for row, patch in enumerate(patches) if patch.phash is not None]
    hashes = np.array([patches[row].phash for row in hashed], dtype=np.uint64)
    index = CopyIndex(max_distance)
    index.add(hashes)
    rows, numbers, _ = index.find(hashes)
    pairs = {(hashed[i], hashed[j]) for i, j in zip(rows, numbers, strict=True)}
    by_content: dict[str, list[int]] = {}
    for row, patch in enumerate(patches):
        pairs.update((row, first) for first in by_content.setdefault(patch.sha256, []))
        by_content[patch.sha256].append(row)
    found: list[list[tuple[int, bool]]] = [[] for _ in patches]
    for row, first in sorted(pairs):
        if first < row:
            found[row].append((first, patches[first].sha256 == patches[row].sha256))
    return found


def known_in(where: str | Path, max_distance: int = MAX_DISTANCE) -> KnownPatches:
    """Remember the patches of a stored collection, or of sections in the HEST layout.

    Raises
    ------
    InputError
        If ``where`` is neither.
    """
    known = KnownPatches(max_distance)
    label = str(where) if "://" in str(where) else Path(where).resolve().name
    for patches, names in _of_store(where) if is_stored(where) else _of_sections(Path(where)):
        known.add(patches, [Member(f"{label}:{name}") for name in names])
    if len(known) == 0:
        raise InputError(
            where, "holds no patches to compare with",
            expected="a stored collection, or a folder of sections",
        )  # fmt: skip
    logger.info("%s: %d patches to compare with", where, len(known))
    return known


def _of_store(where: str | Path) -> Iterator[tuple[list[Fingerprint], list[str]]]:
    for batch in Store(where).columns(["name", "sha256", "phash"]):
        rows = batch.to_pydict()
        pairs = zip(rows["sha256"], rows["phash"], strict=True)
        yield [Fingerprint(*pair) for pair in pairs], rows["name"]


def _of_sections(folder: Path) -> Iterator[tuple[list[Fingerprint], list[str]]]:
    from c2lst.data.layout import section_names
    from c2lst.data.section import Section

    for section in [Section.load(folder, name) for name in section_names(folder)]:
        for start in range(0, len(section), _AT_ONCE):
            images = section.patches[slice(start, start + _AT_ONCE)]
            barcodes = section.barcodes[start : start + _AT_ONCE]
            yield fingerprints(images), [f"{section.name}/{barcode}" for barcode in barcodes]


def fingerprints(images: np.ndarray) -> list[Fingerprint]:
    """Fingerprints of patches, uint8 (n, S, S, 3)."""
    hashes, blank = perceptual_hash(images)
    return [
        Fingerprint(pixel_hash(image), None if empty else int(value))
        for image, value, empty in zip(images, hashes, blank, strict=True)
    ]


def pixel_hash(pixels: np.ndarray) -> str:
    """SHA-256 of the shape and pixels of a patch, uint8 (h, w, 3)."""
    return hash_arrays({"pixels": pixels})
