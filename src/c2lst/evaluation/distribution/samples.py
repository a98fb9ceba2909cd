"""Sets of images as samples: what may be compared, what belongs together, what is redrawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from c2lst.errors import InputError

LEVEL = 0.95
BOOTSTRAPS = 1000


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval; NaN where it does not exist."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        """With two decimals."""
        return f"{self.value:.2f} ({self.low:.2f} to {self.high:.2f})"


def checked(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return two sets of features as float32.

    Raises
    ------
    InputError
        If they are no sets of features, not finite, or differ in length.
    """
    x, y = (_features(values) for values in (first, second))
    if x.shape[1] != y.shape[1]:
        raise InputError("features", "differ in length", found=y.shape[1], expected=x.shape[1])
    return x, y


def _features(values: np.ndarray) -> np.ndarray:
    array = np.asarray(values, dtype=np.float32)
    if array.ndim != 2 or len(array) < 2:
        raise InputError(
            "features", "no set of images", found=f"shape {array.shape}", expected="(n ≥ 2, d)"
        )
    if not np.isfinite(array).all():
        raise InputError("features", "are not finite", remedy="look at the images they come from")
    return array


def mean_estimate(
    values: np.ndarray,
    groups: Sequence[Any] | np.ndarray | None = None,
    *,
    bootstraps: int = BOOTSTRAPS,
    seed: int = 0,
) -> Estimate:
    """Return the mean of one value per image, and its interval by redrawing groups of images.

    Parameters
    ----------
    values
        ``(n,)``; NaN is left out.
    groups
        What each image belongs to, such as its spot; each to itself by default.
    bootstraps, seed
        Of the resamplings.
    """
    known = np.isfinite(values)
    if not known.any():
        return Estimate(np.nan, np.nan, np.nan)
    chosen = values[known].astype(np.float64)
    of = np.arange(len(values)) if groups is None else np.asarray(groups)
    columns = np.column_stack([chosen, np.ones_like(chosen)])
    sums = redrawn_sums(columns, of[known], bootstraps=bootstraps, seed=seed)
    return Estimate(float(chosen.mean()), *ends(sums[:, 0] / sums[:, 1]))


def redrawn_sums(
    values: np.ndarray,
    groups: Sequence[Any] | np.ndarray | None = None,
    *,
    bootstraps: int = BOOTSTRAPS,
    seed: int = 0,
) -> np.ndarray:
    """Sum ``(n, K)`` values over images whose groups are redrawn, ``(bootstraps, K)``."""
    numbers = np.arange(len(values)) if groups is None else _numbered(groups)
    sums = np.stack([np.bincount(numbers, column) for column in values.T], axis=1)
    rng = np.random.default_rng((seed, 21))
    share = np.full(len(sums), 1 / len(sums))
    # One at a time: memory does not grow with the number of resamplings.
    drawn = [rng.multinomial(len(sums), share) @ sums for _ in range(bootstraps)]
    return np.array(drawn).reshape(bootstraps, values.shape[1])


def ends(redrawn: np.ndarray) -> tuple[float, float]:
    """Return the ends of the 95 % interval of resampled values; NaN where there is none."""
    if not np.isfinite(redrawn).any():
        return float("nan"), float("nan")
    tail = 100 * (1 - LEVEL) / 2
    low, high = np.nanpercentile(redrawn, [tail, 100 - tail])
    return float(low), float(high)


def _numbered(groups: Sequence[Any] | np.ndarray) -> np.ndarray:
    return np.asarray(np.unique(np.asarray(groups), return_inverse=True)[1])


def halves(groups: Sequence[Any], *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Part images at random into two halves that share no group, as index arrays.

    The kernel distance between the two is the real-vs-real floor: what no generator can be
    expected to beat.
    """
    numbers = group_numbers(groups, len(groups))
    order = np.random.default_rng(seed).permutation(numbers.max() + 1)
    first = np.isin(numbers, order[: len(order) // 2])
    return np.flatnonzero(first), np.flatnonzero(~first)


def group_numbers(groups: Sequence[Any] | None, length: int) -> np.ndarray:
    """Return the number of each image's group, int (n,); each image its own without groups."""
    if groups is None:
        return np.arange(length)
    numbers = np.unique(np.asarray(groups), return_inverse=True)[1]
    if len(numbers) != length or numbers.max() == 0:
        raise InputError(
            "groups",
            "do not part the images",
            found=f"{len(np.unique(numbers))} groups of {len(numbers)} images",
            expected=f"at least two groups of {length} images",
        )
    return numbers


def resampled(groups: np.ndarray, bootstraps: int, rng: np.random.Generator) -> np.ndarray:
    """How often each image is drawn, (1 + bootstraps, n): first once each, then by bootstrap."""
    count = int(groups.max()) + 1
    drawn = rng.multinomial(count, np.full(count, 1 / count), size=bootstraps)
    return np.concatenate([np.ones((1, count)), drawn])[:, groups].astype(np.float32)
