"""Paired differences of errors, with intervals over seeds and places of the tissue at once.

Two methods are compared on the same held-out spots of the same splits. Seeds and spatial blocks
are crossed: every seed's split lies over the same tissue. What varies from seed to seed and what
varies from block to block each make the mean uncertain, and both variances are added (as of crossed
clusters: Cameron, Gelbach & Miller, J. Business & Economic Statistics 2011, without what seeds and
blocks have in common being taken off again, which is cautious). A variance over two or three seeds
is itself hardly known: the interval is Student's t, at Satterthwaite's degrees of freedom
(Biometrics Bulletin 1946). Where blocks decide, that is nearly the normal law; where three seeds
do, it is more than twice as wide.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from c2lst.study.block_errors import ALL
from c2lst.study.contenders import Contender

if TYPE_CHECKING:
    from pandas import DataFrame


@dataclass(frozen=True)
class Difference:
    """How much more one method errs than another; negative where it errs less.

    Parameters
    ----------
    value, low, high
        Mean over held-out spots and seeds, and its 95 % interval; log1p units.
    base
        Mean error of the other method.
    seeds
        Splits that both were judged on.
    """

    value: float
    low: float
    high: float
    base: float
    seeds: int

    @property
    def sign(self) -> int:
        """-1 or 1 where the interval leaves 0 out; 0 where it does not, or for a single seed."""
        if self.seeds < 2 or not np.isfinite(self.low):
            return 0
        return int(self.low > 0) - int(self.high < 0)

    @property
    def relative(self) -> tuple[float, float, float]:
        """The same as a share of the other's error; without an interval for a single seed."""
        ends = (self.low, self.high) if self.seeds > 1 else (np.nan, np.nan)
        return self.value / self.base, ends[0] / self.base, ends[1] / self.base


class Place:
    """The errors of all methods in one place of the grid: section, scheme and fraction.

    Parameters
    ----------
    rows
        Of ``blocks.parquet``, one section, scheme, fraction and group of genes.
    """

    def __init__(self, rows: DataFrame) -> None:
        self._seeds, seeds = np.unique(rows["seed"].to_numpy(), return_inverse=True)
        blocks = np.unique(rows["block"].to_numpy(), return_inverse=True)[1]
        shape = (len(self._seeds), int(blocks.max()) + 1)
        self._sums: dict[Contender, np.ndarray] = {}
        groups: Any = rows.groupby(["arm", "network", "method"], sort=False)
        for key, at in groups.indices.items():
            sums = np.zeros((2, *shape))
            for part, name in enumerate(("error", "spots")):
                np.add.at(sums[part], (seeds[at], blocks[at]), rows[name].to_numpy()[at])
            self._sums[Contender(*key)] = sums

    def __contains__(self, contender: Contender) -> bool:
        return contender in self._sums

    def seeds(self, contender: Contender) -> set[int]:
        """Seeds that a method was judged with."""
        judged = self._sums[contender][1].any(axis=1)
        return {int(seed) for seed in self._seeds[judged]}

    def mean(self, contender: Contender, seeds: set[int]) -> float:
        """Mean error over the held-out spots of some seeds."""
        errors, spots = self._of(contender, seeds)
        return float(errors.sum() / spots.sum())

    def _of(self, contender: Contender, seeds: set[int]) -> np.ndarray:
        sums: np.ndarray = self._sums[contender][:, np.isin(self._seeds, sorted(seeds))]
        return sums

    def difference(self, method: Contender, against: Contender) -> Difference:
        """Compare two methods over the seeds that both have; NaN without a common one."""
        common = self.seeds(method) & self.seeds(against)
        if not common:
            return Difference(*(float("nan"),) * 4, seeds=0)
        (own, _), (other, spots) = self._of(method, common), self._of(against, common)
        value, half = mean_and_half_width(own - other, spots)
        base = self.mean(against, common)
        return Difference(value, value - half, value + half, base, len(common))


def mean_and_half_width(errors: np.ndarray, spots: np.ndarray) -> tuple[float, float]:
    """Return the mean error of a spot, and half the width of its 95 % interval.

    Parameters
    ----------
    errors, spots
        Shape (seeds, blocks): errors summed over spots, and numbers of spots. Of a single seed the
        interval is over blocks alone.
    """
    from scipy.stats import t

    count = spots.sum()
    mean = errors.sum() / count
    # What a seed, or a block, adds to the mean beyond its share of it.
    beyond = (errors - mean * spots)[:, spots.any(axis=0)] / count
    parts = [_variance_of_sum(beyond.sum(axis=axis)) for axis in (1, 0)]
    variance = sum(part for part, _ in parts)
    if not variance:
        return float(mean), 0.0
    freedom = variance**2 / sum(part**2 / most for part, most in parts if part)
    return float(mean), float(t.ppf(0.975, freedom) * np.sqrt(variance))


def _variance_of_sum(parts: np.ndarray) -> tuple[float, int]:
    """Estimate the variance of the sum of n parts that sum up to 0, and its degrees of freedom."""
    n = len(parts)
    return (n / (n - 1) * float((parts**2).sum()) if n > 1 else 0.0), n - 1


def places(blocks: DataFrame, genes: str = ALL) -> dict[tuple[str, str, float], Place]:
    """Return every (section, scheme, fraction) of ``blocks.parquet``, in order of the table."""
    rows = blocks[blocks["genes"] == genes]
    keys = ["section", "scheme", "fraction"]
    groups: Any = rows.groupby(keys, sort=True)
    return {key: Place(own) for key, own in groups}
