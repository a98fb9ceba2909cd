"""Solve a component's Gaussian process at given weights, and leave spots out in closed form."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from c2lst.prediction.kernels import Kernel
from c2lst.progress import progress_bar

QUICK_SPOTS = 1000
"""Up to so many training spots a process is solved within two seconds."""


@dataclass(frozen=True)
class Fold:
    """Training spots that are left out together.

    Parameters
    ----------
    out
        Which of the n training spots: bool (n,).
    scores
        Shape (n - m, r'): components of the others, as found without these m; r' of the r.
    """

    out: np.ndarray
    scores: np.ndarray


@dataclass(frozen=True)
class FoldSolution:
    """Components of the m spots of a fold, predicted from the others: (m, r'), (m, r)."""

    scores: np.ndarray
    variance: np.ndarray

    @classmethod
    def empty(cls, fold: Fold, rank: int) -> FoldSolution:
        """Make room for them."""
        spots = int(fold.out.sum())
        return cls(np.empty((spots, fold.scores.shape[1])), np.empty((spots, rank)))


@dataclass(frozen=True)
class Solution:
    """The r components of n training spots solved; what is left out is exact at their weights.

    Parameters
    ----------
    dual
        Shape (n, r): (Σ w K + ρ D)⁻¹ t.
    amplitude
        Shape (r,).
    left_out, left_out_variance
        Shape (n, r): components predicted from the other spots, and the variance of what would be
        observed there with noise ρ, as at any new spot.
    folds
        The same of spots that were left out together.
    """

    dual: np.ndarray
    amplitude: np.ndarray
    left_out: np.ndarray
    left_out_variance: np.ndarray
    folds: tuple[FoldSolution, ...] = ()


def solve(
    kernels: Sequence[Kernel],
    train: Mapping[str, np.ndarray],
    scores: np.ndarray,
    weights: np.ndarray,
    noise: np.ndarray,
    spot_noise: np.ndarray,
    folds: Sequence[Fold] = (),
) -> Solution:
    """Solve components ``scores`` (n, r) at ``weights`` (r, M), ``noise`` (r,)."""
    gram = gram_of(kernels, train)
    n, rank = scores.shape
    dual, left_out, variance = (np.empty((n, rank)) for _ in range(3))
    amplitude = np.empty(rank)
    folded = tuple(FoldSolution.empty(fold, rank) for fold in folds)
    for j in _each(rank, n):
        share = float(noise[j])
        inverse = _inverse(covariance(gram, weights[j], share * spot_noise))
        dual[:, j] = inverse @ scores[:, j]
        amplitude[j] = scores[:, j] @ dual[:, j] / n
        # Rasmussen & Williams (2006), equations 5.12: without solving n systems.
        left_out[:, j] = scores[:, j] - dual[:, j] / np.diag(inverse)
        own = 1 / np.diag(inverse) - share * spot_noise
        variance[:, j] = amplitude[j] * (np.maximum(own, 0.0) + share)
        for fold, found in zip(folds, folded, strict=True):
            own = _leave_out(inverse, fold, found, j) - share * spot_noise[fold.out]
            found.variance[:, j] = amplitude[j] * (np.maximum(own, 0.0) + share)
    return Solution(dual, amplitude, left_out, variance, folded)


def _leave_out(inverse: np.ndarray, fold: Fold, found: FoldSolution, j: int) -> np.ndarray:
    """Predict component ``j`` of a fold, and return its variance with the spots' own noise: (m,).

    The same equations for a block F and the others K: t_F given t_K has the covariance
    ((Σ⁻¹)_FF)⁻¹ and the mean -((Σ⁻¹)_FF)⁻¹ (Σ⁻¹)_FK t_K. No system of the others is solved.
    """
    block = _inverse(inverse[np.ix_(fold.out, fold.out)])
    if j < fold.scores.shape[1]:
        across = inverse[np.ix_(fold.out, ~fold.out)]
        found.scores[:, j] = -block @ (across @ fold.scores[:, j])
    return np.asarray(np.diag(block))


def _each(rank: int, spots: int) -> Iterator[int]:
    """Count the components, with a bar where spots are so many that all of them take seconds."""
    if spots <= QUICK_SPOTS:
        yield from range(rank)
        return
    with progress_bar("components", rank) as bar:
        for j in range(rank):
            yield j
            bar.advance()


def _inverse(matrix: np.ndarray) -> np.ndarray:
    """Invert a positive definite matrix, at a half of what it costs to invert any."""
    from scipy.linalg.lapack import dpotrf, dpotri

    factor, failed = dpotrf(matrix, lower=1, clean=1)
    if failed:  # by rounding alone: the least eigenvalue of a covariance is its noise
        return np.asarray(np.linalg.inv(matrix))
    half, _ = dpotri(factor, lower=1, overwrite_c=1)
    half += np.tril(half, -1).T
    return np.asarray(half)


def gram_of(kernels: Sequence[Kernel], train: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """Each kernel's covariance between the training spots: M times (n, n)."""
    return [kernel(train[kernel.view], train[kernel.view]) for kernel in kernels]


def covariance(gram: Sequence[np.ndarray], weights: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Σ w K + diag(noise), for one component: (n, n)."""
    total = np.zeros_like(gram[0])
    for weight, kernel in zip(weights, gram, strict=True):
        if weight > 0:
            total += weight * kernel
    total[np.diag_indices_from(total)] += np.maximum(noise, 1e-8)
    return total


def relative_variance(
    inner: Sequence[np.ndarray],
    across: Sequence[np.ndarray | None],
    own: Sequence[np.ndarray | float],
    weights: np.ndarray,
    noise: float,
    spot_noise: np.ndarray,
) -> np.ndarray:
    """Variance of a component at q new spots in units of its amplitude: (q,).

    Parameters
    ----------
    inner, across, own
        Each kernel between training spots (n, n), from new to training spots (q, n), and of new
        spots with themselves (q,). ``across`` is None, and ``own`` 1, where the new spots lack the
        view.
    weights, noise, spot_noise
        Of the component, shape (M,); its noise share; of the training spots, shape (n,).
    """
    from scipy.linalg import cholesky, solve_triangular

    prior = noise + sum(w * d for w, d in zip(weights, own, strict=True))
    seen = [(w, k) for w, k in zip(weights, across, strict=True) if w > 0 and k is not None]
    if not seen:
        return np.asarray(prior)
    between = sum(w * k for w, k in seen)
    factor = cholesky(covariance(inner, weights, noise * spot_noise), lower=True)
    # With Σ = L Lᵀ, k Σ⁻¹ kᵀ is the square of L⁻¹ kᵀ: one triangular system, not two.
    half = solve_triangular(factor, between.T, lower=True)
    explained = np.einsum("nq,nq->q", half, half)
    return np.asarray(np.maximum(prior - explained, noise))
