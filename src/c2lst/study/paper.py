"""What C2L-ST reports (Table 2 and Fig 7): mean absolute errors of its network on four slides.

Its "normalised" expression is not defined, so that only relative drops can be compared with ours;
and its epochs are fixed, so that more pairs also mean more optimiser steps.
"""

from __future__ import annotations

from collections.abc import Mapping

BY_RATIO: Mapping[str, tuple[float, ...]] = {
    "ZEN48": (
        *(0.4115, 0.3993, 0.3888, 0.3789, 0.3770, 0.3699),
        *(0.3657, 0.3607, 0.3569, 0.3539, 0.3546),
    ),
    "TENX13": (
        *(0.3903, 0.3755, 0.3636, 0.3628, 0.3559, 0.3511),
        *(0.3463, 0.3462, 0.3405, 0.3386, 0.3391),
    ),
    "MEND40": (
        *(0.5451, 0.5298, 0.5165, 0.5116, 0.5054, 0.5000),
        *(0.4969, 0.5074, 0.4962, 0.4990, 0.5016),
    ),
    "MEND90": (
        *(0.5030, 0.4903, 0.4879, 0.4696, 0.4670, 0.4587),
        *(0.4558, 0.4536, 0.4488, 0.4465, 0.4469),
    ),
}
"""Slide to its error at 25 % of spots, real only and with 1 to 10 synthetic pairs for each."""

BY_FRACTION: Mapping[float, tuple[tuple[float, float], ...]] = {
    0.05: ((0.5944, 0.4104), (0.5950, 0.3680)),
    0.1: ((0.4928, 0.3792), (0.4240, 0.3523)),
    0.5: ((0.3994, 0.3490), (0.3819, 0.3369)),
}
"""Share of spots to errors of ZEN48 and TENX13, real only and with 10 for each."""


def relative_drops(fraction: float, ratio: int) -> tuple[float, float] | None:
    """Return the least and the largest relative drop that the paper has; None where it has none."""
    pairs: tuple[tuple[float, float], ...] = ()
    if fraction == 0.25 and 0 < ratio <= 10:
        pairs = tuple((errors[0], errors[ratio]) for errors in BY_RATIO.values())
    elif ratio == 10:
        pairs = BY_FRACTION.get(fraction, ())
    drops = [1 - synthetic / real for real, synthetic in pairs]
    return (min(drops), max(drops)) if drops else None
