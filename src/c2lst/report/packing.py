"""Pack the maps of many genes into few bytes of text, and back."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

LARGEST_TEXT = 7_000_000
"""Characters that spots and their packed values may take: less than half of the page's 15 MB."""

SPOT_TEXT = 60
"""Characters that a spot takes besides its values: barcode, place and role."""


@dataclass(frozen=True)
class Packed:
    """Values in equal steps from each gene's lowest to its highest.

    Parameters
    ----------
    levels
        Shape (G, Q, n), uint8 or uint16: a gene's Q quantities of n spots. The highest level of
        the type stands for a missing value.
    low, step
        Shape (G,): a value is ``low + step * level``, so that it errs by half a step at most.
    """

    levels: np.ndarray
    low: np.ndarray
    step: np.ndarray

    @property
    def bits(self) -> int:
        """Bits of one value."""
        return 8 * self.levels.dtype.itemsize

    @property
    def text(self) -> str:
        """The levels in base64, the lower byte first."""
        little = self.levels.astype(self.levels.dtype.newbyteorder("<"))
        return base64.b64encode(little.tobytes()).decode("ascii")

    def unpack(self) -> np.ndarray:
        """Return the values, (G, Q, n) float64, NaN where missing."""
        values = self.low[:, None, None] + self.step[:, None, None] * self.levels
        return np.where(self.levels == _missing(self.levels.dtype), np.nan, values)


def pack(quantities: Sequence[np.ndarray], bits: int) -> Packed:
    """Pack quantities that share one scale a gene.

    Parameters
    ----------
    quantities
        Q arrays (n, G), all in one unit; what is not finite is missing.
    bits
        8 or 16 a value.
    """
    dtype = np.dtype(f"uint{bits}")
    spots, genes = quantities[0].shape
    missing = _missing(dtype)
    low, high = np.full(genes, np.inf), np.full(genes, -np.inf)
    for values in quantities:
        known = np.isfinite(values)
        low = np.minimum(low, values.min(axis=0, where=known, initial=np.inf))
        high = np.maximum(high, values.max(axis=0, where=known, initial=-np.inf))
    low, high = (np.where(np.isfinite(end), end, 0.0) for end in (low, high))
    step = (high - low) / (missing - 1)
    levels = np.full((genes, len(quantities), spots), missing, dtype=dtype)
    for q, values in enumerate(quantities):
        known = np.isfinite(values)
        steps = np.rint(np.where(known, values - low, 0.0) / np.where(step > 0, step, 1.0))
        levels[:, q] = np.where(known, steps, missing).T
    return Packed(levels, low, step)


def text_length(spots: int, genes: int, quantities: int, bits: int) -> int:
    """Characters of base64 that so many values take."""
    return 4 * -(-(spots * genes * quantities * bits // 8) // 3)


def most_genes(spots: int, genes: int, quantities: int) -> tuple[int, int]:
    """Return how many genes fit into `LARGEST_TEXT`, and with how many bits a value.

    16 bits are finer than a reader can tell; 8 bits, where those do not fit, still tell 254 levels.
    """
    room = max(LARGEST_TEXT - SPOT_TEXT * spots, 0)
    if text_length(spots, genes, quantities, 16) <= room:
        return genes, 16
    return min(genes, room * 3 // 4 // (spots * quantities)), 8


def _missing(dtype: np.dtype) -> int:
    return int(np.iinfo(dtype).max)
