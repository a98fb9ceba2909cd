"""A low-rank additive Gaussian process over everything that is known at an unsampled spot.

Expression is standardised, rotated to the leading singular vectors of the training spots, and each
component is a Gaussian process whose covariance is a sum over *views* of a spot: its image
features, its place, a network's predictions. With standardised components t, views v and kernels m

    t ~ N(0, a · (Σ_m w_m K_m + ρ I)),    Σ_m w_m + ρ = 1,

the weights w, the length scales inside K_m and the noise share ρ are not set to one best value but
averaged over a grid by their marginal likelihood, with the amplitude a profiled out. With few
spots the likelihood is flat, the average leans to noise and the prediction to the centre; with
many it concentrates. That is the shrinkage: nothing else needs choosing.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from c2lst.errors import InputError
from c2lst.prediction.kernels import Kernel, ViewKernel, default_kernel
from c2lst.storage import read_json, whole_directory, write_json

Centre = Literal["midway", "mean", "median"]
Views = Mapping[str, np.ndarray]

COMPONENTS = 24
SEARCH_SPOTS = 600
"""Most spots that the grid is searched on: each candidate costs an eigendecomposition of them."""

NOISES = np.array([0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0])
"""Shares of a component's variance that no view explains; 1 is no signal at all."""

_ARRAYS = (
    "mean",
    "spread",
    "centre",
    "axes",
    "scores",
    "weights",
    "noise",
    "amplitude",
    "dual",
    "left_out",
    "left_out_sd",
)
_WEIGHTS_FILE, _META_FILE = "gaussian_process.safetensors", "gaussian_process.json"


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
    weights, noise, amplitude
        Shapes (r, M), (r,), (r,): w, ρ and a of the module's formula.
    dual
        Shape (n, r): (Σ w K + ρ I)⁻¹ t of each component.
    left_out, left_out_sd
        Shape (n, G): mean and standard deviation predicted for each training spot from the
        others (closed form, at the chosen weights).
    """

    kernels: tuple[Kernel, ...]
    train: Mapping[str, np.ndarray]
    mean: np.ndarray
    spread: np.ndarray
    centre: np.ndarray
    axes: np.ndarray
    scores: np.ndarray
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
        kernels: Mapping[str, ViewKernel] | None = None,
        components: int = COMPONENTS,
        centre: Centre = "midway",
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
        kernels
            Covariance functions of a view, where not those of
            :func:`~c2lst.prediction.kernels.default_kernel`.
        components
            Most singular vectors; at most n - 1 exist.
        centre
            Of a gene, with f its left-out signal: ``mean`` of y, ``median`` of y - f (best under
            absolute error with many spots), or ``midway`` between them (the median of few spots
            of sparse counts is noisy).
        seed
            Which spots the grid is searched on, where there are more than ``SEARCH_SPOTS``.

        Raises
        ------
        InputError
            If there are fewer than two spots, no view, or arrays do not agree.
        """
        y, train = _checked(y, views)
        n = len(y)
        mean, spread = y.mean(axis=0), y.std(axis=0)
        # A gene that is constant over the sampled spots stays at its value.
        spread = np.where(spread > 1e-12, spread, 0.0)
        standardised = (y - mean) / np.where(spread > 0, spread, 1.0)
        left, values, axes = np.linalg.svd(standardised, full_matrices=False)
        rank = max(1, min(components, n - 1, int((values > 1e-9 * (values[0] or 1)).sum())))
        scores, axes = left[:, :rank] * values[:rank], axes[:rank]

        chosen = kernels or {}
        functions = tuple(
            kernel
            for view in sorted(train)
            for kernel in chosen.get(view, default_kernel(view)).fit(view, train[view])
        )
        weights, noise = _average_over_grid(functions, train, scores, seed)
        solved = _solve(functions, train, scores, weights, noise)
        fitted = cls(
            functions,
            train,
            mean,
            spread,
            mean,
            axes,
            scores,
            weights,
            noise,
            solved.amplitude,
            solved.dual,
            y,
            y,
        )
        return fitted._with_left_out(y, solved, centre)

    def _with_left_out(
        self, y: np.ndarray, solved: _Solution, centre: Centre
    ) -> AdditiveGaussianProcess:
        from dataclasses import replace

        n = len(y)
        signal = (solved.left_out @ self.axes) * self.spread
        middle = {
            "mean": self.mean,
            "median": np.median(y - signal, axis=0),
            "midway": (self.mean + np.median(y - signal, axis=0)) / 2,
        }
        if centre not in middle:
            raise InputError(
                "Gaussian process", "centre", found=repr(centre), expected=", ".join(middle)
            )
        chosen = middle[centre]
        # The centre saw the spot that is left out: for the mean, its residual is (n-1)/n of the
        # one that the others would have left, whatever the values; the median is treated alike.
        left_out = y - (y - chosen - signal) * n / (n - 1)
        sd = self._spread_of(solved.left_out_variance)
        return replace(self, centre=chosen, left_out=left_out, left_out_sd=sd)

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
        query = self._checked_query(views)
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
        query = self._checked_query(views)
        variance = np.empty((len(next(iter(query.values()))), len(self.noise)))
        across = [
            kernel(query[kernel.view], self.train[kernel.view]) if kernel.view in query else None
            for kernel in self.kernels
        ]
        own = [
            kernel.diagonal(query[kernel.view]) if kernel.view in query else 1.0
            for kernel in self.kernels
        ]
        inner = _gram(self.kernels, self.train)
        for j in range(len(self.noise)):
            variance[:, j] = self.amplitude[j] * self._relative_variance(j, inner, across, own)
        return self.mean_at(views), self._spread_of(variance)

    def _relative_variance(
        self,
        j: int,
        inner: Sequence[np.ndarray],
        across: Sequence[np.ndarray | None],
        own: Sequence[np.ndarray | float],
    ) -> np.ndarray:
        from scipy.linalg import cho_factor, cho_solve

        weights, noise = self.weights[j], float(self.noise[j])
        prior = noise + sum(w * d for w, d in zip(weights, own, strict=True))
        seen = [(w, k) for w, k in zip(weights, across, strict=True) if w > 0 and k is not None]
        if not seen:
            return np.asarray(prior)
        covariance = sum(w * k for w, k in seen)
        factor = cho_factor(_covariance(inner, weights, noise), lower=True)
        explained = np.einsum("qn,nq->q", covariance, cho_solve(factor, covariance.T))
        return np.asarray(np.maximum(prior - explained, noise))

    def _spread_of(self, variance: np.ndarray) -> np.ndarray:
        """Turn variances of components (q, r) into standard deviations of genes (q, G)."""
        explained = (self.scores**2).mean(axis=0) @ self.axes**2
        left = np.clip(1.0 - explained, 0.0, None)
        return self.spread * np.sqrt(variance @ self.axes**2 + left)

    def _checked_query(self, views: Views) -> dict[str, np.ndarray]:
        query = {}
        for view, x in views.items():
            if view not in self.train:
                raise InputError(
                    "Gaussian process",
                    "unknown view",
                    found=repr(view),
                    expected=", ".join(self.views),
                )
            query[view] = _as_view(view, x)
            width = self.train[view].shape[1]
            if query[view].shape[1] != width:
                raise InputError(
                    "Gaussian process",
                    f"view {view!r} has another width",
                    found=query[view].shape[1],
                    expected=width,
                )
        if not query or len({len(x) for x in query.values()}) > 1:
            found = {view: x.shape for view, x in query.items()}
            raise InputError(
                "Gaussian process", "views", found=found or "none", expected="the same spots"
            )
        return query

    def save(self, directory: str | Path) -> None:
        """Write the process to a folder (safetensors and JSON)."""
        from safetensors.numpy import save_file

        arrays = {name: np.ascontiguousarray(getattr(self, name)) for name in _ARRAYS}
        arrays |= {f"train.{view}": np.ascontiguousarray(x) for view, x in self.train.items()}
        with whole_directory(directory) as partial:
            save_file(arrays, partial / _WEIGHTS_FILE)
            write_json(partial / _META_FILE, {"kernels": [k.to_dict() for k in self.kernels]})

    @classmethod
    def load(cls, directory: str | Path) -> AdditiveGaussianProcess:
        """Read what :meth:`save` wrote."""
        from safetensors.numpy import load_file

        directory = Path(directory)
        meta = read_json(directory / _META_FILE, required=("kernels",))
        path = directory / _WEIGHTS_FILE
        if not path.is_file():
            raise InputError(path, "no such file", remedy="train the predictor again")
        arrays: dict[str, Any] = load_file(path)
        train = {
            name.removeprefix("train."): x
            for name, x in arrays.items()
            if name.startswith("train.")
        }
        missing = [name for name in _ARRAYS if name not in arrays]
        if missing or not train:
            raise InputError(path, f"array {(missing or ['train'])[0]!r} is missing")
        return cls(
            kernels=tuple(Kernel(**kernel) for kernel in meta["kernels"]),
            train=train,
            **{name: arrays[name] for name in _ARRAYS},
        )


