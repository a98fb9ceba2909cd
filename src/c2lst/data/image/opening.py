"""Which way a slide is read: tile by tile, by OpenSlide, or whole."""

from __future__ import annotations

from pathlib import Path

from c2lst.data.image.layout import is_tiff, open_aperio, open_tiff
from c2lst.data.image.memory import ArrayImage
from c2lst.data.image.plain import check_file, decode_with_mpp
from c2lst.data.image.slide import SlideImage
from c2lst.data.image.vendor import VendorImage, vendor_of

_APERIO = "aperio"
_PLAIN_TIFF = "generic-tiff"


def open_slide(path: Path) -> SlideImage:
    """``SlideImage.open``.

    OpenSlide knows the scanners' formats. Where all that it does is to decode JPEG tiles, we
    decode them ourselves, to the same pixels in a fraction of the time.
    """
    check_file(path)
    vendor = vendor_of(path)
    if vendor not in (None, _PLAIN_TIFF):
        slide = VendorImage(path)
        direct = open_aperio(path, slide.sizes, slide.mpp) if vendor == _APERIO else None
        return slide if direct is None else direct
    tiled = open_tiff(path) if is_tiff(path) else None
    if tiled is not None:
        return tiled
    pixels, mpp = decode_with_mpp(path)
    return ArrayImage(pixels, path, mpp)
