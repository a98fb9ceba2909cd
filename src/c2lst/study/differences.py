"""Paired differences of errors, with intervals over seeds and places of the tissue at once.

Two methods are compared on the same held-out spots of the same splits. Seeds and spatial blocks
are crossed: every seed's split lies over the same tissue. Both are resampled, each on its own, and
a resample is what the drawn seeds show in the drawn blocks (the pigeonhole bootstrap: Owen, Annals
of Applied Statistics 2007), which for crossed factors is cautious rather than bold.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from c2lst.evaluation.expression.blocks import RESAMPLES, interval
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
        low, high = interval(resampled(own - other, spots))
        value = float((own - other).sum() / spots.sum())
        return Difference(value, low, high, self.mean(against, common), len(common))


def resampled(errors: np.ndarray, spots: np.ndarray, resamples: int = RESAMPLES) -> np.ndarray:
    """Draw seeds and blocks with replacement, and return the mean error of each draw.

    Parameters
    ----------
    errors, spots
        Shape (seeds, blocks): errors summed over spots, and numbers of spots.

    Returns
    -------
    numpy.ndarray
        Shape (resamples,); NaN where a draw has no spot.
    """
    by_seed, by_block = _draws(*errors.shape, resamples)
    total, count = (((by_seed @ x) * by_block).sum(axis=1) for x in (errors, spots))
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


@lru_cache(maxsize=8)
def _draws(seeds: int, blocks: int, resamples: int) -> tuple[np.ndarray, np.ndarray]:
    """How often each resample has each seed, and each block."""
    rng = np.random.default_rng(0)
    drawn = (rng.multinomial(n, np.full(n, 1 / n), size=resamples) for n in (seeds, blocks))
    by_seed, by_block = (counts.astype(np.float64) for counts in drawn)
    return by_seed, by_block


def places(blocks: DataFrame, genes: str = ALL) -> dict[tuple[str, str, float], Place]:
    """Return every (section, scheme, fraction) of ``blocks.parquet``, in order of the table."""
    rows = blocks[blocks["genes"] == genes]
    keys = ["section", "scheme", "fraction"]
    groups: Any = rows.groupby(keys, sort=True)
    return {key: Place(own) for key, own in groups}
