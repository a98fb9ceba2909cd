"""Weights of kernels and share of noise, averaged over a grid by marginal likelihood."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from c2lst.prediction.kernels import Kernel

SEARCH_SPOTS = 600
"""Most spots that the grid is searched on: each candidate costs an eigendecomposition of them."""

NOISES = np.array([0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0])
"""Shares of a component's variance that no view explains; 1 is no signal at all."""


def average_over_grid(
    kernels: Sequence[Kernel],
    train: Mapping[str, np.ndarray],
    scores: np.ndarray,
    spot_noise: np.ndarray,
    seed: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Average weights and noise over the grid, for each component by its own likelihood.

    The amplitude is profiled out. With few spots the likelihood is flat, and the average leans to
    noise.

    Parameters
    ----------
    kernels, train
        The M covariance functions, and the views of the n training spots.
    scores
        Components (n, r).
    spot_noise
        Relative noise variance of the spots (n,).
    seed
        Which spots the grid is searched on, where there are more than :data:`SEARCH_SPOTS`.

    Returns
    -------
    weights, noise
        Shapes (r, M) and (r,).
    """
    n, rank = scores.shape
    if n > SEARCH_SPOTS:
        kept = np.sort(np.random.default_rng(seed).permutation(n)[:SEARCH_SPOTS])
        train = {view: x[kept] for view, x in train.items()}
        scores, spot_noise, n = scores[kept], spot_noise[kept], SEARCH_SPOTS
    # Whitened, so that noise is alike in all spots and one decomposition serves every share of it.
    scale = 1 / np.sqrt(spot_noise)
    gram = [
        kernel(train[kernel.view], train[kernel.view]) * np.outer(scale, scale)
        for kernel in kernels
    ]
    white = scores * scale[:, None]
    points, evidence = [], []
    for weights, prior in candidates(kernels):
        covariance = sum(w * k for w, k in zip(weights, gram, strict=True) if w > 0)
        values, basis = np.linalg.eigh(covariance)
        d = (1 - NOISES)[:, None] * np.maximum(values, 0.0) + NOISES[:, None]
        amplitude = np.maximum((1 / d) @ (basis.T @ white) ** 2 / n, 1e-300)
        likelihood = -0.5 * (n * np.log(amplitude) + np.log(d).sum(axis=1)[:, None])
        points.append(weights)
        evidence.append(likelihood + np.log(prior))
    log_evidence = np.array(evidence)
    probability = np.exp(log_evidence - log_evidence.max(axis=(0, 1)))
    probability /= probability.sum(axis=(0, 1))
    averaged = np.einsum("cnr,n,cm->rm", probability, 1 - NOISES, np.array(points))
    return averaged, np.einsum("cnr,n->r", probability, NOISES).reshape(rank)


def candidates(kernels: Sequence[Kernel]) -> Iterator[tuple[np.ndarray, float]]:
    """Weights over kernels (M,), summing to one, and the prior probability of each.

    A candidate gives each view one length scale and a weight on a simplex grid, which is coarser
    for more views. All points of the simplex are alike a priori, and so are length scales.
    """
    views = sorted({kernel.view for kernel in kernels})
    members = [[m for m, k in enumerate(kernels) if k.view == view] for view in views]
    parts = 4 if len(views) <= 3 else 3 if len(views) == 4 else 2
    for point in itertools.product(range(parts + 1), repeat=len(views)):
        if sum(point) != parts:
            continue
        used = [(share, group) for share, group in zip(point, members, strict=True) if share]
        lengths = [group for _, group in used]
        prior = 1.0 / float(np.prod([len(group) for group in lengths]))
        for choice in itertools.product(*lengths):
            weights = np.zeros(len(kernels))
            weights[list(choice)] = [share / parts for share, _ in used]
            yield weights, prior
