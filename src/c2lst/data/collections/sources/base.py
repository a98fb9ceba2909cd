"""What a place of H&E patches gives: patches one by one, in a fixed order, as they were found."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from c2lst.errors import InputError


@dataclass(frozen=True, eq=False)
class SourcePatch:
    """One patch and what its source knows about it.

    Parameters
    ----------
    name
        Unique within the source: a path with ``/`` between its parts, or ``slide@x,y``, where x
        and y are the centre in full-resolution px.
    image
        The encoded bytes of a JPEG or PNG file as found, or uint8 RGB (h, w, 3), or why the image
        cannot be read: whoever takes the patches decides whether that ends the work.
    slide
        The slide it was cut from.
    group
        What must not be divided between training and validation, where that is not the slide.
    label
        Its class.
    mpp
        µm per px of ``image``.
    split
        ``"train"`` or ``"val"`` where the source says so.
    """

    name: str
    image: bytes | np.ndarray | InputError
    slide: str | None = None
    group: str | None = None
    label: str | None = None
    mpp: float | None = None
    split: str | None = None


def unreadable(error: InputError) -> InputError:
    """Say of an image that cannot be read that it need not end the work."""
    remedy = ", ".join(filter(None, (error.remedy, "or leave it out with --skip-unreadable")))
    return InputError(
        error.where, error.problem, found=error.found, expected=error.expected,
        remedy=remedy.removeprefix("or "),
    )  # fmt: skip


class Source(Protocol):
    """Patches of one place, streamed.

    Iterating starts anew each time, holds one patch or one batch in memory, and always gives the
    same patches in the same order. Bad input raises ``InputError`` as soon as it is met; an image
    that cannot be read is given as its error, since those after it may be sound.
    """

    @property
    def origin(self) -> str:
        """Where the patches are from, for messages and the card."""

    @property
    def licence(self) -> str | None:
        """Terms of the source, where it states them."""

    @property
    def count(self) -> int | None:
        """Number of patches, where it is known before they are read."""

    def __iter__(self) -> Iterator[SourcePatch]:
        """Give the patches, one after the other."""


@dataclass(frozen=True)
class SourceOptions:
    """How a source is to be read, where it has the choice.

    Parameters
    ----------
    mpp
        µm per px of the images, where their files do not say.
    patch_um, size
        Width of the patches that are cut from slides, in µm and px.
    stride_um
        Step between patches on a slide; ``patch_um`` by default.
    context
        Whether patches that only surround a labelled one are given too.
    """

    mpp: float | None = None
    patch_um: float = 112.0
    size: int = 224
    stride_um: float | None = None
    context: bool = False

    def __post_init__(self) -> None:
        for name in ("mpp", "patch_um", "size", "stride_um"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value > 0):
                raise InputError(
                    name,
                    "is no width",
                    found=value,
                    expected="above 0",
                    remedy=f"correct --{name.replace('_', '-')}",
                )
