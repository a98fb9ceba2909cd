"""From what a source gives to what is stored: checked, cut where that is asked for, hashed."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np

from c2lst.data.collections.copies import pixel_hash
from c2lst.data.collections.duplicates import small_grey
from c2lst.data.collections.pixels import decode, encode, side_px, square, suffix_of
from c2lst.data.collections.sources.base import SourcePatch
from c2lst.errors import InputError

_REMEDY = "copy it again, or leave it out with --skip-unreadable"


@dataclass(frozen=True)
class Cut:
    """What is cut from each image.

    Parameters
    ----------
    size
        Width in px to resample to; by default that of what is cut.
    patch_um
        Width in µm to cut from the centre; by default the largest square.
    mpp
        µm per px of the images that do not say it themselves.
    """

    size: int | None = None
    patch_um: float | None = None
    mpp: float | None = None

    @property
    def asked_for(self) -> bool:
        """Whether images are changed at all; else they stay as they are, square or not."""
        return self.size is not None or self.patch_um is not None


@dataclass(frozen=True, eq=False)
class Prepared:
    """A patch that can be stored.

    Parameters
    ----------
    patch
        As its source gave it.
    encoded
        JPEG or PNG.
    mpp
        µm per px, where it is known.
    width_px
        Of the shorter side.
    sha256
        Of the pixels.
    grey
        (32, 32), for the perceptual hash.
    """

    patch: SourcePatch
    encoded: bytes
    mpp: float | None
    width_px: int
    sha256: str
    grey: np.ndarray


def prepare(patch: SourcePatch, where: str, cut: Cut) -> Prepared:
    """Decode a patch, cut it, hash it. JPEG and PNG files that need no cut are kept as they are.

    Raises
    ------
    InputError
        If the image cannot be read, or is narrower than the patch to cut; the message names it.
    """
    from PIL import Image

    given = patch.image
    if isinstance(given, InputError):
        raise given
    image = decode(given, where, _REMEDY) if isinstance(given, bytes) else Image.fromarray(given)
    kept = given if isinstance(given, bytes) and suffix_of(given) else None
    mpp = cut.mpp if patch.mpp is None else patch.mpp
    pixels = np.asarray(image)
    if cut.asked_for:
        if cut.patch_um is not None and mpp is None:
            raise InputError(
                where, "its µm/px is not known", expected=f"a scale, to cut {cut.patch_um:g} µm",
                remedy="give --mpp, or leave out --patch-um",
            )  # fmt: skip
        side = side_px(image.size, mpp, cut.patch_um, where)
        size = round(side) if cut.size is None else cut.size
        if image.size != (size, size) or abs(side - size) > 1e-3:
            pixels, kept = square(image, side, size), None
            mpp = None if mpp is None else mpp * side / size
    if kept is None:
        kept = encode(pixels)
        pixels = np.asarray(Image.open(io.BytesIO(kept)))
    width = min(pixels.shape[:2])
    return Prepared(patch, kept, mpp, width, pixel_hash(pixels), small_grey(pixels[None])[0])
