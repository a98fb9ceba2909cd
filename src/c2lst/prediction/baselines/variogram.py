"""Weigh variograms by restricted likelihood, for all genes at once.

An expression field has covariance σ² ((1 - s) ρ(h / a) + s [h = 0]) at distance h: a correlation
function ρ, an effective range a, the nugget's share s of the sill σ². All three are on a grid; mean
and sill are profiled out; one eigendecomposition per ρ and a serves all nuggets and genes.

A gene does not get its best variogram but the average over the grid: with few spots the likelihood
is flat, and the best of a flat likelihood is chance.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

RANGES = 6
"""Effective ranges on the grid, from twice the spacing of the spots to twice the median distance
between two of them."""

NUGGETS = np.array([1e-6, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0])
"""Shares of the sill without spatial structure; 1 is white noise, predicted by the mean."""

LIKELIHOOD_SPOTS = 300
"""Most spots of a block of the likelihood: more are cut into blocks taken as independent."""

LEAST_SHARE = 0.02
"""Of all genes' structure, that a correlation must have to be kept."""

_FLAT = 1e-12
"""A sill, in the unit of standardised genes, below which a gene is constant."""


def exponential(h: np.ndarray) -> np.ndarray:
    """exp(-3h): rough. Here as below ``h`` is a distance in effective ranges."""
    return np.exp(-3 * h)


def spherical(h: np.ndarray) -> np.ndarray:
    """1 - 3h/2 + h³/2 up to h = 1, then 0."""
    inside = np.minimum(h, 1)
    return 1 - 1.5 * inside + 0.5 * inside**3


def matern(h: np.ndarray) -> np.ndarray:
    """Matérn's of smoothness 3/2: (1 + ch) exp(-ch), which is 0.05 at h = 1: smooth."""
    scaled = 4.744 * h
    return (1 + scaled) * np.exp(-scaled)


SHAPES: Mapping[str, Callable[[np.ndarray], np.ndarray]] = {
    "exponential": exponential,
    "spherical": spherical,
    "matern": matern,
}
"""Correlation functions by name (Chilès & Delfiner, 2012, section 2.5)."""

USUAL = ("exponential",)
"""Shapes that are averaged over unless told. On real sections each of the others, and all three
together, did worse: expression is rough, and smooth functions extrapolate from few spots."""


@dataclass(frozen=True)
class Correlation:
    """A correlation function with its effective range in µm, where it has fallen to about 0.05."""

    shape: str
    effective_range: float

    def __call__(self, distance: np.ndarray) -> np.ndarray:
        """Correlation at distances in µm, of the same shape."""
        return SHAPES[self.shape](distance / self.effective_range)


@dataclass(frozen=True, eq=False)
class Variograms:
    """For each gene, how plausible every variogram of the grid is.

    Parameters
    ----------
    correlations
        The K correlation functions.
    weights
        Posterior probabilities (K, nuggets, G), under a flat prior; they sum to one over the first
        two axes.
    """

    correlations: tuple[Correlation, ...]
    weights: np.ndarray

    @classmethod
    def fit(cls, xy: np.ndarray, y: np.ndarray, *, shapes: Sequence[str] = USUAL) -> Variograms:
        """Weigh the grid by restricted likelihood.

        More than :data:`LIKELIHOOD_SPOTS` spots are cut into compact blocks whose likelihoods are
        multiplied (Caragea & Smith, 2007): the cost grows with the number of spots, not its cube.
        Correlations that few genes want are dropped (:data:`LEAST_SHARE`).

        Parameters
        ----------
        xy, y
            Places (n, 2) in µm and expression (n, G).
        shapes
            Names of :data:`SHAPES` to choose from.
        """
        ranges = range_grid(xy)
        if len(y) < 3 or not len(ranges):
            return cls.white(y.shape[1])
        spread = y.std(axis=0)
        varies = spread > 1e-12
        standard = (y - y.mean(axis=0)) / np.where(varies, spread, 1.0)
        grid = [Correlation(shape, float(reach)) for shape in shapes for reach in ranges]
        blocks = list(compact_blocks(xy, LIKELIHOOD_SPOTS))
        likelihood = _restricted_likelihood(grid, xy, standard, blocks)
        # White noise is the same at every correlation: what counts is the structure beside it. The
        # likelihood of a constant gene is that of a field without end, which tells of no other.
        structure = _probabilities(likelihood)[:, :-1, varies].sum(axis=(1, 2))
        kept = structure >= min(LEAST_SHARE * structure.sum(), structure.max())
        return cls(
            tuple(c for c, keep in zip(grid, kept, strict=True) if keep),
            _probabilities(likelihood[kept]),
        )

    @classmethod
    def white(cls, genes: int) -> Variograms:
        """Return white noise for every gene: what is assumed of too few spots."""
        weights = np.zeros((1, len(NUGGETS), genes))
        weights[:, -1] = 1.0
        return cls((Correlation("exponential", 1.0),), weights)

    @property
    def nugget(self) -> np.ndarray:
        """Expected share of the sill without structure: (G,)."""
        expected: np.ndarray = np.einsum("kng,n->g", self.weights, NUGGETS)
        return expected

    @property
    def effective_range(self) -> np.ndarray:
        """Expected effective range in µm of each gene's structure: (G,); NaN without any."""
        structured = self.weights[:, :-1].sum(axis=1)
        reach = np.array([c.effective_range for c in self.correlations])
        total = structured.sum(axis=0)
        return np.where(total > 0, reach @ structured / np.where(total > 0, total, 1), np.nan)


