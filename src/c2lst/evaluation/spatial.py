"""Moran's I over the neighbours of the spot array, for many genes at once.

For values z centred over the n spots that have a neighbour, and row-standardised weights W ::

    I = (zᵀ W z) / (zᵀ z),

1 for a map that is locally alike, -1/(n - 1) on average for one without order in space, negative
where neighbours differ (Moran, Biometrika 1950; Cliff & Ord 1981). A higher Moran's I of a
prediction is no success by itself: a blurred map has a high one. Only agreement with the observed
map counts, and counting noise, which is independent from spot to spot, pulls the observed I down:
it adds to zᵀ z and not to zᵀ W z. Divided by the share of the variance that is not noise, the
observed I is that of the expression itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from scipy.sparse import csr_array

NEIGHBOUR_PITCHES = 1.25
"""Farthest neighbour, in pitches: 4 on a square array, 6 on a hexagonal one."""

FEWEST_SPOTS = 3
"""With fewer linked spots than this, there is no Moran's I."""


def neighbour_graph(xy: np.ndarray, radius: float) -> csr_array:
    """Link each spot with the others within a radius.

    Parameters
    ----------
    xy
        Centres, shape (n, 2).
    radius
        In the units of ``xy``, such as :data:`NEIGHBOUR_PITCHES` times the pitch.

    Returns
    -------
    scipy.sparse.csr_array
        Shape (n, n), row-standardised: each row sums to 1, or to 0 where a spot has no neighbour.
    """
    from scipy.sparse import coo_array
    from scipy.spatial import KDTree

    a, b = KDTree(xy).query_pairs(radius, output_type="ndarray").T
    rows, columns = np.concatenate([a, b]), np.concatenate([b, a])
    weight = 1 / np.maximum(np.bincount(rows, minlength=len(xy)), 1)
    return coo_array((weight[rows], (rows, columns)), shape=(len(xy), len(xy))).tocsr()


def linked(graph: csr_array) -> np.ndarray:
    """Which spots have a neighbour, bool (n,)."""
    return np.diff(graph.indptr) > 0


def morans_i(values: np.ndarray, graph: csr_array) -> np.ndarray:
    """Moran's I of every column.

    Parameters
    ----------
    values
        Shape (n, G).
    graph
        As of :func:`neighbour_graph`. Spots without a neighbour are left out.

    Returns
    -------
    numpy.ndarray
        Shape (G,). NaN where a column does not vary over the linked spots, and everywhere with
        fewer than :data:`FEWEST_SPOTS` of them.
    """
    has = linked(graph)
    if has.sum() < FEWEST_SPOTS:
        return np.full(values.shape[1], np.nan)
    inside = graph[has][:, has]
    x = values[has]
    z = x - x.mean(axis=0)
    varies = np.ptp(x, axis=0) > 1e-12
    total = np.where(varies, (z * z).sum(axis=0), 1.0)
    return np.where(varies, (z * (inside @ z)).sum(axis=0) / total, np.nan)
