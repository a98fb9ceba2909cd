"""Copies of a patch: re-encoded, resampled, turned or mirrored, found by a perceptual hash.

The hash keeps the signs of the 63 lowest waves of the patch in grey (a cosine transform, as in the
pHash of Zauner, 2010). Mirroring the patch flips the signs of the odd waves and transposing it
swaps their axes, so all eight ways to lay down a patch follow from one hash, and the number of
signs that differ, at the best of the eight, does not depend on how either patch lies.

What it does not find: copies turned by other angles, zoomed, or cut at another place.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

import numpy as np

MAX_DISTANCE = 5
"""Signs that may differ between copies. At most 3 did on H&E after resampling from 224 px to 64 to
300, or re-encoding as JPEG of quality 50. Two random hashes are as close, at the best of their
eight views, once in 10¹¹ pairs."""

_WIDTH = 8
_GREY = 32
_LEAST_CONTRAST = 2.0  # grey levels
_BAND_BITS = 21
_BANDS = 3
_RECENT = 2048
_AT_ONCE = 1 << 18


def small_grey(images: np.ndarray) -> np.ndarray:
    """Reduce uint8 (n, S, S, 3), or a list of (h, w, 3), to grey float32 (n, 32, 32)."""
    from PIL import Image

    # As floating point: rounding between rows and columns would depend on how a patch lies.
    reduced = [
        Image.fromarray(image)
        .convert("L")
        .convert("F")
        .resize((_GREY,) * 2, Image.Resampling.LANCZOS)
        for image in images
    ]
    return np.array([np.asarray(image) for image in reduced]).reshape(-1, _GREY, _GREY)


def perceptual_hash(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Hash patches by their coarse structure.

    Parameters
    ----------
    images
        uint8 RGB (n, S, S, 3), all of one size or a list of single images.

    Returns
    -------
    uint64 (n,), the least of the hashes of the eight ways to lay down the patch, and bool (n,):
    whether the patch is blank. The hash of a blank patch is that of its noise and means nothing.
    """
    return hash_grey(small_grey(images))


