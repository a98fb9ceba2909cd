"""From the bytes of an image file to a square patch of a known width."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from c2lst.data.image.plain import not_8_bit_rgb, on_colour
from c2lst.errors import InputError

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_PIXELS = 64_000_000
"""A patch is no slide: larger images are refused before they are decoded."""

_SIGNATURES = {b"\xff\xd8\xff": ".jpg", b"\x89PNG\r\n\x1a\n": ".png"}
_QUALITY = 95


def suffix_of(encoded: bytes) -> str | None:
    """``.jpg`` or ``.png`` by the first bytes of a file; none for anything else."""
    return next((suffix for mark, suffix in _SIGNATURES.items() if encoded.startswith(mark)), None)


def decode(encoded: bytes, where: str, remedy: str = "copy it again") -> Image:
    """Decode an image file to a Pillow image in RGB; transparent pixels become white.

    Raises
    ------
    InputError
        If the bytes are damaged, too many pixels, or no 8-bit colour image; it names
        ``where`` and ends with ``remedy``.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        image = Image.open(io.BytesIO(encoded))
        if image.width * image.height > MAX_PIXELS:
            raise InputError(
                where, "the image is too large for a patch",
                found=f"{image.width}x{image.height} px",
                expected=f"at most {MAX_PIXELS / 1e6:g} megapixels",
                remedy="cut it, or give the folder as slides",
            )  # fmt: skip
        image.load()
    except UnidentifiedImageError as error:
        raise InputError(
            where, "is not an image", found=f"{len(encoded)} bytes", expected="a JPEG or PNG file",
            remedy=remedy,
        ) from error  # fmt: skip
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        raise InputError(
            where, f"the image cannot be decoded ({error})", expected="a whole JPEG or PNG file",
            remedy=remedy,
        ) from error  # fmt: skip
    if image.mode == "RGB":
        return image
    if image.mode in ("RGBA", "P", "PA", "LA"):
        return on_colour(image.convert("RGBA"), (255, 255, 255))
    raise not_8_bit_rgb(Path(where), f"Pillow mode {image.mode!r}")


def encode(pixels: np.ndarray) -> bytes:
    """Encode uint8 (h, w, 3) as JPEG of quality 95 without chroma subsampling.

    Against PNG it is a third of the size and decodes four times as fast, and it changes a pixel of
    H&E by one to two grey levels on average: no more than the slide's own compression did.
    """
    from PIL import Image

    target = io.BytesIO()
    Image.fromarray(pixels).save(target, "JPEG", quality=_QUALITY, subsampling=0)
    return target.getvalue()


def side_px(shape: tuple[int, int], mpp: float | None, patch_um: float | None, where: str) -> float:
    """Width in px of the centred square to take from an image of (width, height).

    ``patch_um`` where the scale is known, else the largest square.

    Raises
    ------
    InputError
        If the image is narrower than the patch.
    """
    largest = float(min(shape))
    if mpp is None or patch_um is None:
        return largest
    if patch_um / mpp > largest * 1.01:
        raise InputError(
            where, "the image is smaller than a patch", found=f"{largest * mpp:.0f} µm",
            expected=f"at least {patch_um:g} µm",
            remedy="give a smaller patch_um, or check the µm/px of the collection",
        )  # fmt: skip
    return min(largest, patch_um / mpp)


def square(image: Image, side: float, size: int) -> np.ndarray:
    """Cut the centred square of ``side`` px and resample it, antialiased, to uint8 (S, S, 3)."""
    from PIL import Image

    left, top = (image.width - side) / 2, (image.height - side) / 2
    if side == size and left.is_integer() and top.is_integer():
        box = (int(left), int(top), int(left) + size, int(top) + size)
        return np.asarray(image.crop(box))
    box_px = (left, top, left + side, top + side)
    return np.asarray(image.resize((size, size), Image.Resampling.LANCZOS, box=box_px))
