"""How sure a measured share or AUC is, given how few spots it is measured on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

Verdict = Literal["pass", "fail", "undecided"]

CHANCE = 0.5
FAIL_ABOVE = 0.55
"""An interval that lies above this is an effect that is there, and is not small."""
CLEAR_BELOW = 0.7
"""An interval must end below this to say that there is no large effect."""
FEWEST = 10
"""Spots on either side below which nothing can be said."""

_Z95 = 1.959964


@dataclass(frozen=True)
class Interval:
    """A value that is 0.5 by chance, with its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.2f} ({self.low:.2f} to {self.high:.2f})"

    @classmethod
    def around(cls, value: float, variance: float) -> Interval:
        """Return the normal interval of a share, within 0 and 1."""
        half = _Z95 * float(np.sqrt(variance))
        return cls(float(value), max(0.0, float(value - half)), min(1.0, float(value + half)))

    def judge(self, spots: int) -> Verdict:
        """Judge a share or AUC that should not be above a half.

        Parameters
        ----------
        spots
            Those on the smaller side.

        Returns
        -------
        str
            ``fail`` if the interval lies above 0.55. ``pass`` if it reaches below that and ends
            below 0.7, so that a large effect is ruled out. Else ``undecided``: too few spots.
        """
        if self.low > FAIL_ABOVE:
            return "fail"
        return "pass" if self.high < CLEAR_BELOW and spots >= FEWEST else "undecided"


def auc(members: np.ndarray, others: np.ndarray) -> Interval:
    """Area under the ROC curve of scores, with the interval of DeLong et al. (1988).

    Parameters
    ----------
    members, others
        Scores ``(m,)`` and ``(n,)``, at least two each; members should score higher.
    """
    from scipy.stats import rankdata

    m, n = len(members), len(others)
    ranks = rankdata(np.concatenate([members, others]))
    # For each member the share of others below it, and the reverse.
    above = (ranks[:m] - rankdata(members)) / n
    below = 1 - (ranks[m:] - rankdata(others)) / m
    variance = above.var(ddof=1) / m + below.var(ddof=1) / n
    return Interval.around(above.mean(), variance)


def hit_rate(members: np.ndarray, others: np.ndarray, false_alarms: float) -> float | None:
    """Share of members told at a rate of false alarms; ``None`` of too few others for that rate."""
    allowed = int(false_alarms * len(others))
    if allowed < 1:
        return None
    threshold = np.sort(others)[::-1][allowed]
    return float((members > threshold).mean())


def clustered_variance(scores: np.ndarray, groups: np.ndarray, seed: int) -> float:
    """Variance of the mean score when whole groups are drawn again (bootstrap, 500 times)."""
    numbers = np.unique(groups, return_inverse=True)[1]
    sums, sizes = np.bincount(numbers, scores), np.bincount(numbers)
    count = len(sums)
    drawn = np.random.default_rng((seed, 1)).multinomial(count, [1 / count] * count, size=500)
    return float(((drawn @ sums) / (drawn @ sizes)).var(ddof=1))
