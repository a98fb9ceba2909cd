"""What a method has to beat: constants and interpolation on coordinates, without any image.

Every baseline is ``f(train_xy, train_y, query_xy) -> (q, G)``. Coordinates are in µm; expression
is in any unit that errors are to be counted in (log1p CP10k in this package).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from c2lst.errors import InputError

Baseline = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]

NEIGHBOURS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)
"""Numbers of neighbours that :func:`knn` chooses from."""

KRIGING_LENGTHS = (0.1, 0.2, 0.4, 0.8, 1.6)
"""Length scales that :func:`kriging` chooses from, in median distances between sampled spots."""

KRIGING_NOISES = (1e-6, 0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0)
"""Shares of the variance without spatial structure that :func:`kriging` chooses from."""


def train_mean(train_xy: np.ndarray, train_y: np.ndarray, query_xy: np.ndarray) -> np.ndarray:
    """Predict each gene's mean over the sampled spots: the constant of least squared error.

    Parameters
    ----------
    train_xy, query_xy
        Spot centres ``(n, 2)`` and ``(q, 2)`` in µm.
    train_y
        Expression ``(n, G)``.

    Returns
    -------
    numpy.ndarray
        ``(q, G)``.
    """
    train_xy, train_y, query_xy = _checked(train_xy, train_y, query_xy)
    return np.tile(train_y.mean(axis=0), (len(query_xy), 1))


def train_median(train_xy: np.ndarray, train_y: np.ndarray, query_xy: np.ndarray) -> np.ndarray:
    """Predict each gene's median over the sampled spots: the constant of least absolute error.

    Takes and returns what :func:`train_mean` does.
    """
    train_xy, train_y, query_xy = _checked(train_xy, train_y, query_xy)
    return np.tile(np.median(train_y, axis=0), (len(query_xy), 1))


def knn(
    train_xy: np.ndarray,
    train_y: np.ndarray,
    query_xy: np.ndarray,
    *,
    neighbours: int | None = None,
) -> np.ndarray:
    """Average the nearest sampled spots, weighted by inverse distance.

    Takes and returns what :func:`train_mean` does.

    Parameters
    ----------
    neighbours
        How many; by default the number of :data:`NEIGHBOURS` with the least mean absolute error
        when each sampled spot is predicted from the others.
    """
    train_xy, train_y, query_xy = _checked(train_xy, train_y, query_xy)
    n = len(train_xy)
    if neighbours is None:
        choices = [k for k in NEIGHBOURS if k < n] or [1]
        errors = [
            np.abs(train_y - _inverse_distance(train_xy, train_y, train_xy, k, leave_out=True))
            for k in choices
        ]
        neighbours = choices[int(np.argmin([e.mean() for e in errors]))] if n > 1 else 1
    return _inverse_distance(train_xy, train_y, query_xy, min(neighbours, n))


def _inverse_distance(
    train_xy: np.ndarray,
    train_y: np.ndarray,
    query_xy: np.ndarray,
    neighbours: int,
    *,
    leave_out: bool = False,
) -> np.ndarray:
    from scipy.spatial import KDTree

    most = min(neighbours + leave_out, len(train_xy))
    distance, index = KDTree(train_xy).query(query_xy, k=np.arange(1, most + 1))
    if leave_out:
        # A spot's own place in the list is not always the first: others may share its centre.
        own = index == np.arange(len(query_xy))[:, None]
        own[~own.any(axis=1), -1] = True
        distance = distance[~own].reshape(len(query_xy), -1)
        index = index[~own].reshape(len(query_xy), -1)
    floor = 1e-9 * max(float(np.ptp(train_xy)), 1.0)
    weight = 1.0 / np.maximum(distance, floor)
    weight /= weight.sum(axis=1, keepdims=True)
    predicted = np.zeros((len(query_xy), train_y.shape[1]))
    for column in range(index.shape[1]):
        predicted += weight[:, column, None] * train_y[index[:, column]]
    return predicted


def kriging(train_xy: np.ndarray, train_y: np.ndarray, query_xy: np.ndarray) -> np.ndarray:
    """Ordinary kriging of every gene with an exponential covariance and a nugget.

    Each gene has a length scale of :data:`KRIGING_LENGTHS` and a nugget of
    :data:`KRIGING_NOISES` of its own, by maximum likelihood with the variance profiled out and
    the mean by generalised least squares. One eigendecomposition per length scale serves all
    genes and nuggets: the cost is that of five symmetric ``n × n`` eigenproblems.

    Takes and returns what :func:`train_mean` does.
    """
    from scipy.spatial.distance import cdist

    train_xy, train_y, query_xy = _checked(train_xy, train_y, query_xy)
    n, genes = train_y.shape
    if n < 3:
        return train_mean(train_xy, train_y, query_xy)
    distance = cdist(train_xy, train_xy)
    unit = float(np.median(distance[np.triu_indices(n, 1)])) or 1.0
    spread = train_y.std(axis=0)
    scaled = (train_y - train_y.mean(axis=0)) / np.where(spread > 0, spread, 1.0)

    best = np.full(genes, -np.inf)
    dual, mean, length = np.zeros((n, genes)), np.zeros(genes), np.full(genes, unit)
    for share in KRIGING_LENGTHS:
        score, candidate, centre = _fit_length(np.exp(-distance / (share * unit)), scaled)
        better = score > best
        best[better], mean[better], length[better] = score[better], centre[better], share * unit
        dual[:, better] = candidate[:, better]

    predicted = np.tile(mean, (len(query_xy), 1))
    across = cdist(query_xy, train_xy)
    for value in np.unique(length):
        chosen = length == value
        predicted[:, chosen] += np.exp(-across / value) @ dual[:, chosen]
    return train_y.mean(axis=0) + spread * predicted


def _fit_length(kernel: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Choose the nugget per gene: best log likelihood (G,), dual weights (n, G), mean (G,)."""
    n, genes = y.shape
    eigenvalues, basis = np.linalg.eigh(kernel)
    eigenvalues = np.maximum(eigenvalues, 0.0)
    z, one = basis.T @ y, basis.T @ np.ones(n)
    best = np.full(genes, -np.inf)
    rotated, mean = np.zeros((n, genes)), np.zeros(genes)
    for noise in KRIGING_NOISES:
        d = (1 - noise) * eigenvalues + noise
        precision_of_one = (one**2 / d).sum()
        centre = ((one / d) @ z) / precision_of_one
        quadratic = (z**2 / d[:, None]).sum(axis=0) - precision_of_one * centre**2
        # A constant gene has no variance to explain: any finite floor keeps it at its mean.
        variance = np.maximum(quadratic / n, 1e-12)
        score = -0.5 * (n * np.log(variance) + np.log(d).sum())
        better = score > best
        best[better], mean[better] = score[better], centre[better]
        residual = z[:, better] - one[:, None] * centre[better]
        rotated[:, better] = (1 - noise) * residual / d[:, None]
    return best, basis @ rotated, mean


BASELINES: Mapping[str, Baseline] = {
    "train_median": train_median,
    "train_mean": train_mean,
    "knn": knn,
    "kriging": kriging,
}
"""Every baseline by the name that it has in ``predictions.h5ad`` after ``baseline_``."""


def _checked(
    train_xy: np.ndarray, train_y: np.ndarray, query_xy: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    train_xy = np.asarray(train_xy, dtype=np.float64)
    train_y = np.asarray(train_y, dtype=np.float64)
    query_xy = np.asarray(query_xy, dtype=np.float64)
    if train_y.ndim != 2 or len(train_y) == 0:
        raise InputError(
            "baseline", "training expression", found=train_y.shape, expected="(n > 0, G)"
        )
    if train_xy.shape != (len(train_y), 2) or query_xy.ndim != 2 or query_xy.shape[1] != 2:
        raise InputError(
            "baseline",
            "coordinates",
            found=(train_xy.shape, query_xy.shape),
            expected=f"({len(train_y)}, 2) and (q, 2)",
        )
    if not all(np.isfinite(array).all() for array in (train_xy, train_y, query_xy)):
        raise InputError("baseline", "coordinates or expression hold values that are not finite")
    return train_xy, train_y, query_xy
