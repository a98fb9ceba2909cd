"""Ordinary kriging of every gene, or of a few components that genes share.

Own code: the kriging packages fit one variable at a time, and scikit-learn's Gaussian process
gives all outputs one kernel and knows no unknown mean. Here all genes share a few decompositions.

Up to :data:`EXACT_SPOTS` spots nothing is approximated. Above, the slide is cut into compact blocks
and each is predicted from its :data:`NEIGHBOURHOOD` nearest sampled spots, so that time and memory
grow in proportion to the spots.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from c2lst.prediction.baselines.constant import Median
from c2lst.prediction.baselines.spots import Spots
from c2lst.prediction.baselines.variogram import (
    NUGGETS,
    USUAL,
    Spectrum,
    Variograms,
    compact_blocks,
)
from c2lst.progress import progress_bar

EXACT_SPOTS = 800
NEIGHBOURHOOD, BLOCK = 400, 128
"""Sampled spots that a block is predicted from, and those that lie in it at most."""

COMPONENTS = 32
"""Most components that :class:`SharedKriging` keeps: it shrinks those without structure itself."""

_QUERIES = 4096
"""Spots predicted at a time, which bounds the memory."""


@dataclass(frozen=True, eq=False)
class OrdinaryKriging:
    """Best linear unbiased prediction with an unknown constant mean, averaged over variograms.

    What is predicted is the field without its nugget: a sampled spot keeps its own value only
    where the nugget is (next to) nothing.

    Parameters
    ----------
    xy, y
        Training places (n, 2) in µm and expression (n, G).
    variograms
        Of the G genes.
    """

    xy: np.ndarray
    y: np.ndarray
    variograms: Variograms

    @classmethod
    def fit(cls, spots: Spots, y: np.ndarray, *, shapes: Sequence[str] = USUAL) -> OrdinaryKriging:
        """Weigh the variograms of ``shapes`` by restricted likelihood."""
        return cls(spots.xy, y, Variograms.fit(spots.xy, y, shapes=shapes))

    def predict(self, spots: Spots) -> np.ndarray:
        """Predict the field at every spot: (q, G)."""
        from scipy.spatial import KDTree

        predicted = np.empty((len(spots), self.y.shape[1]))
        nearest = KDTree(self.xy).query(spots.xy)[1]
        for inner, rows in self._neighbourhoods():
            queries = np.flatnonzero(np.isin(nearest, inner))
            if len(queries):
                predicted[queries] = self._predict_from(rows, spots.xy[queries])
        return predicted

    def left_out(self) -> np.ndarray:
        """Predict every training spot from the others, the mean estimated anew: (n, G).

        With P = V⁻¹ - V⁻¹11ᵀV⁻¹ / 1ᵀV⁻¹1 the residual is (Py)ᵢ / Pᵢᵢ (Dubrule, 1983), averaged
        over variograms.
        """
        residual = np.empty_like(self.y)
        for inner, rows in self._neighbourhoods():
            residual[inner] = self._left_out_residual(rows)[np.searchsorted(rows, inner)]
        return self.y - residual

    def _neighbourhoods(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield the rows of each block, and the sorted rows of the spots that predict it."""
        everything = np.arange(len(self.xy))
        if len(self.xy) <= EXACT_SPOTS:
            yield everything, everything
            return
        blocks = list(compact_blocks(self.xy, BLOCK))
        with progress_bar("kriging", len(blocks)) as bar:
            for inner in blocks:
                away = ((self.xy - self.xy[inner].mean(axis=0)) ** 2).sum(axis=1)
                nearest = np.argpartition(away, NEIGHBOURHOOD)[:NEIGHBOURHOOD]
                yield inner, np.union1d(nearest, inner)
                bar.advance()

    def _predict_from(self, rows: np.ndarray, query: np.ndarray) -> np.ndarray:
        from scipy.spatial.distance import cdist

        predicted = np.zeros((len(query), self.y.shape[1]))
        for k, spectrum in self._spectra(rows):
            z = spectrum.basis.T @ self.y[rows]
            dual, mean = np.zeros_like(z), np.zeros(z.shape[1])
            for nugget, d, weight in self._weighted(k, spectrum):
                centre = (spectrum.one / d) @ z / (spectrum.one**2 / d).sum()
                mean += weight * centre
                dual += weight * (1 - nugget) * (z - np.outer(spectrum.one, centre)) / d[:, None]
            dual = spectrum.basis @ dual
            for start in range(0, len(query), _QUERIES):
                part = slice(start, start + _QUERIES)
                across = self.variograms.correlations[k](cdist(query[part], self.xy[rows]))
                predicted[part] += mean + across @ dual
        return predicted

    def _left_out_residual(self, rows: np.ndarray) -> np.ndarray:
        residual = np.zeros((len(rows), self.y.shape[1]))
        for k, spectrum in self._spectra(rows):
            z = spectrum.basis.T @ self.y[rows]
            for _, d, weight in self._weighted(k, spectrum):
                ones = (spectrum.one**2 / d).sum()
                centre = (spectrum.one / d) @ z / ones
                dual = spectrum.basis @ ((z - np.outer(spectrum.one, centre)) / d[:, None])
                diagonal = spectrum.basis**2 @ (1 / d)
                diagonal -= (spectrum.basis @ (spectrum.one / d)) ** 2 / ones
                residual += weight * dual / diagonal[:, None]
        return residual

    def _spectra(self, rows: np.ndarray) -> Iterator[tuple[int, Spectrum]]:
        """Yield the number of each correlation and its decomposition at ``rows``."""
        from scipy.spatial.distance import cdist

        distance = cdist(self.xy[rows], self.xy[rows])
        for k, correlation in enumerate(self.variograms.correlations):
            yield k, Spectrum.of(correlation(distance))

    def _weighted(
        self, k: int, spectrum: Spectrum
    ) -> Iterator[tuple[float, np.ndarray, np.ndarray]]:
        """Yield nugget, eigenvalues (n,) and the genes' weights (G,), where any gene has one."""
        for nugget, d, weight in zip(NUGGETS, spectrum.d, self.variograms.weights[k], strict=True):
            if weight.any():
                yield float(nugget), d, weight


