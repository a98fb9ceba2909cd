"""Intervals that respect space: whole blocks of neighbouring spots are resampled.

Neighbouring spots err alike, so resampling single spots would give intervals that are too narrow.
All sums that the metrics need are kept per block: a resample is then a matrix product.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

RESAMPLES = 2000
BLOCKS_ACROSS = 6
"""Blocks along the longer side of the held-out spots."""

FEWEST_BLOCKS = 6
"""With fewer occupied blocks, single spots are resampled instead."""

TINY = 1e-12


@dataclass(frozen=True)
class SpatialBlocks:
    """Spatial blocks and how often each resample draws them.

    Parameters
    ----------
    members
        Shape (b, t): 1 where a spot is in a block.
    draws
        Shape (resamples, b).
    """

    members: np.ndarray
    draws: np.ndarray

    @classmethod
    def of(cls, xy: np.ndarray, resamples: int, seed: int) -> SpatialBlocks:
        """Lay square blocks over the spots at ``xy`` (t, 2), and draw the resamples."""
        side = max(float(np.ptp(xy, axis=0).max()) / BLOCKS_ACROSS, 1e-9)
        cells = np.floor((xy - xy.min(axis=0)) / side).astype(int)
        # The spot at the far border would otherwise make a block of its own.
        cells = np.minimum(cells, BLOCKS_ACROSS - 1)
        _, label = np.unique(cells, axis=0, return_inverse=True)
        label = label.ravel()
        if label.max() + 1 < FEWEST_BLOCKS:
            label = np.arange(len(xy))
        members = (label == np.arange(label.max() + 1)[:, None]).astype(np.float64)
        blocks = len(members)
        rng = np.random.default_rng(seed)
        draws = rng.multinomial(blocks, np.full(blocks, 1 / blocks), size=resamples)
        return cls(members, draws.astype(np.float64))

    def sums(self, values: np.ndarray) -> np.ndarray:
        """Sum values (t, k) over each resample: (resamples, k)."""
        return self.draws @ (self.members @ values)

    def means(self, values: np.ndarray) -> np.ndarray:
        """Mean of values (t, k) in each resample: (resamples, k)."""
        return self.sums(values) / self.sums(np.ones((len(values), 1)))

    def mean(self, values: np.ndarray) -> np.ndarray:
        """Mean of values (t,) in each resample: (resamples,)."""
        return self.means(values[:, None])[:, 0]

    def pearson(self, observed: np.ndarray, predicted: np.ndarray) -> np.ndarray:
        """Mean gene-wise Pearson correlation of each resample: (resamples,)."""
        # Centring first keeps the sums of squares from cancelling.
        x, y = observed - observed.mean(axis=0), predicted - predicted.mean(axis=0)
        sx, sy = self.means(x), self.means(y)
        covariance = self.means(x * y) - sx * sy
        vx, vy = self.means(x * x) - sx**2, self.means(y * y) - sy**2
        varies = vx > TINY * np.maximum(x.var(axis=0), TINY)
        explained = vy > TINY * np.maximum(y.var(axis=0), TINY)
        product = np.where(varies & explained, vx * vy, 1.0)
        correlation = np.where(varies & explained, covariance / np.sqrt(product), 0.0)
        return _mean_where(correlation, varies)

    def r2(self, observed: np.ndarray, predicted: np.ndarray) -> np.ndarray:
        """Mean gene-wise R² of each resample: (resamples,).

        Variance is counted around the mean of all spots: around that of a resample, in which whole
        blocks are missing, it would be too small, and R² too low.
        """
        square = (observed - observed.mean(axis=0)) ** 2
        variance = self.means(square)
        varies = variance > TINY * np.maximum(square.mean(axis=0), TINY)
        unexplained = self.means((predicted - observed) ** 2)
        return _mean_where(1 - unexplained / np.where(varies, variance, 1.0), varies)


def _mean_where(values: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Mean of each row over the valid columns; NaN in a row without one."""
    count = valid.sum(axis=1)
    total = np.where(valid, values, 0.0).sum(axis=1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def interval(values: np.ndarray) -> tuple[float, float]:
    """Return the 95 % interval of a statistic over resamples; NaN where it never exists."""
    values = values[np.isfinite(values)]
    if not values.size:
        return float("nan"), float("nan")
    low, high = np.quantile(values, (0.025, 0.975))
    return float(low), float(high)


def bounds(name: str, values: np.ndarray) -> dict[str, float]:
    """``<name>_low`` and ``<name>_high`` of a statistic over resamples."""
    low, high = interval(values)
    return {f"{name}_low": low, f"{name}_high": high}
