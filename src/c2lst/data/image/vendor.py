"""Slides in a scanner's own format, read by OpenSlide."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from c2lst.data.image.plain import on_colour
from c2lst.data.image.resolution import square_mpp
from c2lst.data.image.slide import SlideImage
from c2lst.errors import InputError

if TYPE_CHECKING:
    from openslide import OpenSlide

CACHE_BYTES = 64 * 2**20
"""Decoded tiles that an open slide keeps."""


def vendor_of(path: Path) -> str | None:
    """Whose format OpenSlide takes the file for, such as ``"hamamatsu"``; none if nobody's."""
    import openslide

    try:
        return openslide.OpenSlide.detect_format(path)
    except openslide.OpenSlideError:
        return None


class VendorImage(SlideImage):
    """A slide read by OpenSlide; what was not scanned takes the slide's background colour.

    Raises
    ------
    InputError
        If the file is damaged, or its pixels are not square.
    """

    def __init__(self, path: Path) -> None:
        import openslide

        self.path = path
        try:
            self._slide: OpenSlide = openslide.OpenSlide(path)
            self._slide.set_cache(openslide.OpenSlideCache(CACHE_BYTES))
            self._sizes = tuple(self._slide.level_dimensions)
            properties = dict(self._slide.properties)
        except openslide.OpenSlideError as error:
            raise _damaged(path, error) from error
        self.mpp = square_mpp(
            path,
            _number(properties.get(openslide.PROPERTY_NAME_MPP_X)),
            _number(properties.get(openslide.PROPERTY_NAME_MPP_Y)),
        )
        colour = properties.get(openslide.PROPERTY_NAME_BACKGROUND_COLOR, "ffffff")
        red, green, blue = bytes.fromhex(colour)
        self._background = (red, green, blue)

    @property
    def sizes(self) -> tuple[tuple[int, int], ...]:
        """(width, height) of each level in px, the largest first."""
        return self._sizes

    def _read(self, x0: int, y0: int, w: int, h: int, level: int) -> np.ndarray:
        import openslide

        # OpenSlide is told where in px of level 0, and how large in px of the level.
        downsample = self._slide.level_downsamples[level]
        corner = (round(x0 * downsample), round(y0 * downsample))
        try:
            region = self._slide.read_region(corner, level, (w, h))
        except openslide.OpenSlideError as error:
            raise _damaged(self.path, error) from error
        pixels = np.asarray(region)
        # Most regions are opaque, and laying them on a colour takes almost as long as reading.
        opaque = pixels[..., 3].min() == 255
        return pixels[..., :3] if opaque else np.asarray(on_colour(region, self._background))

    def close(self) -> None:
        """Close the file."""
        self._slide.close()


def _number(value: str | None) -> float:
    try:
        return float(value or 0)
    except ValueError:
        return 0.0


def _damaged(path: Path | None, error: Exception) -> InputError:
    return InputError(
        path or "slide", f"the slide cannot be read ({error})", remedy="copy it again"
    )
