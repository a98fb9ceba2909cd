"""Plain images: decoded whole by Pillow, up to a limit."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from c2lst.data.image.resolution import mpp_of_dpi
from c2lst.errors import InputError

if TYPE_CHECKING:
    from PIL.Image import Image

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".tif", ".tiff"})
"""Suffixes, in lower case, of plain images."""

MAX_PIXELS = 2_000_000_000
"""Largest image that is decoded whole: 2 gigapixels, 6 GB as 8-bit RGB."""

_PILLOW_LIMIT = threading.Lock()


def decode_rgb(path: Path, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Decode an image file to uint8 RGB (height, width, 3).

    Transparent pixels become white, the colour of an empty slide.

    Raises
    ------
    InputError
        If the file is missing, empty, damaged, larger than ``max_pixels``, or no 8-bit colour
        image.
    """
    return decode_with_mpp(path, max_pixels)[0]


def decode_with_mpp(path: Path, max_pixels: int = MAX_PIXELS) -> tuple[np.ndarray, float | None]:
    """Decode an image file as ``decode_rgb`` does, with the µm/px that it states, if any."""
    with opened(path, max_pixels) as image:
        return np.array(_as_rgb(image, path)), mpp_of_dpi(image.info.get("dpi"))


@contextmanager
def opened(path: Path, max_pixels: int = MAX_PIXELS) -> Iterator[Image]:
    """Open an image with Pillow; whatever goes wrong while it is read names the file."""
    from PIL import Image, UnidentifiedImageError

    check_file(path)
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
            path, "is not an image", expected="a JPEG, PNG or TIFF file, or a slide",
            remedy="check the path",
        ) from error  # fmt: skip
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise InputError(
            path, "the image cannot be decoded", found=error, remedy="copy it again"
        ) from error


def check_file(path: Path) -> None:
    """Refuse a path that is no file, or an empty one."""
    if not path.is_file():
        raise InputError(path, "no such image file", remedy="give the path of the slide image")
    if path.stat().st_size == 0:
        raise InputError(path, "the image file is empty", found="0 bytes", remedy="copy it again")


def not_8_bit_rgb(path: Path, found: str) -> InputError:
    """Return the error for an image of another kind than 8-bit RGB."""
    return InputError(
        path,
        "the image is not 8-bit colour",
        found=found,
        expected="RGB with 8 bits a channel",
        remedy="save it as 8-bit RGB",
    )


def _too_large(path: Path, found: str, max_pixels: int) -> InputError:
    return InputError(
        path,
        "the image is too large to decode",
        found=found,
        expected=f"at most {max_pixels / 1e9:g} gigapixels",
        remedy="save the slide at a lower magnification, or as a tiled TIFF",
    )


@contextmanager
def _pillow_limit(max_pixels: int) -> Iterator[None]:
    """Let Pillow open images up to our own limit, without its remarks, and put its limit back."""
    from PIL import Image

    with _PILLOW_LIMIT, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before = Image.MAX_IMAGE_PIXELS
        Image.MAX_IMAGE_PIXELS = max_pixels
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = before


def _as_rgb(image: Image, path: Path) -> Image:
    if image.mode == "RGB":
        return image
    if image.mode in ("RGBA", "P", "PA", "LA"):
        return on_colour(image.convert("RGBA"), (255, 255, 255))
    raise not_8_bit_rgb(path, f"Pillow mode {image.mode!r}")


def on_colour(layered: Image, colour: tuple[int, int, int]) -> Image:
    """Lay an RGBA image on a plain colour; returns RGB."""
    from PIL import Image

    ground = Image.new("RGBA", layered.size, (*colour, 255))
    return Image.alpha_composite(ground, layered).convert("RGB")