def hash_grey(grey: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``perceptual_hash`` of what ``small_grey`` returns."""
    from scipy.fft import dctn

    waves = dctn(grey, axes=(1, 2), norm="ortho")[:, :_WIDTH, :_WIDTH].reshape(-1, _WIDTH**2)
    signs = waves > 0
    signs[:, 0] = False  # the mean grey
    contrast = np.sqrt((waves[:, 1:] ** 2).sum(axis=1)) / _GREY
    return all_views(_packed(signs)).min(axis=0), contrast < _LEAST_CONTRAST


def all_views(hashes: np.ndarray) -> np.ndarray:
    """Hashes of the eight ways to lay down each patch, uint64 (8, n)."""
    signs = np.unpackbits(
        np.ascontiguousarray(hashes, dtype="<u8").view(np.uint8).reshape(-1, 8),
        axis=1, bitorder="little",
    ).reshape(-1, _WIDTH, _WIDTH)  # fmt: skip
    odd = np.arange(_WIDTH) % 2 == 1
    mirrored = [np.zeros((_WIDTH, _WIDTH), bool), odd[:, None] ^ np.zeros(_WIDTH, bool)]
    mirrored += [mirrored[1].T, mirrored[1] ^ mirrored[1].T]
    views = [turned ^ flip for turned in (signs, signs.transpose(0, 2, 1)) for flip in mirrored]
    return np.stack([_packed(view.reshape(-1, _WIDTH**2)) for view in views])


def distance(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Signs that differ between patches at the best of the eight views, of shape (n,)."""
    return np.bitwise_count(all_views(first) ^ np.asarray(second, np.uint64)).min(axis=0)


def clusters(hashes: np.ndarray, max_distance: int = MAX_DISTANCE) -> np.ndarray:
    """Give each patch the number of its group: those that are connected by copies, int (n,)."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    index = CopyIndex(max_distance)
    index.add(hashes)
    rows, columns, _ = index.find(hashes)
    links = coo_array((np.ones(len(rows), bool), (rows, columns)), shape=(len(hashes),) * 2)
    return np.asarray(connected_components(links, directed=False)[1])


class CopyIndex:
    """Hashes that grow in number, searched for all within ``max_distance``, exactly.

    Two hashes that differ in at most k of 63 bits differ in at most k // 3 bits in at least one of
    their three bands of 21. Only patches that share a band up to that many bits are compared
    (multi-index hashing, Norouzi et al., CVPR 2012): one in four thousand for the k that is usual.
    """

    def __init__(self, max_distance: int = MAX_DISTANCE) -> None:
        self.max_distance = max_distance
        radius = max_distance // _BANDS
        bits = [1 << bit for bit in range(_BAND_BITS)]
        chosen = [c for count in range(radius + 1) for c in combinations(bits, count)]
        self._changes = np.array([sum(c) for c in chosen], dtype=np.int64)
        self._parts: list[_Part] = []
        self._recent = np.empty(0, dtype=np.uint64)

    def __len__(self) -> int:
        return sum(len(part.hashes) for part in self._parts) + len(self._recent)

    def add(self, hashes: np.ndarray) -> None:
        """Append hashes; they are numbered in the order of arrival."""
        self._recent = np.concatenate([self._recent, np.asarray(hashes, dtype=np.uint64)])
        if len(self._recent) < _RECENT:
            return
        merged, self._recent = self._recent, self._recent[:0]
        # Parts grow fourfold, so that each hash is sorted a logarithmic number of times.
        while self._parts and len(self._parts[-1].hashes) < 4 * len(merged):
            merged = np.concatenate([self._parts.pop().hashes, merged])
        self._parts.append(_Part(merged))

    def find(self, hashes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return (row of ``hashes``, number in the index, distance) of all pairs near enough."""
        found = [np.empty((3, 0), np.int64)]
        views = all_views(np.asarray(hashes, dtype=np.uint64))
        start = 0
        for part in self._parts:
            for rows, numbers in part.candidates(views, self._changes):
                apart = np.bitwise_count(views[:, rows] ^ part.hashes[numbers]).min(axis=0)
                near = apart <= self.max_distance
                found.append(np.stack([rows[near], numbers[near] + start, apart[near]]))
            start += len(part.hashes)
        for view in views:  # the few that came last are compared with all
            apart = np.bitwise_count(view[:, None] ^ self._recent)
            rows, numbers = np.nonzero(apart <= self.max_distance)
            found.append(np.stack([rows, numbers + start, apart[rows, numbers]]))
        return _nearest(np.concatenate(found, axis=1))


def _nearest(found: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Keep each pair of (row, number, distance) once, at its least distance."""
    rows, numbers, apart = found[:, np.lexsort(found[::-1])]
    first = np.ones(len(rows), dtype=bool)
    first[1:] = (np.diff(rows) != 0) | (np.diff(numbers) != 0)
    return rows[first], numbers[first], apart[first]


class _Part:
    """Hashes with, for each band, their numbers sorted by what they have in it."""

    def __init__(self, hashes: np.ndarray) -> None:
        self.hashes = hashes
        self.orders, self.starts = [], []
        for keys in _bands(hashes):
            self.orders.append(np.argsort(keys, kind="stable").astype(np.int32))
            starts = np.zeros((1 << _BAND_BITS) + 1, dtype=np.int32)
            np.cumsum(np.bincount(keys, minlength=1 << _BAND_BITS), out=starts[1:])
            self.starts.append(starts)

    def candidates(
        self, views: np.ndarray, changes: np.ndarray
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Pairs (row, number) that share a band up to ``changes``; some come twice."""
        rows = np.tile(np.arange(views.shape[1]), len(views))
        for order, starts, keys in zip(
            self.orders, self.starts, _bands(views.ravel()), strict=True
        ):
            for change in changes:
                probes = keys ^ change
                yield from _spread(rows, starts[probes], starts[probes + 1], order)


def _spread(
    rows: np.ndarray, starts: np.ndarray, stops: np.ndarray, order: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Pair each row with ``order[start:stop]``, a bounded number of pairs at a time."""
    counts = stops - starts
    hit = np.flatnonzero(counts)
    rows, starts, counts = rows[hit], starts[hit], counts[hit]
    ends = np.cumsum(counts, dtype=np.int64)
    first = 0
    while first < len(rows):
        done = ends[first - 1] if first else 0
        last = max(first + 1, int(np.searchsorted(ends, done + _AT_ONCE, side="right")))
        chosen = slice(first, last)
        begins = np.repeat(starts[chosen] - (ends[chosen] - counts[chosen] - done), counts[chosen])
        yield (
            np.repeat(rows[chosen], counts[chosen]),
            order[begins + np.arange(ends[last - 1] - done)].astype(np.int64),
        )
        first = last


def _bands(hashes: np.ndarray) -> list[np.ndarray]:
    # The lowest bit, of the mean grey, is never set.
    keys = [hashes >> np.uint64(1 + _BAND_BITS * band) for band in range(_BANDS)]
    return [(key & np.uint64((1 << _BAND_BITS) - 1)).astype(np.int64) for key in keys]


def _packed(signs: np.ndarray) -> np.ndarray:
    return np.packbits(signs.astype(bool), axis=1, bitorder="little").view("<u8")[:, 0]
