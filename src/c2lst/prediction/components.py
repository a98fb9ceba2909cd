"""Expression as components: standardised, and rotated to the leading singular vectors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Components:
    """The r components of n spots.

    Parameters
    ----------
    mean, spread
        Shape (G,): standardisation of each gene; a gene that is constant over the spots has no
        spread, and stays at its value.
    axes
        Shape (r, G): singular vectors of the standardised expression.
    scores
        Shape (n, r): the spots' components.
    """

    mean: np.ndarray
    spread: np.ndarray
    axes: np.ndarray
    scores: np.ndarray

    @classmethod
    def of(cls, y: np.ndarray, spot_noise: np.ndarray, most: int) -> Components:
        """Find them; a spot of much noise counts less.

        Parameters
        ----------
        y
            Expression (n, G).
        spot_noise
            Relative noise variance of the spots (n,).
        most
            Most components; at most n - 1 exist.
        """
        share = 1 / spot_noise
        share = share / share.sum()
        mean = share @ y
        spread = np.sqrt(share @ (y - mean) ** 2)
        spread = np.where(spread > 1e-12, spread, 0.0)
        standardised = (y - mean) / np.where(spread > 0, spread, 1.0)
        weighted = standardised / np.sqrt(spot_noise)[:, None]
        _, values, axes = np.linalg.svd(weighted, full_matrices=False)
        rank = int((values > 1e-9 * (values[0] or 1)).sum())
        axes = axes[: max(1, min(most, len(y) - 1, rank))]
        return cls(mean, spread, axes, standardised @ axes.T)

    def expression(self, scores: np.ndarray) -> np.ndarray:
        """Turn the first components of some spots, (q, r) or fewer, into (q, G) about the mean."""
        return np.asarray((scores @ self.axes[: scores.shape[1]]) * self.spread)
