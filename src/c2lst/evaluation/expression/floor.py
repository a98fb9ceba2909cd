"""Noise floor: the error that counting alone leaves to a prediction that knows every spot's truth.

A spot that expresses a gene at the rate p (share of all its transcripts) and yields L counts shows
X ~ Poisson(L p) of them (Sarkar & Stephens, Nature Genetics 2021). The observed value is
y = log1p(s X) with s = target_sum / L. No prediction has a lower expected absolute error than the
median of y given p, which leaves ::

    h(λ, s) = E|log1p(s X) - log1p(s median(λ))|,   X ~ Poisson(λ),  λ = L p.

The floor is the mean of h over spots and genes. h depends on a spot through p alone, so what has
to be known is how p is distributed over the spots, not the p of each spot. Count splitting gives
it: binomial thinning makes of X two independent halves (Neufeld et al., Biostatistics 25, 2024), of
which the mean product over all splits is X (X - 1) / 4, so that ::

    E p² = Σ X (X - 1) / Σ L²,   E p = Σ X / Σ L

are free of counting noise and at full depth: nothing is extrapolated from the depth of a half. A
gamma law with these moments is then brought closer to the counts by a few steps of expectation
maximisation for the non-parametric mixing law (Kiefer & Wolfowitz, Ann. Math. Stat. 1956; stopped
early, which keeps it smooth). The floor of a spot is the mean of h over the posterior of its p.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SUPPORT = 40
"""Rates on which a gene's mixing law stands, in geometric steps."""

STEPS = 40
"""Steps of expectation maximisation."""

_EXACT_BELOW = 400.0
_ROOT_STEP = 0.02
_SCALES = 32


@dataclass(frozen=True)
class NoiseFloor:
    """What counting noise leaves to the best possible prediction.

    Parameters
    ----------
    by_spot
        Shape (t,): expected absolute error of each spot, mean over genes (log1p units).
    by_gene
        Shape (G,): expected absolute error of each gene, mean over spots.
    variance
        Shape (G,): variance of the observed values that is counting noise, mean over spots.
    """

    by_spot: np.ndarray
    by_gene: np.ndarray
    variance: np.ndarray

    @classmethod
    def of(cls, counts: np.ndarray, scale: np.ndarray) -> NoiseFloor:
        """Estimate the floor of observed counts.

        Parameters
        ----------
        counts
            Shape (t, G), whole numbers.
        scale
            Shape (t,): ``target_sum`` / library size, by which counts are multiplied before log1p.
        """
        moments = _PoissonMoments.tabulate(scale)
        by_spot = np.zeros(len(counts))
        by_gene, variance = np.zeros(counts.shape[1]), np.zeros(counts.shape[1])
        for g in np.flatnonzero(counts.any(axis=0)):
            rates, posterior = mixing_posterior(counts[:, g].astype(np.float64), 1 / scale)
            error, spread = moments.at(rates / scale[:, None])
            floor = (posterior * error).sum(axis=1)
            by_spot += floor / counts.shape[1]
            by_gene[g] = floor.mean()
            variance[g] = (posterior * spread).sum(axis=1).mean()
        return cls(by_spot, by_gene, variance)


def mixing_posterior(
    counts: np.ndarray, exposure: np.ndarray, *, support: int = SUPPORT, steps: int = STEPS
) -> tuple[np.ndarray, np.ndarray]:
    """Where each spot's rate is, given its count and the distribution over all spots.

    Parameters
    ----------
    counts
        Shape (t,) of one gene, not all zero.
    exposure
        Shape (t,), proportional to the library size: counts ~ Poisson(exposure · rate).
    support, steps
        Number of rates, and of steps of expectation maximisation.

    Returns
    -------
    rates
        Shape (support,), ascending.
    posterior
        Shape (t, support); rows sum to 1.
    """
    mean = counts.sum() / exposure.sum()
    square = (counts * (counts - 1)).sum() / (exposure**2).sum()
    # A gene that varies no more than counting does still gets a narrow law, not a point.
    shape = mean**2 / max(square - mean**2, 1e-2 * mean**2)
    highest = ((counts + 2 * np.sqrt(counts) + 1) / exposure).max()
    rates = np.geomspace(min(0.02 * mean, highest / 100), highest, support)
    log_weight = shape * (np.log(rates / mean) - rates / mean)
    weight = np.exp(log_weight - log_weight.max())
    expected = exposure[:, None] * rates
    log_likelihood = counts[:, None] * np.log(expected) - expected
    likelihood = np.exp(log_likelihood - log_likelihood.max(axis=1, keepdims=True))
    # A trace everywhere: a spot may lie where the gamma law has no mass at all.
    weight = weight / weight.sum() + 1e-6
    for _ in range(steps):
        weight = weight * (likelihood.T @ (1 / (likelihood @ weight)))
        weight /= weight.sum()
    posterior = likelihood * weight
    return rates, posterior / posterior.sum(axis=1, keepdims=True)


@dataclass(frozen=True)
class _PoissonMoments:
    """Mean absolute deviation from the median, and variance, of log1p(s X), X ~ Poisson(λ).

    Tabulated on even steps of √λ and log s and read off at the nearest entry: the steps are so
    small that what this costs averages out over spots. Above the table the law is so narrow that
    the first order of the logarithm is exact enough.
    """

    scale: np.ndarray
    column: np.ndarray
    error: np.ndarray
    variance: np.ndarray

    @classmethod
    def tabulate(cls, scale: np.ndarray) -> _PoissonMoments:
        """Fill the table for spots of ``scale`` (t,)."""
        from scipy.stats import poisson

        mean = np.arange(0, np.sqrt(_EXACT_BELOW) + _ROOT_STEP, _ROOT_STEP) ** 2
        number = np.arange(int(mean[-1] + 10 * np.sqrt(mean[-1]) + 15))
        chance = poisson.pmf(number, mean[:, None])
        median = poisson.median(mean)
        place = np.log(scale)
        nodes = np.linspace(place.min(), place.max(), _SCALES)
        error, variance = np.empty((2, len(mean), _SCALES))
        for j, s in enumerate(np.exp(nodes)):
            value = np.log1p(s * number)
            error[:, j] = (chance * np.abs(value - np.log1p(s * median)[:, None])).sum(axis=1)
            variance[:, j] = np.maximum(chance @ value**2 - (chance @ value) ** 2, 0)
        step = max(nodes[1] - nodes[0], 1e-9)
        column = np.rint((place - nodes[0]) / step).astype(int)
        return cls(scale, column, error, variance)

    def at(self, mean: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return both for means (t, K) of the spots."""
        root = np.sqrt(mean)
        row = np.rint(np.minimum(root, np.sqrt(_EXACT_BELOW)) / _ROOT_STEP).astype(int)
        place = row * _SCALES + self.column[:, None]
        error, variance = self.error.take(place), self.variance.take(place)
        slope = self.scale[:, None] / (1 + self.scale[:, None] * mean)
        narrow = mean > _EXACT_BELOW
        error = np.where(narrow, np.sqrt(2 / np.pi) * slope * root, error)
        return error, np.where(narrow, (slope * root) ** 2, variance)
