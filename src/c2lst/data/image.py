"""Slide images: opened once, read by region, refused with a reason when they cannot be used."""

from __future__ import annotations

import threading
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from c2lst.errors import InputError

if TYPE_CHECKING:
    from PIL.Image import Image

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".tif", ".tiff"})
"""Suffixes, in lower case, of the image files that c2lst opens."""

MAX_PIXELS = 2_000_000_000
"""Largest image that is decoded whole: 2 gigapixels, 6 GB as 8-bit RGB."""

_PILLOW_LIMIT = threading.Lock()


class SlideImage(ABC):
    """An H&E image in full-resolution pixels; x runs right, y runs down.

    ``SlideImage.open`` decodes plain images whole. A pyramidal backend need only give the size
    and ``read``.
    """

    path: Path | None = None

    @staticmethod
    def open(path: str | Path) -> SlideImage:
        """Open a JPEG, PNG or TIFF image.

        Raises
        ------
        InputError
            If the file is missing, empty, damaged, too large, or no 8-bit colour image.
        """
        path = Path(path)
        return ArrayImage(decode_rgb(path), path)

    @staticmethod
    def from_array(pixels: np.ndarray, path: str | Path | None = None) -> SlideImage:
        """Wrap a uint8 RGB array of shape (height, width, 3)."""
        return ArrayImage(pixels, None if path is None else Path(path))

    @property
    @abstractmethod
    def width(self) -> int:
        """Width in full-resolution px."""

    @property
    @abstractmethod
    def height(self) -> int:
        """Height in full-resolution px."""

    @abstractmethod
    def read(self, x0: int, y0: int, w: int, h: int) -> np.ndarray:
        """Return uint8 (h, w, 3) whose top-left pixel is (x0, y0); it must lie in the image."""

    @abstractmethod
    def thumbnail(self, max_px: int) -> np.ndarray:
        """Return the whole image as uint8 (h, w, 3) with its longer side at most ``max_px``."""


class ArrayImage(SlideImage):
    """A slide held in memory as uint8 RGB."""

    def __init__(self, pixels: np.ndarray, path: Path | None = None) -> None:
        if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8:
            raise InputError(
                path or "image",
                "is no 8-bit RGB array",
                found=f"{pixels.dtype} of shape {pixels.shape}",
                expected="uint8 of shape (height, width, 3)",
            )
        self._pixels = pixels
        self.path = path

    @property
    def width(self) -> int:
        """Width in full-resolution px."""
        return int(self._pixels.shape[1])

    @property
    def height(self) -> int:
        """Height in full-resolution px."""
        return int(self._pixels.shape[0])

    def read(self, x0: int, y0: int, w: int, h: int) -> np.ndarray:
        """Return uint8 (h, w, 3) whose top-left pixel is (x0, y0)."""
        if x0 < 0 or y0 < 0 or w < 1 or h < 1 or x0 + w > self.width or y0 + h > self.height:
            raise ValueError(
                f"region x {x0}..{x0 + w}, y {y0}..{y0 + h} leaves the image "
                f"of {self.width}x{self.height} px"
            )
        return self._pixels[y0 : y0 + h, x0 : x0 + w]

    def thumbnail(self, max_px: int) -> np.ndarray:
        """Return the whole image as uint8 (h, w, 3), longer side at most ``max_px``."""
        from PIL import Image

        longer = max(self.width, self.height)
        if longer <= max_px:
            return self._pixels.copy()
        # Rows are averaged in strips: one conversion of a gigapixel array to a Pillow image
        # would hold it twice.
        factor = max(1, longer // (2 * max_px))
        rows = [
            np.asarray(Image.fromarray(self._pixels[top : top + 64 * factor]).reduce(factor))
            for top in range(0, self.height, 64 * factor)
        ]
        scale = max_px / longer
        size = (max(1, round(self.width * scale)), max(1, round(self.height * scale)))
        small = Image.fromarray(np.concatenate(rows))
        return np.asarray(small.resize(size, Image.Resampling.BOX))


def decode_rgb(path: Path, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Decode an image file to uint8 RGB (height, width, 3).

    Transparent pixels become white, the colour of an empty slide.

    Raises
    ------
    InputError
        If the file is missing, empty, damaged, larger than ``max_pixels``, or no 8-bit colour
        image.
    """
    with opened(path, max_pixels) as image:
        return np.array(_as_rgb(image, path))


@contextmanager
def opened(path: Path, max_pixels: int = MAX_PIXELS) -> Iterator[Image]:
    """Open an image with Pillow; whatever goes wrong while it is read names the file."""
    from PIL import Image, UnidentifiedImageError

    if not path.is_file():
        raise InputError(path, "no such image file", remedy="give the path of the slide image")
    if path.stat().st_size == 0:
        raise InputError(path, "the image file is empty (0 bytes)", remedy="copy it again")
    try:
        with _pillow_limit(max_pixels):
            image = Image.open(path)
        with image:
            if image.width * image.height > max_pixels:
                raise _too_large(path, f"{image.width}x{image.height} px", max_pixels)
            yield image
    except Image.DecompressionBombError as error:
        raise _too_large(path, str(error), max_pixels) from error
    except UnidentifiedImageError as error:
        raise InputError(
            path, "is not an image", expected="a JPEG, PNG or TIFF file", remedy="check the path"
        ) from error
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise InputError(
            path, f"the image cannot be decoded ({error})", remedy="copy it again"
        ) from error


def _too_large(path: Path, found: str, max_pixels: int) -> InputError:
    return InputError(
        path,
        "the image is too large to decode",
        found=found,
        expected=f"at most {max_pixels / 1e9:g} gigapixels",
        remedy="save the slide at a lower magnification",
    )


@contextmanager
def _pillow_limit(max_pixels: int) -> Iterator[None]:
    """Let Pillow open images up to our own limit, and put its limit back."""
    from PIL import Image

    with _PILLOW_LIMIT, warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        before = Image.MAX_IMAGE_PIXELS
        Image.MAX_IMAGE_PIXELS = max_pixels
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = before


def _as_rgb(image: Image, path: Path) -> Image:
    from PIL import Image

    if image.mode == "RGB":
        return image
    if image.mode in ("RGBA", "P", "PA", "LA"):
        layered = image.convert("RGBA")
        white = Image.new("RGBA", layered.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, layered).convert("RGB")
    raise InputError(
        path,
        "the image is not 8-bit colour",
        found=f"Pillow mode {image.mode!r}",
        expected="RGB with 8 bits a channel",
        remedy="save it as 8-bit RGB",
    )
