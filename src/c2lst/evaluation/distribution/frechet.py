"""The Fréchet distance of two sets of images: that of two normal laws with their moments.

d² = |m₁ − m₂|² + tr(C₁ + C₂ − 2 (C₁ C₂)^½) (Dowson and Landau 1982; Heusel et al., NeurIPS 2017).
A covariance of d features has d(d + 1)/2 entries: fewer images than a few times d cannot estimate
it, and the distance then grows with d / n whatever the images show. It is refused there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from c2lst.evaluation.distribution.samples import checked

FEWEST = 5
"""Images of each set for each feature, below which there is no Fréchet distance."""

_ROWS = 4096


@dataclass(frozen=True)
class FrechetDistance:
    """A squared Fréchet distance.

    Parameters
    ----------
    value
        NaN where the sets are too small for it.
    n
        Images of the first and of the second set.
    width
        Length of a feature.
    """

    value: float
    n: tuple[int, int]
    width: int

    @property
    def reliable(self) -> bool:
        """Whether both sets have enough images for their covariance."""
        return min(self.n) >= FEWEST * self.width

    @property
    def reason(self) -> str:
        """Why there is no value, or an unreliable one; empty where it is reliable."""
        if self.reliable:
            return ""
        return (
            f"{min(self.n)} images cannot tell the covariance of {self.width} features "
            f"(at least {FEWEST * self.width})"
        )


def frechet_distance(
    first: np.ndarray, second: np.ndarray, *, anyway: bool = False
) -> FrechetDistance:
    """Compute the squared Fréchet distance between two sets of images.

    Parameters
    ----------
    first, second
        Features ``(n, d)`` and ``(m, d)``.
    anyway
        Compute it for sets that are too small for it, too: it is then not ``reliable``.

    Raises
    ------
    InputError
        If the features are not finite or differ in length.
    """
    x, y = checked(first, second)
    empty = FrechetDistance(float("nan"), (len(x), len(y)), x.shape[1])
    if not (empty.reliable or anyway):
        return empty
    (mean, cov), (other_mean, other_cov) = _moments(x), _moments(y)
    root = _root(cov)
    shared = np.linalg.eigvalsh(root @ other_cov @ root)
    value = (
        ((mean - other_mean) ** 2).sum()
        + np.trace(cov)
        + np.trace(other_cov)
        - 2 * np.sqrt(shared.clip(min=0)).sum()
    )
    return FrechetDistance(float(value), empty.n, empty.width)


def _moments(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance in double precision, a few rows at a time."""
    mean = features.mean(axis=0, dtype=np.float64)
    products = np.zeros((features.shape[1],) * 2)
    for start in range(0, len(features), _ROWS):
        centred = features[start : start + _ROWS] - mean
        products += centred.T @ centred
    return mean, products / (len(features) - 1)


def _root(matrix: np.ndarray) -> np.ndarray:
    """Square root of a symmetric matrix without negative eigenvalues."""
    values, vectors = np.linalg.eigh(matrix)
    return np.asarray((vectors * np.sqrt(values.clip(min=0))) @ vectors.T)
