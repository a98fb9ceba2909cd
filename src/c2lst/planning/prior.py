"""How alike two spots of a slide are expected to be, before or after some were sequenced."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from c2lst.prediction.kernels import Reduction, default_kernel
from c2lst.prediction.place import AdditiveGaussianProcess

PLACE = "place"
COMPONENTS = 48
"""Principal components that image features are reduced to, as the predictor does."""

SHARES: Mapping[str, float] = {"image": 0.25, PLACE: 0.25, "noise": 0.5}
"""What is believed of expression before any is seen: shares of its variance that image and place
tell, near what fits on real sections give (C2 to C5 of her2st: a quarter each at most)."""


def views_of(features: np.ndarray, centres_um: np.ndarray) -> dict[str, np.ndarray]:
    """Return the views of all spots that the process works on.

    Parameters
    ----------
    features
        Image features (n, d) of all spots; no gene is involved.
    centres_um
        (n, 2).
    """
    reduced = Reduction.fit(features, COMPONENTS)(features)
    return {"image": reduced, PLACE: np.asarray(centres_um, dtype=np.float64)}


def prior_covariance(views: Mapping[str, np.ndarray]) -> tuple[np.ndarray, float]:
    """Covariance between all spots from the H&E alone, averaged over the length scales.

    Returns
    -------
    covariance, noise
        Float32 (n, n) of unit variance, and the variance of the noise in its unit.
    """
    signal = 1 - SHARES["noise"]
    covariance = np.zeros((len(views[PLACE]),) * 2, dtype=np.float32)
    for name, x in views.items():
        kernels = default_kernel(name).fit(name, x)
        for kernel in kernels:
            covariance += np.float32(SHARES[name] / signal / len(kernels)) * kernel(x, x).astype(
                np.float32
            )
    return covariance, SHARES["noise"] / signal


def fitted_covariance(
    views: Mapping[str, np.ndarray], rows: np.ndarray, expression: np.ndarray
) -> tuple[np.ndarray, float]:
    """Covariance between all spots as a first round of sequencing tells it.

    Parameters
    ----------
    views
        Of all spots.
    rows
        Spots of the first round.
    expression
        Theirs, log1p of normalised counts (len(rows), G).

    Returns
    -------
    covariance, noise
        As of :func:`prior_covariance`; weights and length scales are those of the fitted
        components, each by its share of the variance of expression.
    """
    process = AdditiveGaussianProcess.fit(expression, {name: x[rows] for name, x in views.items()})
    power = process.scores.var(axis=0)
    power = power / power.sum() if power.sum() > 0 else np.full(len(power), 1 / len(power))
    weights, noise = power @ process.weights, float(power @ process.noise)
    # A first round that tells nothing at all leaves what was believed before.
    signal = weights.sum()
    if signal < 0.02:
        return prior_covariance(views)
    covariance = np.zeros((len(views[PLACE]),) * 2, dtype=np.float32)
    for weight, kernel in zip(weights / signal, process.kernels, strict=True):
        x = views[kernel.view]
        covariance += np.float32(weight) * kernel(x, x).astype(np.float32)
    return covariance, noise / float(signal)
