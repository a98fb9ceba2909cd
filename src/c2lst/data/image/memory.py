"""A slide held in memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from c2lst.data.image.slide import SlideImage
from c2lst.errors import InputError


class ArrayImage(SlideImage):
    """A slide held in memory as uint8 RGB, with one level."""

    def __init__(
        self, pixels: np.ndarray, path: Path | None = None, mpp: float | None = None
    ) -> None:
        if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8:
            raise InputError(
                path or "image",
                "is no 8-bit RGB array",
                found=f"{pixels.dtype} of shape {pixels.shape}",
                expected="uint8 of shape (height, width, 3)",
            )
        self._pixels = pixels
        self.path = path
        self.mpp = mpp

    @property
    def sizes(self) -> tuple[tuple[int, int], ...]:
        """(width, height) of the one level, px."""
        return ((int(self._pixels.shape[1]), int(self._pixels.shape[0])),)

    def _read(self, x0: int, y0: int, w: int, h: int, level: int) -> np.ndarray:
        return self._pixels[y0 : y0 + h, x0 : x0 + w]
