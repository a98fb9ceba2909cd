"""Constants: what is predicted where neither image nor place tells anything."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from c2lst.prediction.baselines.spots import Spots


@dataclass(frozen=True, eq=False)
class Mean:
    """Each gene's mean over the training spots ``y`` (n, G), of least squared error."""

    y: np.ndarray

    @classmethod
    def fit(cls, spots: Spots, y: np.ndarray) -> Mean:
        """Keep the expression."""
        return cls(y)

    def predict(self, spots: Spots) -> np.ndarray:
        """Return the mean at every spot: (q, G)."""
        return np.tile(self.y.mean(axis=0), (len(spots), 1))

    def left_out(self) -> np.ndarray:
        """Return the mean of the other training spots: (n, G)."""
        n = len(self.y)
        return self.y.mean(axis=0) - (self.y - self.y.mean(axis=0)) / (n - 1)


@dataclass(frozen=True, eq=False)
class Median:
    """Each gene's median over the training spots ``y`` (n, G): of least absolute error."""

    y: np.ndarray

    @classmethod
    def fit(cls, spots: Spots, y: np.ndarray) -> Median:
        """Keep the expression."""
        return cls(y)

    def predict(self, spots: Spots) -> np.ndarray:
        """Return the median at every spot: (q, G)."""
        return np.tile(np.median(self.y, axis=0), (len(spots), 1))

    def left_out(self) -> np.ndarray:
        """Return the median of the other training spots: (n, G)."""
        n = len(self.y)
        rank = self.y.argsort(axis=0, kind="stable").argsort(axis=0)
        ordered = np.sort(self.y, axis=0)

        def without(position: int) -> np.ndarray:
            # Without the value of rank r, whatever stood above it moves down by one.
            return np.where(rank <= position, ordered[position + 1], ordered[position])

        return (without((n - 2) // 2) + without((n - 1) // 2)) / 2
