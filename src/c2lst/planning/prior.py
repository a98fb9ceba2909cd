"""How alike two spots of a slide are expected to be, before or after some were sequenced."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from c2lst.prediction.kernels import Kernel, Reduction, default_kernel
from c2lst.prediction.place import AdditiveGaussianProcess

PLACE = "place"
COMPONENTS = 48
"""Principal components that image features are reduced to, as the predictor does."""

SHARES: Mapping[str, float] = {"image": 0.25, PLACE: 0.25, "noise": 0.5}
"""What is believed of expression before any is seen: shares of its variance that image and place
tell, near what fits on real sections give (C2 to C5 of her2st: a quarter each at most)."""

_LEAST_SIGNAL = 0.02


@dataclass(frozen=True)
class Prior:
    """Covariance of spots, of about unit variance.

    Parameters
    ----------
    terms
        Covariance functions and their weights.
    noise
        Variance of the noise, in the same unit.
    """

    terms: tuple[tuple[float, Kernel], ...]
    noise: float

    @classmethod
    def believed(cls, views: Mapping[str, np.ndarray]) -> Prior:
        """Return what is believed from the H&E alone, averaged over the length scales."""
        signal = 1 - SHARES["noise"]
        terms = []
        for name, x in views.items():
            kernels = default_kernel(name).fit(name, x)
            terms += [(SHARES[name] / signal / len(kernels), kernel) for kernel in kernels]
        return cls(tuple(terms), SHARES["noise"] / signal)

    @classmethod
    def fit(cls, views: Mapping[str, np.ndarray], expression: np.ndarray) -> Prior | None:
        """Return what a first round of sequencing tells; none where it tells nothing at all.

        Weights and length scales are those of the fitted components, each by its share of the
        variance of expression.

        Parameters
        ----------
        views
            Of the spots of the first round.
        expression
            Theirs, log1p of normalised counts (n, G).
        """
        process = AdditiveGaussianProcess.fit(expression, views)
        power = process.scores.var(axis=0)
        power = power / power.sum() if power.sum() > 0 else np.full(len(power), 1 / len(power))
        weights, noise = power @ process.weights, float(power @ process.noise)
        signal = float(weights.sum())
        if signal < _LEAST_SIGNAL:
            return None
        shares = (weights / signal).tolist()
        return cls(tuple(zip(shares, process.kernels, strict=True)), noise / signal)

    def __call__(self, a: Mapping[str, np.ndarray], b: Mapping[str, np.ndarray]) -> np.ndarray:
        """Covariance between spots by their views: float32 (len(a), len(b))."""
        covariance = np.zeros((len(a[PLACE]), len(b[PLACE])), dtype=np.float32)
        for weight, kernel in self.terms:
            each = kernel(a[kernel.view], b[kernel.view])
            covariance += np.float32(weight) * each.astype(np.float32)
        return covariance


def views_of(
    features: np.ndarray, centres_um: np.ndarray, fitted_to: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """Return the views of all spots that the process works on.

    Parameters
    ----------
    features
        Image features (n, d) of all spots; no gene is involved.
    centres_um
        (n, 2).
    fitted_to
        Rows of the spots that the reduction of the features is fitted to; all by default.
    """
    some = features if fitted_to is None else features[fitted_to]
    reduced = Reduction.fit(some, COMPONENTS)(features)
    return {"image": reduced, PLACE: np.asarray(centres_um, dtype=np.float64)}
