"""µm/px as image files state it, where that can be believed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from c2lst.errors import InputError

_UM_PER_INCH = 25_400.0
_CREDIBLE = (0.05, 10.0)  # µm/px; 72, 96 or 300 dots per inch are a printer's, not a microscope's
_SQUARE = 0.01


def mpp_of_dpi(dpi: Any) -> float | None:
    """µm/px of (x, y) dots per inch; none where no microscope has such a resolution."""
    try:
        x, y = (_UM_PER_INCH / float(value) for value in dpi)
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    low, high = _CREDIBLE
    return (x + y) / 2 if low <= min(x, y) and max(x, y) <= high and _is_square(x, y) else None


def square_mpp(path: Path, x: float, y: float) -> float | None:
    """µm/px of a slide that states it along x and y; none where it is no length.

    Raises
    ------
    InputError
        If the two differ by more than 1 %.
    """
    if not (0 < x < float("inf") and 0 < y < float("inf")):
        return None
    if not _is_square(x, y):
        raise InputError(
            path,
            "the pixels are not square",
            found=f"{x:g} µm along x and {y:g} µm along y",
            expected="the same along both",
            remedy="resample the slide to square pixels",
        )
    return (x + y) / 2


def _is_square(x: float, y: float) -> bool:
    return abs(x / y - 1) <= _SQUARE
