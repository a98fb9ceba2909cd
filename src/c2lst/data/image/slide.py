"""What every slide image gives, whatever file it comes from."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from typing import Self

import numpy as np

from c2lst.data.image.plain import IMAGE_SUFFIXES
from c2lst.parallel import available_threads
from c2lst.progress import progress_bar

SLIDE_SUFFIXES = IMAGE_SUFFIXES | {
    ".bif", ".btf", ".dcm", ".mrxs", ".ndpi", ".qptiff", ".scn", ".svs", ".svslide", ".tf2",
    ".tf8", ".vms", ".vmu",
}  # fmt: skip
"""Suffixes, in lower case, of the files that may hold a slide: plain images and scanners' own."""

_BLOCK_PX = 2048
_MANY_BLOCKS = 200


class SlideImage(ABC):
    """An H&E image of one or more resolutions; x runs right, y runs down.

    Level 0 is the full resolution, and a position on level k is that on level 0 divided by
    ``levels[k]``: pixel i covers i to i + 1. All methods may be called from several threads.
    """

    path: Path | None = None
    """The file, where there is one."""
    mpp: float | None = None
    """µm per full-resolution px as the file states it; none where it does not."""

    @staticmethod
    def open(path: str | Path) -> SlideImage:
        """Open a slide: a plain image, a tiled or pyramidal TIFF, or a scanner's own format.

        Plain images are decoded whole; of all others, only what is asked for is ever decoded.

        Raises
        ------
        InputError
            If the file is missing, empty, damaged, too large, or no 8-bit colour image.
        """
        from c2lst.data.image.opening import open_slide

        return open_slide(Path(path))

    @staticmethod
    def from_array(
        pixels: np.ndarray, path: str | Path | None = None, mpp: float | None = None
    ) -> SlideImage:
        """Wrap a uint8 RGB array of shape (height, width, 3)."""
        from c2lst.data.image.memory import ArrayImage

        return ArrayImage(pixels, None if path is None else Path(path), mpp)

    @property
    @abstractmethod
    def sizes(self) -> tuple[tuple[int, int], ...]:
        """(width, height) of each level in px, the largest first."""

    @abstractmethod
    def _read(self, x0: int, y0: int, w: int, h: int, level: int) -> np.ndarray:
        """``read`` of a region that is known to lie in the level."""

    def close(self) -> None:  # noqa: B027 (nothing to close where all is in memory)
        """Give the file back; nothing can be read afterwards."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def width(self) -> int:
        """Width in full-resolution px."""
        return self.sizes[0][0]

    @property
    def height(self) -> int:
        """Height in full-resolution px."""
        return self.sizes[0][1]

    @property
    def levels(self) -> tuple[float, ...]:
        """How many times smaller each level is than the first, which is 1.0."""
        return tuple(_downsample(self.sizes[0], size) for size in self.sizes)

    def read(self, x0: int, y0: int, w: int, h: int, level: int = 0) -> np.ndarray:
        """Return uint8 (h, w, 3) whose top-left pixel is (x0, y0); it must lie in the image.

        Parameters
        ----------
        x0, y0, w, h
            The region, in px of ``level``.
        level
            Which of ``levels``.

        Raises
        ------
        ValueError
            If the region leaves the level.
        InputError
            If the file is damaged there.
        """
        width, height = self.sizes[level]
        if x0 < 0 or y0 < 0 or w < 1 or h < 1 or x0 + w > width or y0 + h > height:
            raise ValueError(
                f"region x {x0}..{x0 + w}, y {y0}..{y0 + h} leaves the image of {width}x{height} px"
            )
        return self._read(x0, y0, w, h, level)

    def thumbnail(self, max_px: int) -> np.ndarray:
        """Return the whole image as uint8 (h, w, 3) with its longer side at most ``max_px``.

        It is averaged from the smallest level that is large enough, block by block.
        """
        from PIL import Image

        longer = max(self.width, self.height)
        scale = min(1.0, max_px / longer)
        size = (max(1, round(self.width * scale)), max(1, round(self.height * scale)))
        level = max(k for k, s in enumerate(self.sizes) if k == 0 or max(s) >= max(size))
        reduced = self._reduced(level, max(1, max(self.sizes[level]) // (2 * max(size))))
        if reduced.shape[1::-1] == size:
            return reduced
        return np.asarray(Image.fromarray(reduced).resize(size, Image.Resampling.BOX))

    def _reduced(self, level: int, factor: int) -> np.ndarray:
        """Return a level averaged over squares of ``factor`` px, read by blocks in parallel."""
        from PIL import Image

        width, height = self.sizes[level]
        step = max(1, _BLOCK_PX // factor)
        reduced = np.empty((math.ceil(height / factor), math.ceil(width / factor), 3), np.uint8)
        corners = [
            (x, y)
            for y in range(0, reduced.shape[0], step)
            for x in range(0, reduced.shape[1], step)
        ]

        def fill(corner: tuple[int, int]) -> None:
            x, y = corner
            left, top, side = x * factor, y * factor, step * factor
            w, h = min(side, width - left), min(side, height - top)
            block = self.read(left, top, w, h, level)
            if factor > 1:
                block = np.asarray(Image.fromarray(block).reduce(factor))
            reduced[y : y + step, x : x + step] = block

        many = len(corners) > _MANY_BLOCKS
        shown = progress_bar("overview", len(corners)) if many else nullcontext()
        with ThreadPoolExecutor(available_threads()) as pool, shown as bar:
            for _ in pool.map(fill, corners):
                if bar is not None:
                    bar.advance()
        return reduced


def _downsample(full: tuple[int, int], size: tuple[int, int]) -> float:
    """How many times ``size`` fits into ``full``.

    Writers round a level's size up or down, so that a whole number is meant where one is within
    a pixel.
    """
    ratio = (full[0] / size[0] + full[1] / size[1]) / 2
    whole = max(1, round(ratio))
    if all(abs(f / whole - s) < 1 for f, s in zip(full, size, strict=True)):
        return float(whole)
    return ratio
