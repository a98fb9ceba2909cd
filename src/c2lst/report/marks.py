"""Estimates as dots with intervals, and the axes that they stand on."""

from __future__ import annotations

import math
from dataclasses import dataclass

from c2lst.report.scores import Estimate
from c2lst.report.wording import number


@dataclass(frozen=True)
class Mark:
    """A dot with its interval, as per cent of an axis; ``text`` says the same in digits."""

    centre: float | None
    left: float
    width: float
    text: str

    @classmethod
    def of(cls, estimate: Estimate, ends: tuple[float, float]) -> Mark:
        """Place an estimate on an axis from end to end."""
        if not math.isfinite(estimate.value):
            return cls(None, 0, 0, "–")
        low = estimate.low if math.isfinite(estimate.low) else estimate.value
        high = estimate.high if math.isfinite(estimate.high) else estimate.value
        left = _position(low, ends)
        width = round(_position(high, ends) - left, 2)
        return cls(_position(estimate.value, ends), left, width, number(estimate.value))


@dataclass(frozen=True)
class Axis:
    """Ticks of a chart as (per cent, label), and where lines stand.

    ``reference`` is that of the default predictor, ``floor`` that of counting noise.
    """

    ticks: tuple[tuple[float, str], ...]
    reference: float | None
    floor: float | None = None

    @classmethod
    def of(cls, ends: tuple[float, float], ours: Estimate, floor: float = math.nan) -> Axis:
        """Choose round ticks from end to end."""
        length = ends[1] - ends[0]
        step = 10.0 ** math.floor(math.log10(length))
        step = next(s for s in (step / 5, step / 2, step, 2 * step) if length / s <= 5)
        digits = max(0, -math.floor(math.log10(step) + 1e-9))
        first, last = math.ceil(ends[0] / step), math.floor(ends[1] / step)
        ticks = tuple(
            (_position(k * step, ends), number(k * step, digits)) for k in range(first, last + 1)
        )
        lines = (_position(x, ends) if math.isfinite(x) else None for x in (ours.value, floor))
        return cls(ticks, *lines)


def ends_of(estimates: list[Estimate]) -> tuple[float, float]:
    """Return where an axis begins and ends that is to hold estimates with their intervals."""
    values = [x for e in estimates for x in (e.value, e.low, e.high) if math.isfinite(x)]
    if not values:
        return 0.0, 1.0
    low, high = min(values), max(values)
    pad = 0.06 * (high - low) or 0.05
    return low - pad, high + pad


def _position(value: float, ends: tuple[float, float]) -> float:
    return round(100 * (value - ends[0]) / (ends[1] - ends[0]), 2)
