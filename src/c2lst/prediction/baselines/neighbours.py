"""Averages of the nearest sampled spots: k nearest neighbours, and inverse distance weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from c2lst.prediction.baselines.spots import Spots
from c2lst.rules import at_least, hold, whole

NEIGHBOURS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
"""Numbers of neighbours that :func:`nearest_neighbours` chooses from."""

POWERS = (0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
"""Powers of distance that :func:`inverse_distance` chooses from."""

REACH = 64
"""Nearest spots that take part in an inverse distance average."""

_TIED = 16
"""Spots looked at beyond the last neighbour, among which ties with it are sought."""

Weights = Callable[[np.ndarray], np.ndarray]
"""Sorted distances (q, m) to weights (q, m), which need not sum to one."""


@dataclass(frozen=True, eq=False)
class NeighbourAverage:
    """A weighted mean of the nearest training spots; the weights follow from distances alone.

    Parameters
    ----------
    xy, y
        Training places (n, 2) in µm and expression (n, G).
    weights
        Distances to weights.
    """

    xy: np.ndarray
    y: np.ndarray
    weights: Weights

    def predict(self, spots: Spots) -> np.ndarray:
        """Average at every spot: (q, G)."""
        return _average(self.y, *_nearest(self.xy, spots.xy), self.weights)

    def left_out(self) -> np.ndarray:
        """Average at every training spot, itself not taken: (n, G)."""
        return _average(self.y, *_others(self.xy), self.weights)


def nearest_neighbours(
    spots: Spots, y: np.ndarray, *, neighbours: int | None = None
) -> NeighbourAverage:
    """Fit the plain mean of the k nearest spots.

    Spots that are equally far share the last places, so that no choice between them is made.

    Parameters
    ----------
    spots, y
        Training spots and their expression (n, G).
    neighbours
        The k; by default the one of :data:`NEIGHBOURS` that :func:`_least_error` prefers.
    """
    if neighbours is not None:
        return NeighbourAverage(spots.xy, y, _Shares(neighbours))
    return _least_error(spots, y, [_Shares(k) for k in NEIGHBOURS if k < len(y)] or [_Shares(1)])


def inverse_distance(
    spots: Spots, y: np.ndarray, *, power: float | None = None
) -> NeighbourAverage:
    """Fit inverse distance weighting of the :data:`REACH` nearest spots (Shepard, 1968).

    Parameters
    ----------
    spots, y
        Training spots and their expression (n, G).
    power
        Of the distance; by default the one of :data:`POWERS` that :func:`_least_error` prefers.
    """
    if power is not None:
        return NeighbourAverage(spots.xy, y, _Inverse(power))
    return _least_error(spots, y, [_Inverse(p) for p in POWERS])


@dataclass(frozen=True)
class _Shares:
    """One for each of the ``k`` nearest; spots tied for the last places share them."""

    k: int

    def __post_init__(self) -> None:
        hold(self, "nearest neighbours", k=whole(1))

    def __call__(self, distance: np.ndarray) -> np.ndarray:
        k = min(self.k, distance.shape[1])
        last = distance[:, k - 1 : k]
        nearer = distance < last * (1 - 1e-9)
        tied = ~nearer & (distance <= last * (1 + 1e-9))
        places = k - nearer.sum(axis=1, keepdims=True)
        return nearer + tied * places / tied.sum(axis=1, keepdims=True)


@dataclass(frozen=True)
class _Inverse:
    """d⁻ᵖ; where spots coincide with the place they alone count."""

    power: float

    def __post_init__(self) -> None:
        hold(self, "inverse distance", power=at_least(0))

    def __call__(self, distance: np.ndarray) -> np.ndarray:
        here = distance == 0
        # Relative to the nearest: neither overflow nor the unit matters.
        relative = distance[:, :1] / np.where(here, 1.0, distance)
        weight = np.where(here.any(axis=1, keepdims=True), here, relative**self.power)
        return weight * _Shares(REACH)(distance)


def _least_error(spots: Spots, y: np.ndarray, candidates: Sequence[Weights]) -> NeighbourAverage:
    """Choose by the least mean absolute error when each spot is predicted from the others."""
    chosen = candidates[0]
    if len(y) > 1:
        others = _others(spots.xy)
        errors = [np.abs(y - _average(y, *others, weights)).mean() for weights in candidates]
        chosen = candidates[int(np.argmin(errors))]
    return NeighbourAverage(spots.xy, y, chosen)


def _nearest(xy: np.ndarray, query: np.ndarray, extra: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Sorted distances (q, m) to the nearest training spots, and their rows (q, m)."""
    from scipy.spatial import KDTree

    m = min(max(*NEIGHBOURS, REACH) + _TIED + extra, len(xy))
    distance, index = KDTree(xy).query(query, k=np.arange(1, m + 1))
    return distance, index


def _others(xy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """:func:`_nearest` of every training spot, without the spot itself."""
    distance, index = _nearest(xy, xy, extra=1)
    own = index == np.arange(len(xy))[:, None]
    # Among many spots of one centre, a spot may be missing from its own list.
    own[~own.any(axis=1), -1] = True
    shape = (len(xy), index.shape[1] - 1)
    return distance[~own].reshape(shape), index[~own].reshape(shape)


def _average(
    y: np.ndarray, distance: np.ndarray, index: np.ndarray, weights: Weights
) -> np.ndarray:
    from scipy.sparse import csr_array

    weight = weights(distance)
    weight /= weight.sum(axis=1, keepdims=True)
    q, m = index.shape
    rows = np.arange(0, q * m + 1, m)
    averaged: np.ndarray = csr_array((weight.ravel(), index.ravel(), rows), (q, len(y))) @ y
    return averaged
