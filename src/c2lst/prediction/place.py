"""A low-rank additive Gaussian process over everything that is known at an unsampled spot.

Expression is standardised, rotated to the leading singular vectors of the training spots, and each
component is a Gaussian process whose covariance is a sum over *views* of a spot: its image
features, its place, a network's predictions. With standardised components t, views v and kernels m

    t ~ N(0, a · (Σ_m w_m K_m + ρ D)),    Σ_m w_m + ρ = 1,

the weights w, the length scales inside K_m and the noise share ρ are not set to one best value but
averaged over a grid by their marginal likelihood, with the amplitude a profiled out
(:mod:`~c2lst.prediction.evidence`). With few spots the likelihood is flat, the average leans to
noise and the prediction to the centre; with many it concentrates. That is the shrinkage: nothing
else needs choosing. The diagonal D holds what is known of the spots' noise: a spot of few counts
weighs less (:mod:`~c2lst.prediction.spot_noise`), in the mean, the median, the singular vectors and
the processes alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from c2lst.prediction.components import Components
from c2lst.prediction.evidence import average_over_grid
from c2lst.prediction.kernels import Kernel, ViewKernel, default_kernel
from c2lst.prediction.process_files import read_process, write_process
from c2lst.prediction.process_views import Views, checked_query, checked_training
from c2lst.prediction.solving import Fold, Solution, gram_of, relative_variance, solve
from c2lst.prediction.spot_noise import spot_noise, weighted_median

COMPONENTS = 24

_ARRAYS = (
    "mean",
    "spread",
    "centre",
    "axes",
    "scores",
    "spot_noise",
    "weights",
    "noise",
    "amplitude",
    "dual",
    "left_out",
    "left_out_sd",
)


@dataclass(frozen=True)
class AdditiveGaussianProcess:
    """A fitted process: make one with :meth:`fit` or :meth:`load`.

    Parameters
    ----------
    kernels
        The M covariance functions, over all views.
    train
        View name to its array at the n training spots.
    mean, spread
        Shape (G,): standardisation of the training expression.
    centre
        Shape (G,): what a spot is predicted to have where no view tells anything.
    axes
        Shape (r, G): singular vectors of the standardised expression.
    scores
        Shape (n, r): the training spots' components.
    spot_noise
        Shape (n,): D of the module's formula, relative noise variances of the training spots.
    weights, noise, amplitude
        Shapes (r, M), (r,), (r,): w, ρ and a of the module's formula.
    dual
        Shape (n, r): (Σ w K + ρ D)⁻¹ t of each component.
    left_out, left_out_sd
        Shape (n, G): mean and standard deviation predicted for each training spot from the
        others, or from those of other folds (closed form, at the chosen weights), as a new spot
        whose depth is unknown.
    """

    kernels: tuple[Kernel, ...]
    train: Mapping[str, np.ndarray]
    mean: np.ndarray
    spread: np.ndarray
    centre: np.ndarray
    axes: np.ndarray
    scores: np.ndarray
    spot_noise: np.ndarray
    weights: np.ndarray
    noise: np.ndarray
    amplitude: np.ndarray
    dual: np.ndarray
    left_out: np.ndarray = field(repr=False)
    left_out_sd: np.ndarray = field(repr=False)

    @classmethod
    def fit(
        cls,
        y: np.ndarray,
        views: Views,
        *,
        library_size: np.ndarray | None = None,
        kernels: Mapping[str, ViewKernel] | None = None,
        components: int = COMPONENTS,
        folds: np.ndarray | None = None,
        seed: int = 0,
    ) -> AdditiveGaussianProcess:
        """Fit expression on views.

        Parameters
        ----------
        y
            Training expression (n, G), in the unit of the predictions (log1p CP10k).
        views
            Name to array (n, d): ``place`` in µm, ``network`` as predicted *out of fold*, any
            other name as image features.
        library_size
            Total counts of the training spots (n,): the fewer, the noisier. Without them, all
            spots count alike.
        kernels
            Covariance functions of a view, where not those of
            :func:`~c2lst.prediction.kernels.default_kernel`.
        components
            Most singular vectors; at most n - 1 exist.
        folds
            Which training spots are left out together: int (n,). What is left out is then free of
            their expression but for kernels, weights and noise, and what the signal leaves of the
            others, whose median is taken. By default each is left out alone, from singular vectors
            and scales that have seen it.
        seed
            Which spots the grid is searched on, where there are very many.

        Raises
        ------
        InputError
            If there are fewer than two spots, no view, or arrays do not agree.
        """
        y, train = checked_training(y, views)
        uneven = spot_noise(library_size, len(y))
        whole = Components.of(y, uneven, components)
        chosen = kernels or {}
        functions = tuple(
            kernel
            for view in sorted(train)
            for kernel in chosen.get(view, default_kernel(view)).fit(view, train[view])
        )
        weights, noise = average_over_grid(functions, train, whole.scores, uneven, seed)
        left = _left(y, uneven, components, folds)
        held = [Fold(out, others.scores) for out, others in left]
        solved = solve(functions, train, whole.scores, weights, noise, uneven, held)
        fitted = cls(
            functions,
            train,
            whole.mean,
            whole.spread,
            whole.mean,
            whole.axes,
            whole.scores,
            uneven,
            weights,
            noise,
            solved.amplitude,
            solved.dual,
            y,
            y,
        )
        return fitted._with_left_out(y, solved, left)

    def _with_left_out(
        self, y: np.ndarray, solved: Solution, left: Sequence[tuple[np.ndarray, Components]]
    ) -> AdditiveGaussianProcess:
        signal = (solved.left_out @ self.axes) * self.spread
        share = 1 / self.spot_noise / len(y)
        # Absolute error wants the median of what the signal leaves, but the median of few sparse
        # counts is noisy: midway to the mean is as good with many spots and better with few.
        centre = (self.mean + weighted_median(y - signal, share)) / 2
        # The centre saw the spot that is left out: for the mean, its residual is short by the
        # spot's share of it, whatever the values; the median is treated alike.
        left_out = y - (y - centre - signal) / (1 - share)[:, None]
        variance = solved.left_out_variance
        for (out, others), found in zip(left, solved.folds, strict=True):
            without = (others.mean + weighted_median((y - signal)[~out], share[~out])) / 2
            left_out[out] = others.expression(found.scores) + without
            variance[out] = found.variance
        sd = self._spread_of(variance)
        return replace(self, centre=centre, left_out=left_out, left_out_sd=sd)

    @property
    def views(self) -> tuple[str, ...]:
        """Names of the views, sorted."""
        return tuple(sorted(self.train))

    @property
    def view_weights(self) -> dict[str, float]:
        """Share of the components' variance that the covariance gives to each view, and ``noise``.

        Rough kernels of short reach take part of what is noise: a share is what a view may
        explain between spots alike in it, not what it explains on held-out spots.
        """
        power = self.scores.var(axis=0)
        power = power / power.sum() if power.sum() > 0 else np.full(len(power), 1 / len(power))
        shares = {
            view: float(power @ self.weights[:, self._of(view)].sum(axis=1)) for view in self.views
        }
        return shares | {"noise": float(power @ self.noise)}

    def _of(self, view: str) -> list[int]:
        return [number for number, kernel in enumerate(self.kernels) if kernel.view == view]

    def contributions(self, views: Views) -> dict[str, np.ndarray]:
        """Split the prediction into what each view adds to the centre: view to (q, G)."""
        query = checked_query(views, self.train)
        parts = {}
        for view, x in query.items():
            # The additive kernel makes the mean a sum over kernels, each with its own weights.
            scores = sum(
                self.kernels[m](x, self.train[view]) @ (self.dual * self.weights[:, m])
                for m in self._of(view)
            )
            parts[view] = (scores @ self.axes) * self.spread
        return parts

    def mean_at(self, views: Views) -> np.ndarray:
        """Predict the mean only: (q, G)."""
        return self.centre + np.add.reduce(list(self.contributions(views).values()))

    def predict(self, views: Views) -> tuple[np.ndarray, np.ndarray]:
        """Predict spots from some or all views.

        A view that is not given (the place, on another section) is averaged out: its share adds
        nothing to the mean and its whole variance to the uncertainty.

        Parameters
        ----------
        views
            Name to array (q, d), units as in the fit.

        Returns
        -------
        mean, sd
            Shape (q, G) each, in the unit of the training expression. ``sd`` is of a new
            observation: uncertainty of the components, their noise, and what the components
            leave out of each gene.
        """
        query = checked_query(views, self.train)
        across = [
            kernel(query[kernel.view], self.train[kernel.view]) if kernel.view in query else None
            for kernel in self.kernels
        ]
        own = [
            kernel.diagonal(query[kernel.view]) if kernel.view in query else 1.0
            for kernel in self.kernels
        ]
        inner = gram_of(self.kernels, self.train)
        variance = np.empty((len(next(iter(query.values()))), len(self.noise)))
        for j, noise in enumerate(self.noise):
            variance[:, j] = self.amplitude[j] * relative_variance(
                inner, across, own, self.weights[j], float(noise), self.spot_noise
            )
        return self.mean_at(views), self._spread_of(variance)

    def _spread_of(self, variance: np.ndarray) -> np.ndarray:
        """Turn variances of components (q, r) into standard deviations of genes (q, G)."""
        explained = (self.scores**2).mean(axis=0) @ self.axes**2
        left = np.clip(1.0 - explained, 0.0, None)
        return self.spread * np.sqrt(variance @ self.axes**2 + left)

    def save(self, directory: str | Path) -> None:
        """Write the process to a folder (safetensors and JSON)."""
        write_process(directory, vars(self), _ARRAYS)

    @classmethod
    def load(cls, directory: str | Path) -> AdditiveGaussianProcess:
        """Read what :meth:`save` wrote.

        Raises
        ------
        InputError
            If a file or an array is missing.
        """
        return cls(**read_process(directory, _ARRAYS))


def _left(
    y: np.ndarray, spot_noise: np.ndarray, most: int, folds: np.ndarray | None
) -> list[tuple[np.ndarray, Components]]:
    """Return the spots of each fold, bool (n,), with the components of all others."""
    outs = [] if folds is None else [folds == fold for fold in np.unique(folds)]
    return [(out, Components.of(y[~out], spot_noise[~out], most)) for out in outs]
