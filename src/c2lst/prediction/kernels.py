"""Covariance functions of the additive Gaussian process, one for each kind of view."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from c2lst.data.pooling import APART_UM
from c2lst.errors import InputError
from c2lst.rules import above, hold, one_of

Shape = Literal["exponential", "matern", "rbf", "linear"]


@dataclass(frozen=True)
class ViewKernel:
    """Which covariance functions a view is offered.

    Parameters
    ----------
    shape
        ``exponential`` exp(-d/ℓ), ``matern`` of smoothness 3/2, (1 + √3 d/ℓ) exp(-√3 d/ℓ), ``rbf``
        exp(-d²/2ℓ²), or ``linear`` x·x'/mean(x·x).
    lengths
        Length scales ℓ to choose from, in median distances between training spots; ``linear``
        has none.
    """

    shape: Shape
    lengths: tuple[float, ...] = (1.0,)

    def __post_init__(self) -> None:
        hold(self, "view kernel", shape=one_of(Shape), lengths=above(0).each(least=1))

    def fit(self, view: str, x: np.ndarray) -> list[Kernel]:
        """Turn relative into absolute length scales on training positions ``x`` (n, d)."""
        if self.shape == "linear":
            power = float((x**2).sum(axis=1).mean())
            return [Kernel(view, "linear", np.sqrt(power) if power > 0 else 1.0)]
        unit = median_distance(x)
        return [Kernel(view, self.shape, length * unit) for length in self.lengths]


@dataclass(frozen=True)
class Kernel:
    """One covariance function of one view, of about unit variance.

    Parameters
    ----------
    view
        Name of the view that it reads.
    shape
        See :class:`ViewKernel`.
    scale
        Length scale in the view's own unit (µm for place); root mean square norm if linear.
    """

    view: str
    shape: Shape
    scale: float

    def __call__(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Covariance between positions ``a`` (q, d) and ``b`` (n, d): (q, n)."""
        if self.shape == "linear":
            return (a / self.scale) @ (b / self.scale).T
        from scipy.spatial.distance import cdist

        if self.shape == "exponential":
            return np.exp(-cdist(a, b) / self.scale)
        if self.shape == "matern":
            distance = np.sqrt(3) * cdist(a, b) / self.scale
            return (1 + distance) * np.exp(-distance)
        return np.exp(-0.5 * cdist(a, b, "sqeuclidean") / self.scale**2)

    def diagonal(self, a: np.ndarray) -> np.ndarray:
        """Prior variance at positions ``a``: (q,)."""
        if self.shape == "linear":
            return ((a / self.scale) ** 2).sum(axis=1)
        return np.ones(len(a))

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {"view": self.view, "shape": self.shape, "scale": float(self.scale)}


PLACE = ViewKernel("exponential", (0.3,))
"""Place in µm: rough fields, as expression is. Well below its length an exponential is as good as a
shorter one of less weight, so that more lengths only cost certainty."""

FEATURES = ViewKernel("matern", (1.0,))
"""Image features: distances between principal components. Smoother than place: the rough
exponential was worse on real sections with few spots, and no better with many."""

NETWORK = ViewKernel("exponential", (0.5, 1.0))
"""A network's predictions: spots that it finds alike. Linear was a little worse on real slides."""


def default_kernel(view: str) -> ViewKernel:
    """Return the kernel of a view by its name: ``place``, ``network``, else image features."""
    return {"place": PLACE, "network": NETWORK}.get(view, FEATURES)


def median_distance(x: np.ndarray) -> float:
    """Median distance between the rows of ``x`` (n, d); 1 where all rows are alike.

    Rows that lie ``APART_UM`` or more apart are places on different sections of a pool: how far
    that is means nothing.
    """
    from scipy.spatial.distance import pdist

    if len(x) > 1000:
        x = x[np.linspace(0, len(x) - 1, 1000).astype(int)]
    distances = pdist(x)
    distances = distances[(distances > 0) & (distances < APART_UM)]
    return float(np.median(distances)) if distances.size else 1.0


@dataclass(frozen=True)
class Reduction:
    """Centre, scale and rotate features to their leading principal components.

    It is fitted on the features of *all* spots of a section: unsampled spots have images, too,
    and no gene is involved.

    Parameters
    ----------
    mean, scale
        Shape (d,).
    axes
        Shape (d, k), orthonormal columns.
    """

    mean: np.ndarray
    scale: np.ndarray
    axes: np.ndarray

    @classmethod
    def fit(cls, x: np.ndarray, components: int, *, standardise: bool = True) -> Reduction:
        """Fit on ``x`` (n, d); at most n - 1 and d components are kept."""
        x = np.asarray(x, dtype=np.float64)
        if x.ndim != 2 or x.size == 0 or not np.isfinite(x).all():
            raise InputError(
                "features", "wrong array", found=x.shape, expected="finite values (n, d)"
            )
        mean, scale = x.mean(axis=0), np.ones(x.shape[1])
        if standardise:
            spread = x.std(axis=0)
            scale = np.where(spread > 1e-12, spread, 1.0)
        kept = max(1, min(components, len(x) - 1, x.shape[1]))
        _, _, rows = np.linalg.svd((x - mean) / scale, full_matrices=False)
        axes = rows[:kept].T
        # The sign of an axis is arbitrary: fix it, so that files are alike on every machine.
        signs = np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(kept)])
        return cls(mean, scale, axes * np.where(signs == 0, 1.0, signs))

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Reduce ``x`` (n, d) to (n, k).

        Raises
        ------
        InputError
            If the features have another width than those of the fit.
        """
        x = np.asarray(x, dtype=np.float64)
        if x.ndim != 2 or x.shape[1] != len(self.mean):
            raise InputError(
                "features", "wrong width", found=x.shape, expected=f"(n, {len(self.mean)})"
            )
        return ((x - self.mean) / self.scale) @ self.axes
