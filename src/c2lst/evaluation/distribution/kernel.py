"""The kernel distance of two sets of images, with the interval that it deserves.

It is the squared maximum mean discrepancy under the cubic polynomial kernel
k(x, y) = (x·y/d + 1)³ (Bińkowski et al., ICLR 2018). Its estimate here has no bias at any size of
sample, so that a few hundred patches can be judged, and two sets of one distribution give zero on
average: values below zero are part of that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from c2lst.evaluation.distribution.samples import checked, ends, group_numbers, resampled

BLOCK = 4096
"""Rows of a set that are compared with each other at once; larger sets are cut into such parts."""

ROWS = 512


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
        are, and the bootstrap draws groups. Draws of one group alone leave no pair and are left
        out, so that the interval is too narrow for sets of two or three groups.
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
    x, y = checked(first, second)
    rng = np.random.default_rng(seed)
    members = [group_numbers(g, len(z)) for g, z in zip(groups, (x, y), strict=True)]
    weights = [resampled(g, bootstraps, rng) for g in members]
    parts = -(-min(len(x), len(y)) // BLOCK)
    pieces = [np.array_split(rng.permutation(len(z)), parts) for z in (x, y)]
    found = []
    for rows in zip(*pieces, strict=True):
        i, j = (chosen[:BLOCK] for chosen in rows)
        w, v = weights[0][:, i], weights[1][:, j]
        found.append(
            _mean_kernel(x[i], x[i], w, w, members[0][i])
            + _mean_kernel(y[j], y[j], v, v, members[1][j])
            - 2 * _mean_kernel(x[i], y[j], w, v)
        )
    known = np.isfinite(found)
    count = known.sum(axis=0)
    total = np.where(known, found, 0).sum(axis=0)
    estimates = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    low, high = ends(estimates[1:])
    return KernelDistance(float(estimates[0]), low, high, (len(x), len(y)))


def _mean_kernel(
    x: np.ndarray,
    y: np.ndarray,
    w: np.ndarray,
    v: np.ndarray,
    groups: np.ndarray | None = None,
) -> np.ndarray:
    """Weighted means of k over pairs, (1 + bootstraps,); pairs within a group are left out.

    NaN where no pair is left: all that was drawn is of one group.
    """
    total = np.zeros(len(w))
    for start in range(0, len(x), ROWS):
        rows = slice(start, start + ROWS)
        kernel = x[rows] @ y.T
        kernel /= x.shape[1]
        kernel += 1
        kernel *= kernel * kernel
        if groups is not None:
            kernel[groups[rows, None] == groups[None]] = 0
        total += np.einsum("br,br->b", w[:, rows], v @ kernel.T, dtype=np.float64)
    weight = w.sum(axis=1, dtype=np.float64) * v.sum(axis=1, dtype=np.float64)
    if groups is not None:
        weight -= _within_groups(w, v, groups)
    return np.where(weight > 0, total / np.maximum(weight, 1), np.nan)


def _within_groups(w: np.ndarray, v: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Weight of the pairs within a group, (1 + bootstraps,)."""
    order = np.argsort(groups, kind="stable")
    starts = np.flatnonzero(np.diff(groups[order], prepend=-1))
    sums = [np.add.reduceat(z[:, order], starts, axis=1, dtype=np.float64) for z in (w, v)]
    return np.asarray((sums[0] * sums[1]).sum(axis=1))
