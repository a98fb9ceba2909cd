"""From bins to spots: sums over squares, or over discs in squares."""

from __future__ import annotations

from typing import Literal

import numpy as np

Sampling = Literal["squares", "discs"]

DISC_SHARE = 0.55
"""Diameter of a spot's disc in sides of its square: Visium's 55 µm at a pitch of 100 µm."""

_FINE = 1000


def pool_sum(values: np.ndarray, factor: int) -> np.ndarray:
    """Sum over squares of ``factor`` bins a side.

    Parameters
    ----------
    values
        ``(G, H, W)``; the last square of a row or column may be incomplete.

    Returns
    -------
    numpy.ndarray
        float32 ``(G, ⌈H / factor⌉, ⌈W / factor⌉)``, of the same total.
    """
    genes, height, width = values.shape
    rows, columns = -(-height // factor), -(-width // factor)
    padded = np.zeros((genes, rows * factor, columns * factor), dtype=np.float32)
    padded[:, :height, :width] = values
    return padded.reshape(genes, rows, factor, columns, factor).sum(axis=(2, 4))


def spread(values: np.ndarray, factor: int) -> np.ndarray:
    """Repeat each value over its square of ``factor`` bins a side, ``(G, factor·h, factor·w)``."""
    return values.repeat(factor, axis=1).repeat(factor, axis=2)


def disc(scale: int) -> np.ndarray:
    """Share of each bin of a spot's square that lies in its disc, float32 ``(scale, scale)``.

    Shares, for a disc has the same area at any scale: of whole bins it would have a fifth more at
    10 bins than at 5, and none at 2.
    """
    times = -(-_FINE // scale)
    offset = (np.arange(scale * times) + 0.5) / (scale * times) - 0.5
    inside = np.hypot(offset[:, None], offset) <= DISC_SHARE / 2
    return inside.reshape(scale, times, scale, times).mean(axis=(1, 3), dtype=np.float32)


def counted(shape: tuple[int, int], scale: int, sampling: Sampling) -> np.ndarray:
    """Share of each bin that counts for a spot, float32 of ``shape``."""
    if sampling == "squares":
        return np.ones(shape, dtype=np.float32)
    rows, columns = (-(-side // scale) for side in shape)
    return np.tile(disc(scale), (rows, columns))[: shape[0], : shape[1]]


def spot_counts(counts: np.ndarray, scale: int, sampling: Sampling = "squares") -> np.ndarray:
    """Sum a map to its spots: float32 ``(G, ⌈H / scale⌉, ⌈W / scale⌉)``.

    Parameters
    ----------
    counts
        Counts of bins, ``(G, H, W)``.
    scale
        Bins along the side of a spot's square.
    sampling
        The whole squares, so that all counts are kept, or the discs in them, where a bin on the
        edge counts by its share.
    """
    if sampling == "discs":
        counts = counts * counted((counts.shape[1], counts.shape[2]), scale, sampling)
    return pool_sum(counts, scale)
