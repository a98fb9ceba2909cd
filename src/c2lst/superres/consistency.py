"""Exact agreement of a map with the counts of its spots."""

from __future__ import annotations

import numpy as np

from c2lst.superres.pooling import Sampling, counted, pool_sum, spot_counts, spread


def project(
    counts: np.ndarray,
    spots: np.ndarray,
    tissue: np.ndarray,
    scale: int,
    sampling: Sampling = "squares",
) -> np.ndarray:
    """Scale the bins of each spot so that they sum to its counts.

    A spot's bins keep their proportions. Where they are all zero and the spot is not, its counts
    are spread evenly over those of its bins that are tissue, or over all where none is.

    Parameters
    ----------
    counts
        Map, ``(G, H, W)``, not negative.
    spots
        Counts of the spots, ``(G, h, w)``.
    tissue
        bool ``(H, W)``.
    scale, sampling
        Bins along a spot, and what of them it counts.

    Returns
    -------
    numpy.ndarray
        float32 ``(G, H, W)`` with ``spot_counts(result, scale, sampling) == spots``.
    """
    height, width = tissue.shape
    counting = counted((height, width), scale, sampling)
    reached = counting > 0
    on_tissue = reached & tissue
    some = pool_sum(on_tissue[None], scale) > 0
    even = np.where(spread(some, scale)[:, :height, :width], on_tissue[None], reached[None])
    number = pool_sum(even * counting, scale)
    total = spot_counts(counts, scale, sampling)
    filled = total > 1e-12
    factor = np.divide(spots, total, out=np.zeros_like(spots), where=filled)
    share = np.divide(spots, number, out=np.zeros_like(spots), where=~filled & (number > 0))
    scaled = counts * spread(factor, scale)[:, :height, :width]
    return np.asarray(scaled + even * spread(share, scale)[:, :height, :width], dtype=np.float32)


def disagreement(
    counts: np.ndarray, spots: np.ndarray, scale: int, sampling: Sampling = "squares"
) -> float:
    """Mean absolute difference of a map's spots from ``spots``, as a share of their mean."""
    found = spot_counts(counts, scale, sampling)
    return float(np.abs(found - spots).mean() / max(float(np.abs(spots).mean()), 1e-12))
