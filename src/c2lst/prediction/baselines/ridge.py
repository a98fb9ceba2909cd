"""Ridge regression on principal components of image features, with or without coordinates.

The textbook use of a frozen encoder. How many components, how much the coordinates weigh and the
penalty are chosen inside the training spots by leaving each out, in closed form: given the
components, the left-out residual of a linear smoother is the residual over 1 - hᵢᵢ.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from c2lst.errors import InputError
from c2lst.prediction.baselines.spots import Spots

if TYPE_CHECKING:
    from sklearn.decomposition import PCA

COMPONENTS = (4, 8, 16, 32, 64, 128)
"""Numbers of principal components to choose from."""

PENALTIES = np.geomspace(1e-3, 1e3, 13)
"""Penalties to choose from, relative to the mean squared singular value."""

PLACE_WEIGHTS = (0.1, 1.0, 10.0)
"""Total variances of the coordinates, where that of the image features is 1, to choose from."""


@dataclass(frozen=True, eq=False)
class Design:
    """Turns spots into the columns that ridge regression penalises alike.

    Parameters
    ----------
    pca
        Of standardised features.
    centre, scale
        Shape (d,): standardisation of the features.
    components
        How many principal components are used.
    origin, extent
        Mean place (2,) in µm, and the root mean square distance from it.
    place_weight
        Total variance of the coordinates; 0 leaves them out.
    """

    pca: PCA
    centre: np.ndarray
    scale: np.ndarray
    components: int
    origin: np.ndarray
    extent: float
    place_weight: float

    def __call__(self, spots: Spots) -> np.ndarray:
        """Return the columns (n, p)."""
        features = _features(spots)
        if features.shape[1] != len(self.centre):
            raise InputError(
                "ridge", "image features", found=features.shape[1], expected=len(self.centre)
            )
        scores = self.pca.transform((features - self.centre) / self.scale)[:, : self.components]
        power = float(self.pca.explained_variance_[: self.components].sum())
        columns = scores / np.sqrt(power) if power > 0 else scores
        if self.place_weight == 0:
            return columns
        # A plane and a paraboloid: with the √2, turning the slide changes no inner product.
        x, y = ((spots.xy - self.origin) / self.extent).T
        place = np.column_stack([x, y, x**2, np.sqrt(2) * x * y, y**2])
        return np.hstack([columns, np.sqrt(self.place_weight / 2) * place])


@dataclass(frozen=True, eq=False)
class Ridge:
    """A fitted regression.

    Parameters
    ----------
    design
        Columns of a spot.
    origin
        Shape (p,): mean of the training spots' columns.
    intercept, slopes
        Shapes (G,) and (p, G).
    predicted
        Shape (n, G): the training spots, each from the others.
    """

    design: Design
    origin: np.ndarray
    intercept: np.ndarray
    slopes: np.ndarray
    predicted: np.ndarray

    @classmethod
    def fit(cls, spots: Spots, y: np.ndarray, *, coordinates: bool = False) -> Ridge:
        """Choose design and penalty, alike for all genes, by the squared left-out error.

        Parameters
        ----------
        spots, y
            Training spots with features, and their expression (n, G).
        coordinates
            Whether a quadratic trend over the slide may take part.

        Raises
        ------
        InputError
            If the spots have no features.
        """
        spread = y.std(axis=0)
        # What is left of a constant gene is rounding, which must not choose.
        per_gene = np.where(spread > 1e-12, spread, np.inf)

        def trials() -> Iterator[tuple[float, Design, _Rotated, float]]:
            for design in _designs(spots, coordinates=coordinates):
                rotated = _Rotated.of(design(spots), y)
                for penalty in PENALTIES:
                    error = ((rotated.left_out_residual(penalty) / per_gene) ** 2).sum()
                    yield float(error), design, rotated, penalty

        _, design, rotated, penalty = min(trials(), key=lambda trial: trial[0])
        return cls(
            design,
            rotated.origin,
            y.mean(axis=0),
            rotated.slopes(penalty),
            y - rotated.left_out_residual(penalty),
        )

    def predict(self, spots: Spots) -> np.ndarray:
        """Predict every spot from its image, and place: (q, G)."""
        return self.intercept + (self.design(spots) - self.origin) @ self.slopes

    def left_out(self) -> np.ndarray:
        """Predict every training spot from the others, the components left as they are: (n, G)."""
        return self.predicted


@dataclass(frozen=True, eq=False)
class _Rotated:
    """Centred columns X = U S Vᵀ and centred expression: all that any penalty needs."""

    origin: np.ndarray
    left: np.ndarray
    values: np.ndarray
    axes: np.ndarray
    y: np.ndarray

    @classmethod
    def of(cls, columns: np.ndarray, y: np.ndarray) -> _Rotated:
        from scipy.linalg import svd

        origin = columns.mean(axis=0)
        left, values, axes = svd(columns - origin, full_matrices=False)
        # Centred spots span one dimension less than there are spots: what is left is rounding.
        rank = int((values > 1e-9 * max(values[0], 1e-9)).sum())
        return cls(origin, left[:, :rank], values[:rank], axes[:rank], y - y.mean(axis=0))

    def _shrinkage(self, penalty: float) -> np.ndarray:
        squared = self.values**2
        shrinkage: np.ndarray = (
            squared / (squared + penalty * squared.mean()) if len(squared) else squared
        )
        return shrinkage

    def slopes(self, penalty: float) -> np.ndarray:
        """Coefficients (p, G)."""
        shrunk = self._shrinkage(penalty) / self.values
        return self.axes.T @ (shrunk[:, None] * (self.left.T @ self.y))

    def left_out_residual(self, penalty: float) -> np.ndarray:
        """Residual (n, G) of each spot when the regression is fitted to the others."""
        shrinkage = self._shrinkage(penalty)
        residual = self.y - self.left @ (shrinkage[:, None] * (self.left.T @ self.y))
        leverage = 1 / len(self.y) + self.left**2 @ shrinkage
        kept = np.maximum(1 - leverage, 1e-12)
        return residual / kept[:, None]


def _designs(spots: Spots, *, coordinates: bool) -> Iterator[Design]:
    """Yield every number of components with every weight of the coordinates."""
    from sklearn.decomposition import PCA

    features = _features(spots)
    centre, spread = features.mean(axis=0), features.std(axis=0)
    # Units that hardly ever fire have next to no spread over few spots: dividing by it would
    # make monsters of the spots where they do.
    least = float(np.sqrt((spread**2).mean()))
    scale = np.maximum(spread, least) if least > 0 else np.ones_like(spread)
    most = max(1, min(len(features) - 1, features.shape[1], COMPONENTS[-1]))
    with np.errstate(invalid="ignore"):  # one spot, or features that are all alike
        pca = PCA(most, random_state=0).fit((features - centre) / scale)
    origin = spots.xy.mean(axis=0)
    extent = float(np.sqrt(((spots.xy - origin) ** 2).sum(axis=1).mean())) or 1.0
    numbers = sorted({min(number, most) for number in COMPONENTS})
    weights = (0.0, *PLACE_WEIGHTS) if coordinates else (0.0,)
    for number, weight in itertools.product(numbers, weights):
        yield Design(pca, centre, scale, number, origin, extent, weight)


def _features(spots: Spots) -> np.ndarray:
    if spots.features is None:
        raise InputError("ridge", "image features are needed", expected="(n, d)")
    return spots.features
