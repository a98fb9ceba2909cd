"""Lanczos resampling to a fraction of a pixel, as two sparse matrix products.

As exact as Pillow's filter, which rounds between its two passes, and about twice as fast.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

_LOBES = 3
_FINE = 4096  # steps of the tabled filter between two pixels: an error of 0.03 grey levels
_TABLED = _LOBES + 2


def _filter() -> np.ndarray:
    x = np.arange(-_TABLED * _FINE, _TABLED * _FINE + 1) / _FINE
    return (np.sinc(x) * np.sinc(x / _LOBES) * (np.abs(x) < _LOBES)).astype(np.float32)


_FILTER = _filter()


def reach(step: float) -> float:
    """How far around it, in px, a sample of ``step`` px sees."""
    return _LOBES * max(step, 1.0)


def sample(rows: np.ndarray, low: np.ndarray, step: float, side: int) -> np.ndarray:
    """Sample a square of ``side`` by ``side`` pixels, each ``step`` px wide, antialiased.

    Parameters
    ----------
    rows
        uint8 (h, 3, w): an RGB region, its colours apart. Nothing outside is missed if the
        region reaches ``reach(step)`` px beyond the square.
    low
        (2,): top-left corner of the square as (x, y) in px of the region.
    step
        Width of a pixel of the square in px of the region.
    side
        Pixels of the square along each axis, S.

    Returns
    -------
    uint8 (S, S, 3).
    """
    height, _, width = rows.shape
    lower = _weights(low[1], step, side, height) @ rows.reshape(height, -1).astype(np.float32)
    columns = np.ascontiguousarray(lower.reshape(side, 3, width).transpose(2, 1, 0))
    sampled = _weights(low[0], step, side, width) @ columns.reshape(width, -1)
    planes = np.clip(sampled + 0.5, 0, 255).astype(np.uint8).reshape(side, 3, side)
    square = np.empty((side, side, 3), dtype=np.uint8)
    for colour in range(3):  # a third of the time that one transposed copy takes
        square[..., colour] = planes[:, colour].T
    return square


def _weights(low: float, step: float, count: int, length: int) -> csr_matrix:
    """Weights (count, length) of pixels in samples of ``step`` px from ``low`` on."""
    from scipy.sparse import csr_matrix

    wide = max(step, 1.0)
    centres = low + (np.arange(count) + 0.5) * step
    taps = int(np.ceil(2 * _LOBES * wide)) + 1
    first = np.floor(centres - _LOBES * wide + 0.5).astype(np.int32)
    pixels = first[:, None] + np.arange(taps, dtype=np.int32)
    apart = (pixels + 0.5 - centres[:, None]) / wide
    weights = _FILTER[((apart + _TABLED) * _FINE + 0.5).astype(np.int32)]
    weights[(pixels < 0) | (pixels >= length)] = 0
    weights /= weights.sum(axis=1, keepdims=True)
    pixels = pixels.clip(0, length - 1)
    starts = np.arange(count + 1, dtype=np.int32) * taps
    return csr_matrix((weights.ravel(), pixels.ravel(), starts), shape=(count, length))
