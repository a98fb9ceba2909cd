"""The make-up of tissue: which kinds of nuclei, in which shares, and how far two sets differ.

The paper compares shares of cell types (its Table 1). Here they are compared by the Jensen-Shannon
divergence (Lin 1991), in bits: 0 for equal shares, 1 for shares with nothing in common.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from c2lst.errors import InputError
from c2lst.evaluation.cells.nuclei import Nuclei
from c2lst.evaluation.distribution.samples import Estimate, ends, redrawn_sums

SIZES = ("small", "middle", "large")
SHAPES = ("round", "long")


@dataclass(frozen=True)
class NuclearClasses:
    """Classes of nuclei: the kinds of the finder, or, where it knows one only, size and shape.

    Parameters
    ----------
    names
        Of the classes.
    areas_um2, eccentricity
        Limits between the classes of size and of shape; none where the kinds are the classes.
    """

    names: tuple[str, ...]
    areas_um2: tuple[float, ...] = ()
    eccentricity: float = float("nan")

    @classmethod
    def fit(cls, real: Nuclei) -> NuclearClasses:
        """Take the limits from real nuclei: a third of them of each size, half of each shape.

        Raises
        ------
        InputError
            If there are too few.
        """
        if len(real.kinds) > 1:
            return cls(real.kinds)
        names = tuple(f"{size}, {shape}" for size, shape in product(SIZES, SHAPES))
        if len(real) < len(names):
            raise InputError(
                "real patches", "show too few nuclei", found=len(real), expected="at least 6",
                remedy="look at the patches and their stain",
            )  # fmt: skip
        areas = np.quantile(real.area_um2, [1 / 3, 2 / 3])
        return cls(names, tuple(map(float, areas)), float(np.median(real.eccentricity)))

    def of(self, nuclei: Nuclei) -> np.ndarray:
        """Return the class of each nucleus, int (m,)."""
        if not self.areas_um2:
            return nuclei.kind
        size = np.searchsorted(self.areas_um2, nuclei.area_um2)
        return np.asarray(len(SHAPES) * size + (nuclei.eccentricity > self.eccentricity))

    def counts(self, nuclei: Nuclei) -> np.ndarray:
        """Return the nuclei of each class in each patch, int (n, K)."""
        flat = nuclei.patch * len(self.names) + self.of(nuclei)
        found = np.bincount(flat, minlength=nuclei.patches * len(self.names))
        return found.reshape(nuclei.patches, len(self.names))


def shares(
    counts: np.ndarray, groups: Sequence[Any] | np.ndarray | None = None, *, seed: int = 0
) -> list[Estimate]:
    """Share of each class over all patches, with its interval.

    Parameters
    ----------
    counts
        ``(n, K)`` nuclei of each class in each patch.
    groups
        ``(n,)``: the spot of each patch; patches of one are redrawn together.
    seed
        Of the resamplings.
    """
    found, redrawn = _shares(counts.sum(axis=0)), _shares(redrawn_sums(counts, groups, seed=seed))
    return [Estimate(float(found[k]), *ends(redrawn[:, k])) for k in range(counts.shape[1])]


def divergence(
    first: np.ndarray,
    second: np.ndarray,
    *,
    groups: tuple[Sequence[Any] | np.ndarray | None, Sequence[Any] | np.ndarray | None] = (
        None,
        None,
    ),
    seed: int = 0,
) -> Estimate:
    """Jensen-Shannon divergence of the shares of two sets of patches, in bits, with its interval.

    A divergence is never below 0, so that samples of one tissue lie a little above it: compare it
    with that of two sets of real patches.

    Parameters
    ----------
    first, second
        ``(n, K)`` and ``(m, K)`` nuclei of each class in each patch.
    groups
        For each set, the spot of each patch.
    seed
        Of the resamplings.
    """
    value = jensen_shannon(_shares(first.sum(axis=0)), _shares(second.sum(axis=0)))
    redrawn = [
        _shares(redrawn_sums(counts, of, seed=2 * seed + number))
        for number, (counts, of) in enumerate(zip((first, second), groups, strict=True))
    ]
    return Estimate(float(value), *ends(jensen_shannon(*redrawn)))


def jensen_shannon(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Jensen-Shannon divergence over the last axis of shares, in bits."""
    middle = (first + second) / 2

    def entropy(shares: np.ndarray) -> np.ndarray:
        return -np.where(shares > 0, shares * np.log2(np.where(shares > 0, shares, 1)), 0).sum(-1)

    # Without any nucleus there are no shares.
    there = np.isfinite(middle).all(axis=-1)
    apart = entropy(middle) - (entropy(first) + entropy(second)) / 2
    return np.asarray(np.where(there, np.clip(apart, 0, 1), np.nan))


def _shares(counts: np.ndarray) -> np.ndarray:
    """Shares over the last axis; NaN where nothing was counted."""
    total = counts.sum(axis=-1, keepdims=True)
    return np.asarray(counts / np.where(total > 0, total, np.nan))
