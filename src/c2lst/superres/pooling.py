"""From bins to spots: sums over squares, or over discs in squares."""

from __future__ import annotations

from typing import Literal

import numpy as np

Sampling = Literal["squares", "discs"]

DISC_SHARE = 0.55
"""Diameter of a spot's disc in sides of its square: Visium's 55 µm at a pitch of 100 µm."""


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
    """Which bins of a spot's square have their centre in its disc, bool ``(scale, scale)``."""
    offset = (np.arange(scale) + 0.5) / scale - 0.5
    return np.asarray(np.hypot(offset[:, None], offset) <= DISC_SHARE / 2)


def counted(shape: tuple[int, int], scale: int, sampling: Sampling) -> np.ndarray:
    """Which bins count for a spot, bool of ``shape``."""
    if sampling == "squares":
        return np.ones(shape, dtype=bool)
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
        The whole squares, so that all counts are kept, or the discs in them.
    """
    if sampling == "discs":
        counts = counts * counted((counts.shape[1], counts.shape[2]), scale, sampling)
    return pool_sum(counts, scale)