@dataclass(frozen=True, eq=False)
class RecentredKriging:
    """Ordinary kriging moved half-way from a mean to a median.

    Kriging is best under squared error; of skewed expression its residuals have a median below
    zero. Half of that median is added, gene by gene: the whole one is noisy where spots are few.

    Parameters
    ----------
    kriging
        As fitted.
    residual
        Shape (n, G): what it misses of each training spot when predicted from the others.
    """

    kriging: OrdinaryKriging
    residual: np.ndarray

    @classmethod
    def fit(cls, spots: Spots, y: np.ndarray, *, shapes: Sequence[str] = USUAL) -> RecentredKriging:
        """Krige, and leave every spot out; a single spot is predicted as it is."""
        kriging = OrdinaryKriging.fit(spots, y, shapes=shapes)
        return cls(kriging, y - kriging.left_out() if len(y) > 1 else np.zeros_like(y))

    def predict(self, spots: Spots) -> np.ndarray:
        """Predict the field at every spot: (q, G)."""
        return self.kriging.predict(spots) + np.median(self.residual, axis=0) / 2

    def left_out(self) -> np.ndarray:
        """Predict every training spot, and the median of residuals, from the others: (n, G)."""
        return self.kriging.left_out() + Median(self.residual).left_out() / 2


@dataclass(frozen=True, eq=False)
class SharedKriging:
    """Ordinary kriging of the leading principal components of standardised expression.

    Genes lend each other strength where a few fields explain them; what the components leave out
    of a gene is predicted by its mean.

    Parameters
    ----------
    y
        Training expression (n, G).
    mean, spread
        Shape (G,).
    axes
        Shape (r, G), orthonormal rows.
    fields
        Kriging of the r components.
    """

    y: np.ndarray
    mean: np.ndarray
    spread: np.ndarray
    axes: np.ndarray
    fields: OrdinaryKriging

    @classmethod
    def fit(
        cls,
        spots: Spots,
        y: np.ndarray,
        *,
        components: int = COMPONENTS,
        shapes: Sequence[str] = USUAL,
    ) -> SharedKriging:
        """Find the components, and weigh the variograms of each."""
        from scipy.linalg import svd

        mean, spread = y.mean(axis=0), y.std(axis=0)
        spread = np.where(spread > 1e-12, spread, 0.0)
        standard = (y - mean) / np.where(spread > 0, spread, 1.0)
        left, values, axes = svd(standard, full_matrices=False)
        rank = max(1, min(components, int((values > 1e-9 * (values[0] or 1)).sum())))
        fields = OrdinaryKriging.fit(spots, left[:, :rank] * values[:rank], shapes=shapes)
        return cls(y, mean, spread, axes[:rank], fields)

    def predict(self, spots: Spots) -> np.ndarray:
        """Predict the components' fields at every spot, as genes: (q, G)."""
        return self.mean + self.spread * (self.fields.predict(spots) @ self.axes)

    def left_out(self) -> np.ndarray:
        """Predict every training spot from the others, the axes left as they are: (n, G)."""
        explained = self.mean + self.spread * (self.fields.y @ self.axes)
        # What the components leave out is predicted by its mean, which is zero over all spots.
        rest = (self.y - explained) / (len(self.y) - 1)
        return self.mean + self.spread * (self.fields.left_out() @ self.axes) - rest