def _as_view(name: str, x: np.ndarray) -> np.ndarray:
    x = np.asarray(x, dtype=np.float64)
    if x.ndim != 2 or not np.isfinite(x).all():
        raise InputError(
            "Gaussian process",
            f"view {name!r}",
            found=x.shape,
            expected="finite values (n, d)",
        )
    return x


def _checked(y: np.ndarray, views: Views) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    y = np.asarray(y, dtype=np.float64)
    if y.ndim != 2 or len(y) < 2 or y.shape[1] == 0 or not np.isfinite(y).all():
        raise InputError(
            "Gaussian process",
            "training expression",
            found=y.shape,
            expected="finite values of two spots or more (n, G)",
        )
    train = {name: _as_view(name, x) for name, x in views.items()}
    if not train:
        raise InputError("Gaussian process", "no view", expected="image features, place or both")
    for name, x in train.items():
        if len(x) != len(y):
            raise InputError("Gaussian process", f"view {name!r}", found=len(x), expected=len(y))
    return y, train


def _gram(kernels: Sequence[Kernel], train: Views) -> list[np.ndarray]:
    return [kernel(train[kernel.view], train[kernel.view]) for kernel in kernels]


def _covariance(gram: Sequence[np.ndarray], weights: np.ndarray, noise: float) -> np.ndarray:
    """Σ w K + ρ I, for one component."""
    covariance = np.zeros_like(gram[0])
    for weight, kernel in zip(weights, gram, strict=True):
        if weight > 0:
            covariance += weight * kernel
    covariance[np.diag_indices_from(covariance)] += max(noise, 1e-8)
    return covariance


