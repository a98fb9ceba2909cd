"""Slide images: opened once, read by region, refused with a reason when they cannot be used."""

from c2lst.data.image.memory import ArrayImage
from c2lst.data.image.plain import (
    IMAGE_SUFFIXES,
    MAX_PIXELS,
    decode_rgb,
    opened,
)
from c2lst.data.image.slide import SLIDE_SUFFIXES, SlideImage

__all__ = [
    "IMAGE_SUFFIXES",
    "MAX_PIXELS",
    "SLIDE_SUFFIXES",
    "ArrayImage",
    "SlideImage",
    "decode_rgb",
    "opened",
]
