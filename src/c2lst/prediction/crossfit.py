"""Predict training spots by refits that never saw them, at the distances that matter.

A spot that is left out alone has nearer neighbours than most spots to be predicted where these lie
in gaps, and a model that is only downdated keeps what it learnt from the spot (its scale, its
centre, its kernels). Here whole folds are left out and the model is fitted again: folds at random,
and whole blocks of neighbours where the spots to be predicted are farther away than such folds
reach.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from c2lst.prediction.folds import draw_folds
from c2lst.progress import progress_bar

Refit = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
"""Rows to fit to, and rows to predict, to their mean and standard deviation (q, G)."""

FOLDS = 10
BLOCKS = (8, 4, 2)
"""Parts that training spots are cut into in turn, until gaps are as wide as those to be filled."""

REACHED = 0.95
"""Share of the places to predict whose distance the left-out spots have to reach."""


@dataclass(frozen=True, eq=False)
class LeftOut:
    """Training spots as predicted by refits without them; a spot may come several times.

    Parameters
    ----------
    spots
        int (m,): which training spot. The first n rows are the random folds, in order.
    distance
        (m,): µm to the nearest spot of the refit.
    mean, sd
        (m, G).
    """

    spots: np.ndarray
    distance: np.ndarray
    mean: np.ndarray
    sd: np.ndarray

    def first(self, rows: int) -> LeftOut:
        """Return the first rows."""
        return LeftOut(*(part[:rows] for part in self._parts))

    def joined(self, other: LeftOut | None) -> LeftOut:
        """Append the rows of another, if there is one."""
        if other is None:
            return self
        pairs = zip(self._parts, other._parts, strict=True)
        return LeftOut(*(np.concatenate(pair) for pair in pairs))

    @property
    def _parts(self) -> tuple[np.ndarray, ...]:
        return self.spots, self.distance, self.mean, self.sd


def random_folds(n: int, seed: int) -> np.ndarray:
    """Fold of each of ``n`` spots, at random: int (n,); one spot each where there are few."""
    return draw_folds(n, FOLDS, seed)


def block_folds(xy: np.ndarray, parts: int) -> np.ndarray:
    """Fold of each spot at ``xy`` (n, 2), by halving the tissue: int (n,) below ``parts``."""
    fold = np.zeros(len(xy), dtype=np.int64)
    while fold.max() + 1 < min(parts, len(xy)):
        for label in range(fold.max() + 1):
            members = np.flatnonzero(fold == label)
            side = np.argmax(np.ptp(xy[members], axis=0))
            order = members[np.argsort(xy[members, side], kind="stable")]
            fold[order[len(order) // 2 :]] = fold.max() + 1
    return fold


def gaps(xy: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """Distance of each spot to the nearest one of another fold, (n,)."""
    from scipy.spatial import KDTree

    distance = np.empty(len(xy))
    for out in _parts(fold):
        distance[out] = KDTree(xy[~out]).query(xy[out])[0]
    return distance


def fold_sets(xy: np.ndarray, targets: np.ndarray, seed: int) -> list[np.ndarray]:
    """Choose folds whose left-out spots are as far from the others as the spots to predict are.

    Parameters
    ----------
    xy
        Training spots (n, 2), µm.
    targets
        Distances (t,) of the places to predict to their nearest training spot, µm; may be empty.
    seed
        Of the random folds.

    Returns
    -------
    list of numpy.ndarray
        Folds at random first, then ever larger blocks as far as needed: int (n,) each.
    """
    sets = [random_folds(len(xy), seed)]
    farthest = np.quantile(targets, REACHED) if len(targets) else 0.0
    for parts in BLOCKS:
        # A tenth of the spots at that distance or beyond: enough to tell a quantile there.
        reach = max(np.quantile(gaps(xy, fold), 0.9) for fold in sets)
        if reach >= farthest or len(xy) < 2 * parts:
            break
        sets.append(block_folds(xy, parts))
    return sets


def left_out(refit: Refit, xy: np.ndarray, sets: list[np.ndarray]) -> LeftOut:
    """Refit without each fold of each set, and predict it.

    Parameters
    ----------
    refit
        How to fit to some training spots and predict others.
    xy
        Training spots (n, 2), µm.
    sets
        Folds (n,), as of :func:`fold_sets`.
    """
    n = len(xy)
    found = []
    with progress_bar("left out", sum(int(fold.max()) + 1 for fold in sets)) as bar:
        for fold in sets:
            mean, sd = None, None
            for out in _parts(fold):
                part = refit(np.flatnonzero(~out), np.flatnonzero(out))
                if mean is None or sd is None:
                    mean, sd = (np.empty((n, part[0].shape[1])) for _ in range(2))
                mean[out], sd[out] = part
                bar.advance()
            found.append((np.arange(n), gaps(xy, fold), mean, sd))
    return LeftOut(*(np.concatenate(parts) for parts in zip(*found, strict=True)))


def _parts(fold: np.ndarray) -> Iterator[np.ndarray]:
    """Whether each spot is in the fold, one fold after the other: bool (n,)."""
    for label in range(int(fold.max()) + 1):
        yield fold == label
