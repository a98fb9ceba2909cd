"""How patches are cut: from the right level, each region read once, block by block on all cores."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from c2lst.data.image import SlideImage
from c2lst.data.sampling import reach, sample
from c2lst.data.tissue import background_colour
from c2lst.parallel import available_threads

_COARSER = 1.02  # a level that is up to 2 % coarser than wanted is the one that was meant
_BLOCK_PX = 1024
_ON_GRID = 1e-3  # px of the patch
# A patch of as many px as the slide has there is copied: sampling anew would blur it, to correct a
# place by half a pixel and a width by one in 200, far less than spots are known to lie at.
_COPIED = 5e-3
_SMALLEST_CELL = 16


def level_for(levels: tuple[float, ...], downsample: float) -> int:
    """Return the coarsest level that is no coarser than ``downsample``, or the first."""
    return max(k for k, d in enumerate(levels) if k == 0 or d <= downsample * _COARSER)


@dataclass(frozen=True, eq=False)
class Mosaic:
    """Patches as mosaics of square cells, which the patches of a grid share.

    On a grid with a step of half a patch, a cell of half a patch belongs to four patches and is
    sampled once. Patches that lie on no grid are a cell each.

    Parameters
    ----------
    side
        Width of a cell in px of the patch; a divisor of the patch's.
    step
        Width of a pixel of the patch in px of the level.
    corners
        float64 (m, 2): top-left corner of each cell as (x, y) in px of the level.
    cells
        int (n, k, k): the cells of each patch, rows by columns.
    """

    side: int
    step: float
    corners: np.ndarray
    cells: np.ndarray

    @property
    def is_copied(self) -> bool:
        """Whether the pixels of the cells are those of the level."""
        return self.step == 1.0 and bool((self.corners == np.rint(self.corners)).all())

    @classmethod
    def of(cls, corners: np.ndarray, step: float, size: int) -> Mosaic:
        """Find the cells of patches of ``size`` px with ``corners`` (n, 2) in px of the level."""
        if len(corners) > 1:
            origin = corners.min(axis=0)
            apart = (corners - origin) / step
            steps = np.rint(apart).astype(np.int64)
            side = int(np.gcd.reduce(steps, axis=None, initial=size))
            if np.abs(apart - steps).max() < _ON_GRID and _SMALLEST_CELL <= side < size:
                return cls._on_grid(origin, steps // side, step, side, size // side)
        return cls(size, step, corners, np.arange(len(corners)).reshape(-1, 1, 1))

    @classmethod
    def _on_grid(
        cls, origin: np.ndarray, steps: np.ndarray, step: float, side: int, across: int
    ) -> Mosaic:
        along = np.arange(across)
        x = steps[:, 0, None, None] + along[None, None, :]
        y = steps[:, 1, None, None] + along[None, :, None]
        width = int(x.max()) + 1
        found, cells = np.unique(y * width + x, return_inverse=True)
        places = np.stack([found % width, found // width], axis=1)
        corners = origin + places * (side * step)
        return cls(side, step, corners, cells.reshape(len(steps), across, across))

    def take(self, indices: np.ndarray) -> Mosaic:
        """Return the patches of ``indices``, with the cells that they need."""
        found, cells = np.unique(self.cells[indices], return_inverse=True)
        shape = (len(indices), *self.cells.shape[1:])
        return Mosaic(self.side, self.step, self.corners[found], cells.reshape(shape))

    def regions(self) -> np.ndarray:
        """Return what the samples of each cell see of the level: int (m, 4) as x0, y0, x1, y1."""
        rim = 0.0 if self.is_copied else reach(self.step)
        low = self.corners - rim
        high = self.corners + self.side * self.step + rim
        return np.concatenate([np.floor(low), np.ceil(high)], axis=1).astype(np.int64)


class Cutter:
    """Cuts patches around given centres of one slide.

    Parameters
    ----------
    image
        The slide.
    centres_px
        (n, 2) centres as (x, y) in full-resolution px.
    width_px
        Width of a patch in full-resolution px.
    size
        Width of a patch in px, S.
    """

    def __init__(
        self, image: SlideImage, centres_px: np.ndarray, width_px: float, size: int
    ) -> None:
        self.image = image
        self.size = size
        self.level = level_for(image.levels, width_px / size)
        downsample = image.levels[self.level]
        step = width_px / downsample / size
        corners = centres_px / downsample - step * size / 2
        if self.level == 0 and abs(step - 1) <= _COPIED:
            step, corners = 1.0, np.rint(centres_px / downsample - size / 2)
        self.mosaic = Mosaic.of(corners, step, size)

    @cached_property
    def _fill(self) -> np.ndarray:
        """The slide's background colour, uint8 (3,)."""
        return np.rint(background_colour(self.image.thumbnail(512))).astype(np.uint8)

    def cut(
        self, indices: np.ndarray, advance: Callable[[int], object] | None = None
    ) -> np.ndarray:
        """Cut the patches of ``indices``; uint8 (m, S, S, 3) in that order.

        ``advance`` is told of patches that have been done.
        """
        patches = np.empty((len(indices), self.size, self.size, 3), dtype=np.uint8)
        mosaic = self.mosaic.take(indices)
        regions, side, is_copied = mosaic.regions(), mosaic.side, mosaic.is_copied
        across = mosaic.cells.shape[1]
        places = np.argsort(mosaic.cells, axis=None, kind="stable")
        starts = np.searchsorted(mosaic.cells.ravel()[places], np.arange(len(regions) + 1))

        def fill(block: np.ndarray) -> int:
            corner = regions[block, :2].min(axis=0)
            rows = self._rows(*corner, *regions[block, 2:].max(axis=0))
            for cell in block:
                x0, y0, x1, y1 = regions[cell] - np.tile(corner, 2)
                seen = rows[y0:y1, :, x0:x1]
                low = mosaic.corners[cell] - regions[cell, :2]
                sampled = (
                    seen.transpose(0, 2, 1) if is_copied else sample(seen, low, mosaic.step, side)
                )
                for place in places[starts[cell] : starts[cell + 1]]:
                    patch, row, column = np.unravel_index(place, mosaic.cells.shape)
                    y, x = row * side, column * side
                    patches[patch, y : y + side, x : x + side] = sampled
            return int((starts[block + 1] - starts[block]).sum())

        done = told = 0
        blocks = list(_blocks(regions))
        with ThreadPoolExecutor(max(1, min(available_threads(), len(blocks)))) as pool:
            for count in pool.map(fill, blocks):
                done += count
                if advance is not None:
                    advance(done // across**2 - told)
                    told = done // across**2
        return patches

    def _rows(self, x0: int, y0: int, x1: int, y1: int) -> np.ndarray:
        """Read a region of the level, uint8 (h, 3, w); outside lies the background's colour."""
        width, height = self.image.sizes[self.level]
        left, top, right, bottom = max(x0, 0), max(y0, 0), min(x1, width), min(y1, height)
        rows = np.empty((y1 - y0, 3, x1 - x0), dtype=np.uint8)
        if (left, top, right, bottom) != (x0, y0, x1, y1):
            rows[:] = self._fill[:, None]
        if right > left and bottom > top:
            pixels = self.image.read(left, top, right - left, bottom - top, self.level)
            rows[top - y0 : bottom - y0, :, left - x0 : right - x0] = pixels.transpose(0, 2, 1)
        return rows


def _blocks(regions: np.ndarray) -> Iterator[np.ndarray]:
    """Group cells that lie together, so that what they share is read once.

    Yields int arrays. Cells with more between them than in them are read one by one: what they
    share then is compressed tiles, which an open slide keeps.
    """
    if len(regions) == 0:
        return
    widest = int((regions[:, 2:] - regions[:, :2]).max())
    keys = regions[:, :2] // max(_BLOCK_PX, 2 * widest)
    order = np.lexsort(keys.T)
    ends = np.flatnonzero((np.diff(keys[order], axis=0) != 0).any(axis=1)) + 1
    for block in np.split(order, ends):
        found = regions[block]
        whole = np.prod(found[:, 2:].max(axis=0) - found[:, :2].min(axis=0))
        alone = np.prod(found[:, 2:] - found[:, :2], axis=1).sum()
        if whole <= alone:
            yield block
        else:
            yield from block[:, None]
