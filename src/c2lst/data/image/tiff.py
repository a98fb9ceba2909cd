"""TIFF slides read tile by tile: decoded once, kept for a while, never a whole level at a time."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from c2lst.data.image.slide import SlideImage
from c2lst.errors import InputError

CACHE_BYTES = 64 * 2**20
"""Decoded tiles that an open slide keeps."""

PREMULTIPLIED, ALPHA = 1, 2
"""What a fourth channel may be, as TIFF's ExtraSamples numbers it."""


@dataclass(frozen=True, eq=False)
class Plane:
    """Where the tiles of one or all colours of a level lie in the file.

    Parameters
    ----------
    decode
        From (bytes, index) of a tile to an array of shape (1, h, w, colours), or none.
    offsets, counts
        Place and number of bytes of each tile; 0 bytes where a tile was left out.
    colours
        How many colours the plane has.
    first
        Index of the plane's first tile.
    """

    decode: Callable[..., Any]
    offsets: Sequence[int]
    counts: Sequence[int]
    colours: int
    first: int = 0


@dataclass(frozen=True, eq=False)
class TiffLevel:
    """A resolution of a TIFF slide, in tiles or in strips, which are tiles of full width.

    Parameters
    ----------
    size, tile
        (width, height) of the level and of a tile in px.
    planes
        One with all colours, or one for each colour.
    extra
        What a fourth channel is: ``PREMULTIPLIED``, ``ALPHA``, or nothing to be used.
    """

    size: tuple[int, int]
    tile: tuple[int, int]
    planes: tuple[Plane, ...]
    extra: int = 0

    @property
    def columns(self) -> int:
        """Tiles side by side."""
        return -(-self.size[0] // self.tile[0])


class TiffImage(SlideImage):
    """A tiled or striped TIFF of 8-bit RGB, from the levels that ``layout`` found in it."""

    def __init__(self, path: Path, levels: Sequence[TiffLevel], mpp: float | None) -> None:
        self.path: Path = path
        self.mpp = mpp
        self._levels = tuple(levels)
        self._file = path.open("rb")
        self._lock = threading.Lock()
        self._cache = _Cache(CACHE_BYTES)

    @property
    def sizes(self) -> tuple[tuple[int, int], ...]:
        """(width, height) of each level in px, the largest first."""
        return tuple(level.size for level in self._levels)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _read(self, x0: int, y0: int, w: int, h: int, level: int) -> np.ndarray:
        tile_w, tile_h = self._levels[level].tile
        region = np.empty((h, w, 3), dtype=np.uint8)
        for row in range(y0 // tile_h, (y0 + h - 1) // tile_h + 1):
            top, bottom = max(y0, row * tile_h), min(y0 + h, (row + 1) * tile_h)
            for column in range(x0 // tile_w, (x0 + w - 1) // tile_w + 1):
                left, right = max(x0, column * tile_w), min(x0 + w, (column + 1) * tile_w)
                tile = self._tile(level, row, column)
                region[top - y0 : bottom - y0, left - x0 : right - x0] = tile[
                    top - row * tile_h : bottom - row * tile_h,
                    left - column * tile_w : right - column * tile_w,
                ]
        return region

    def _tile(self, level: int, row: int, column: int) -> np.ndarray:
        key = (level, row, column)
        tile = self._cache.get(key)
        if tile is None:
            tile = self._decoded(self._levels[level], row, column)
            self._cache.put(key, tile)
        return tile

    def _decoded(self, level: TiffLevel, row: int, column: int) -> np.ndarray:
        shape = (
            min(level.tile[1], level.size[1] - row * level.tile[1]),
            min(level.tile[0], level.size[0] - column * level.tile[0]),
        )
        colours = [
            self._segment(plane, plane.first + row * level.columns + column, shape)
            for plane in level.planes
        ]
        tile = colours[0] if len(colours) == 1 else np.concatenate(colours, axis=2)
        return _opaque(tile, level.extra)

    def _segment(self, plane: Plane, index: int, shape: tuple[int, int]) -> np.ndarray:
        count = plane.counts[index]
        if count == 0:  # Scanners leave out the tiles where nothing is.
            return np.full((*shape, plane.colours), 255, dtype=np.uint8)
        data = self._bytes(plane.offsets[index], count)
        try:
            decoded = plane.decode(data, index)
        except Exception as error:  # Each codec has errors of its own, and none in common.
            raise self._damaged(f"{type(error).__name__}: {error}") from error
        decoded = decoded[0, : shape[0], : shape[1]]
        if decoded.shape[:2] != shape:
            raise self._damaged(f"a tile of {decoded.shape[:2]} px where {shape} are due")
        return decoded

    def _bytes(self, offset: int, count: int) -> bytes:
        # Reading at a place moves no pointer that threads and processes would share.
        if hasattr(os, "pread"):
            data = os.pread(self._file.fileno(), count, offset)
        else:
            with self._lock:
                self._file.seek(offset)
                data = self._file.read(count)
        if len(data) < count:
            raise self._damaged("the file ends within a tile")
        return data

    def _damaged(self, reason: str) -> InputError:
        return InputError(
            self.path, "a tile of the slide cannot be decoded", found=reason, remedy="copy it again"
        )


def _opaque(tile: np.ndarray, extra: int) -> np.ndarray:
    """Lay (h, w, 3 or 4) on white; returns (h, w, 3)."""
    colour = tile[..., :3]
    if tile.shape[2] == 3 or extra not in (PREMULTIPLIED, ALPHA):
        return np.ascontiguousarray(colour)
    alpha = tile[..., 3:].astype(np.uint16)
    weighted = colour if extra == PREMULTIPLIED else (colour * alpha + 127) // 255
    return np.minimum(weighted + (255 - alpha), 255).astype(np.uint8)


class _Cache:
    """The arrays used last, up to a number of bytes."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._held = 0
        self._arrays: OrderedDict[tuple[int, ...], np.ndarray] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: tuple[int, ...]) -> np.ndarray | None:
        with self._lock:
            found = self._arrays.get(key)
            if found is not None:
                self._arrays.move_to_end(key)
            return found

    def put(self, key: tuple[int, ...], array: np.ndarray) -> None:
        with self._lock:
            if key in self._arrays:
                return
            self._arrays[key] = array
            self._held += array.nbytes
            while self._held > self._most and len(self._arrays) > 1:
                _, oldest = self._arrays.popitem(last=False)
                self._held -= oldest.nbytes
