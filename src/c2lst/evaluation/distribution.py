"""How far apart two sets of images are, on feature arrays, with the interval that it deserves.

The kernel distance is the squared maximum mean discrepancy under the cubic polynomial kernel
k(x, y) = (x·y/d + 1)³ (Bińkowski et al., ICLR 2018). Its estimate here has no bias at any size of
sample, so that a few hundred patches can be judged, and two sets of one distribution give zero on
average: values below zero are part of that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from c2lst.errors import InputError

BLOCK = 4096
"""Rows of a set that are compared with each other at once; larger sets are cut into such parts."""

ROWS = 512
LEVEL = 0.95


@dataclass(frozen=True)
class KernelDistance:
    """A squared kernel distance with its 95 % bootstrap interval.

    Parameters
    ----------
    value, low, high
        The estimate and the ends of the interval.
    n
        Images of the first and of the second set.
    """

    value: float
    low: float
    high: float
    n: tuple[int, int]

    def __str__(self) -> str:
        """In thousandths, as kernel distances are usually printed."""
        low, high = 1e3 * self.low, 1e3 * self.high
        return f"{1e3 * self.value:.2f} ({low:.2f} to {high:.2f}) ×10⁻³"

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)


def kernel_distance(
    first: np.ndarray,
    second: np.ndarray,
    *,
    groups: tuple[Sequence[Any] | None, Sequence[Any] | None] = (None, None),
    bootstraps: int = 200,
    seed: int = 0,
) -> KernelDistance:
    """Estimate the kernel distance between two sets of images without bias.

    Parameters
    ----------
    first, second
        Features ``(n, d)`` and ``(m, d)``.
    groups
        For each set, what its images come from (slide, patient, field), where that is known.
        Images of one group are alike: pairs of them are left out as pairs of an image with itself
        are, and the bootstrap draws groups.
    bootstraps
        Resamplings behind the interval.
    seed
        Of the resamplings, and of how large sets are cut into parts.

    Raises
    ------
    InputError
        If the features are not finite, differ in length, or a set has fewer than two groups.

    Notes
    -----
    Sets of more than 4,096 images are cut at random into parts of at most that many, whose
    estimates are averaged: time grows with n, memory does not. Beyond the parts that both sets
    fill, rows of the larger one are left out.
    """
    x, y = _checked(first), _checked(second)
    if x.shape[1] != y.shape[1]:
        raise InputError("features", "differ in length", found=y.shape[1], expected=x.shape[1])
    rng = np.random.default_rng(seed)
    members = [_group_numbers(g, len(z)) for g, z in zip(groups, (x, y), strict=True)]
    weights = [_resampled(g, bootstraps, rng) for g in members]
    parts = -(-min(len(x), len(y)) // BLOCK)
    pieces = [np.array_split(rng.permutation(len(z)), parts) for z in (x, y)]
    estimates = np.zeros(bootstraps + 1)
    for rows in zip(*pieces, strict=True):
        i, j = (chosen[:BLOCK] for chosen in rows)
        w, v = weights[0][:, i], weights[1][:, j]
        estimates += (
            _mean_kernel(x[i], x[i], w, w, members[0][i])
            + _mean_kernel(y[j], y[j], v, v, members[1][j])
            - 2 * _mean_kernel(x[i], y[j], w, v)
        ) / parts
    tail = 100 * (1 - LEVEL) / 2
    low, high = np.percentile(estimates[1:], [tail, 100 - tail]) if bootstraps else (np.nan,) * 2
    return KernelDistance(float(estimates[0]), float(low), float(high), (len(x), len(y)))


def halves(groups: Sequence[Any], *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Part images at random into two halves that share no group, as index arrays.

    The kernel distance between the two is the real-vs-real floor: what no generator can be
    expected to beat.
    """
    numbers = _group_numbers(groups, len(groups))
    order = np.random.default_rng(seed).permutation(numbers.max() + 1)
    first = np.isin(numbers, order[: len(order) // 2])
    return np.flatnonzero(first), np.flatnonzero(~first)


def _checked(features: np.ndarray) -> np.ndarray:
    array = np.asarray(features, dtype=np.float32)
    if array.ndim != 2 or len(array) < 2:
        raise InputError(
            "features", "no set of images", found=f"shape {array.shape}", expected="(n ≥ 2, d)"
        )
    if not np.isfinite(array).all():
        raise InputError("features", "are not finite", remedy="look at the images they come from")
    return array


def _group_numbers(groups: Sequence[Any] | None, length: int) -> np.ndarray:
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


def _resampled(groups: np.ndarray, bootstraps: int, rng: np.random.Generator) -> np.ndarray:
    """How often each image is drawn, (1 + bootstraps, n): first once each, then by bootstrap."""
    count = int(groups.max()) + 1
    drawn = rng.multinomial(count, np.full(count, 1 / count), size=bootstraps)
    return np.concatenate([np.ones((1, count)), drawn])[:, groups].astype(np.float32)


def _mean_kernel(
    x: np.ndarray,
    y: np.ndarray,
    w: np.ndarray,
    v: np.ndarray,
    groups: np.ndarray | None = None,
) -> np.ndarray:
    """Weighted means of k over pairs, (1 + bootstraps,); pairs within a group are left out."""
    total, weight = np.zeros(len(w)), np.zeros(len(w))
    for start in range(0, len(x), ROWS):
        rows = slice(start, start + ROWS)
        kernel = (x[rows] @ y.T / x.shape[1] + 1) ** 3
        counted = np.ones_like(kernel)
        if groups is not None:
            counted = (groups[rows, None] != groups[None]).astype(np.float32)
        total += np.einsum("br,br->b", w[:, rows], v @ (kernel * counted).T, dtype=np.float64)
        weight += np.einsum("br,br->b", w[:, rows], v @ counted.T, dtype=np.float64)
    return total / np.maximum(weight, 1e-12)