def range_grid(xy: np.ndarray) -> np.ndarray:
    """Effective ranges in µm that are tried at places ``xy`` (n, 2); none if all coincide."""
    from scipy.spatial import KDTree

    from c2lst.prediction.kernels import median_distance

    distinct = np.unique(xy, axis=0)
    if len(distinct) < 2:
        return np.empty(0)
    spacing = np.median(KDTree(distinct).query(distinct, k=2)[0][:, 1])
    return np.geomspace(2 * spacing, max(2 * median_distance(xy), 3 * spacing), RANGES)


def compact_blocks(xy: np.ndarray, most: int) -> Iterator[np.ndarray]:
    """Cut places into blocks of at most ``most``: yield the rows of each.

    Halved at the median along the longest principal axis, so that turning the slide changes
    nothing.
    """

    def cut(rows: np.ndarray) -> Iterator[np.ndarray]:
        if len(rows) <= most:
            yield np.sort(rows)
            return
        centred = xy[rows] - xy[rows].mean(axis=0)
        along = centred @ np.linalg.eigh(centred.T @ centred)[1][:, -1]
        order = rows[np.argsort(along, kind="stable")]
        yield from cut(order[: len(rows) // 2])
        yield from cut(order[len(rows) // 2 :])

    yield from cut(np.arange(len(xy)))


def _probabilities(likelihood: np.ndarray) -> np.ndarray:
    """Posterior of the grid (K, nuggets, G) under a flat prior."""
    weights = np.exp(likelihood - likelihood.max(axis=(0, 1)))
    posterior: np.ndarray = weights / weights.sum(axis=(0, 1))
    return posterior


def _restricted_likelihood(
    grid: Sequence[Correlation], xy: np.ndarray, y: np.ndarray, blocks: Sequence[np.ndarray]
) -> np.ndarray:
    """Log of the restricted likelihood, (K, nuggets, G), mean and sill profiled out.

    With V the correlation matrix with nugget: A = 1ᵀV⁻¹1, B = 1ᵀV⁻¹y, C = yᵀV⁻¹y are summed over
    blocks, and 2 log L = -(n - 1) log(C - B²/A) - log|V| - log A up to a constant.
    """
    from scipy.spatial.distance import cdist

    shape = (len(grid), len(NUGGETS))
    log_det, ones = np.zeros(shape), np.zeros(shape)
    cross, square = np.zeros((*shape, y.shape[1])), np.zeros((*shape, y.shape[1]))
    for rows in blocks:
        distance = cdist(xy[rows], xy[rows])
        for k, correlation in enumerate(grid):
            spectrum = Spectrum.of(correlation(distance))
            one, z, d = spectrum.one, spectrum.basis.T @ y[rows], spectrum.d
            log_det[k] += np.log(d).sum(axis=1)
            ones[k] += (1 / d) @ one**2
            cross[k] += (one / d) @ z
            square[k] += (1 / d) @ z**2
    sill = np.maximum(square - cross**2 / ones[..., None], _FLAT)
    twice = (len(y) - 1) * np.log(sill) + (log_det + np.log(ones))[..., None]
    likelihood: np.ndarray = -0.5 * twice
    return likelihood


@dataclass(frozen=True, eq=False)
class Spectrum:
    """A correlation matrix R = B Λ Bᵀ, with which V = (1 - s) R + s I is solved for every s.

    Parameters
    ----------
    basis
        B, (n, n).
    one
        Bᵀ1, (n,).
    d
        Eigenvalues of V for each nugget: (nuggets, n).
    """

    basis: np.ndarray
    one: np.ndarray
    d: np.ndarray

    @classmethod
    def of(cls, matrix: np.ndarray) -> Spectrum:
        """Decompose a correlation matrix (n, n)."""
        values, basis = np.linalg.eigh(matrix)
        d = np.outer(1 - NUGGETS, np.maximum(values, 0)) + NUGGETS[:, None]
        return cls(basis, basis.sum(axis=0), d)