def _candidates(kernels: Sequence[Kernel]) -> Iterator[tuple[np.ndarray, float]]:
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


def _average_over_grid(
    kernels: Sequence[Kernel], train: Views, scores: np.ndarray, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Average weights (r, M) and noise (r,) over the grid by marginal likelihood."""
    n, rank = scores.shape
    if n > SEARCH_SPOTS:
        kept = np.sort(np.random.default_rng(seed).permutation(n)[:SEARCH_SPOTS])
        train, scores, n = {v: x[kept] for v, x in train.items()}, scores[kept], SEARCH_SPOTS
    gram = _gram(kernels, train)
    points, evidence = [], []
    for weights, prior in _candidates(kernels):
        covariance = sum(w * k for w, k in zip(weights, gram, strict=True) if w > 0)
        values, basis = np.linalg.eigh(covariance)
        d = (1 - NOISES)[:, None] * np.maximum(values, 0.0) + NOISES[:, None]
        amplitude = np.maximum((1 / d) @ (basis.T @ scores) ** 2 / n, 1e-300)
        likelihood = -0.5 * (n * np.log(amplitude) + np.log(d).sum(axis=1)[:, None])
        points.append(weights)
        evidence.append(likelihood + np.log(prior))
    log_evidence = np.array(evidence)
    probability = np.exp(log_evidence - log_evidence.max(axis=(0, 1)))
    probability /= probability.sum(axis=(0, 1))
    averaged = np.einsum("cnr,n,cm->rm", probability, 1 - NOISES, np.array(points))
    return averaged, np.einsum("cnr,n->r", probability, NOISES).reshape(rank)


@dataclass(frozen=True)
class _Solution:
    """Each component solved at its weights; the left-out values are exact at those weights."""

    dual: np.ndarray
    amplitude: np.ndarray
    left_out: np.ndarray
    left_out_variance: np.ndarray


def _solve(
    kernels: Sequence[Kernel],
    train: Views,
    scores: np.ndarray,
    weights: np.ndarray,
    noise: np.ndarray,
) -> _Solution:
    gram = _gram(kernels, train)
    n, rank = scores.shape
    dual, left_out, variance = (np.empty((n, rank)) for _ in range(3))
    amplitude = np.empty(rank)
    for j in range(rank):
        inverse = np.linalg.inv(_covariance(gram, weights[j], float(noise[j])))
        dual[:, j] = inverse @ scores[:, j]
        amplitude[j] = scores[:, j] @ dual[:, j] / n
        # Rasmussen & Williams (2006), equations 5.12: without solving n systems.
        left_out[:, j] = scores[:, j] - dual[:, j] / np.diag(inverse)
        variance[:, j] = amplitude[j] / np.diag(inverse)
    return _Solution(dual, amplitude, left_out, variance)
