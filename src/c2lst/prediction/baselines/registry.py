"""Every baseline under one name: what it is called in tables, whose it is, what it needs."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np

from c2lst.errors import InputError
from c2lst.prediction.baselines.constant import Mean, Median
from c2lst.prediction.baselines.neighbours import inverse_distance, nearest_neighbours
from c2lst.prediction.baselines.ordinary_kriging import (
    OrdinaryKriging,
    RecentredKriging,
    SharedKriging,
)
from c2lst.prediction.baselines.ridge import Ridge
from c2lst.prediction.baselines.spots import Fitted, Spots, training_expression
from c2lst.progress import logger

Need = Literal["coordinates", "features"]


@dataclass(frozen=True)
class Baseline:
    """A way to predict unsampled spots that anyone would try first.

    Coordinates are in µm; expression is in the unit that errors are to be counted in (log1p of
    normalised counts in this package).

    Parameters
    ----------
    name
        In ``predictions.h5ad`` after ``baseline_``.
    title
        In tables.
    citation
        Whose method it is; empty for common property.
    needs
        What it looks at.
    fit
        Training spots and expression (n, G) to a fitted baseline; keywords are its options.
    """

    name: str
    title: str
    citation: str
    needs: tuple[Need, ...]
    fit: Callable[..., Fitted]

    def __call__(
        self,
        train_xy: np.ndarray,
        train_expression: np.ndarray,
        xy: np.ndarray,
        train_features: np.ndarray | None = None,
        features: np.ndarray | None = None,
        **options: Any,
    ) -> np.ndarray:
        """Predict spots from the training spots.

        Parameters
        ----------
        train_xy, xy
            Centres in µm of the training spots (n, 2) and of those to predict (q, 2).
        train_expression
            Finite (n, G), n at least 1.
        train_features, features
            Gene-free image features (n, d) and (q, d), where the baseline needs them.
        options
            Of ``fit``, such as ``neighbours=4``; what is left out is chosen on the training spots.

        Returns
        -------
        numpy.ndarray
            ``(q, G)``.

        Raises
        ------
        InputError
            If shapes disagree, values are not finite, or features are missing.
        """
        started = time.perf_counter()
        query = self._spots(xy, features)
        predicted = self._fitted(train_xy, train_expression, train_features, options).predict(query)
        logger.debug(
            "%s: %d spots from %d, %d genes, in %.2f s",
            self.name,
            *(len(query), len(train_expression), predicted.shape[1]),
            time.perf_counter() - started,
        )
        return predicted

    def leave_one_out(
        self,
        xy: np.ndarray,
        expression: np.ndarray,
        features: np.ndarray | None = None,
        **options: Any,
    ) -> np.ndarray:
        """Predict each of the n training spots from the others, in closed form: (n, G).

        What is chosen on the training spots (neighbours, variogram, penalty, components) is chosen
        once, on all of them. That flatters a method the more, the more it chooses: to choose
        between methods, refit them on folds.

        Parameters
        ----------
        xy, expression, features
            Of the training spots, as in a call.

        Raises
        ------
        InputError
            As in a call, or if there are fewer than two spots.
        """
        fitted = self._fitted(xy, expression, features, options)
        if len(expression) < 2:
            raise InputError(
                "leave-one-out", "too few spots", found=len(expression), expected="at least 2"
            )
        return fitted.left_out()

    def _fitted(
        self,
        xy: np.ndarray,
        expression: np.ndarray,
        features: np.ndarray | None,
        options: Mapping[str, Any],
    ) -> Fitted:
        spots = self._spots(xy, features)
        return self.fit(spots, training_expression(spots, expression), **options)

    def _spots(self, xy: np.ndarray, features: np.ndarray | None) -> Spots:
        needed = "features" in self.needs
        if needed and features is None:
            raise InputError(
                f"baseline {self.name!r}",
                "needs image features",
                remedy="give train_features and features, or leave this baseline out",
            )
        return Spots(xy, features if needed else None)


_RIDGE = "Hoerl and Kennard 1970"

REGISTRY: Mapping[str, Baseline] = {
    baseline.name: baseline
    for baseline in (
        Baseline("train_median", "Train median", "", (), Median.fit),
        Baseline("train_mean", "Train mean", "", (), Mean.fit),
        Baseline(
            "knn",
            "Nearest neighbours",
            "Fix and Hodges 1951",
            ("coordinates",),
            nearest_neighbours,
        ),
        Baseline(
            "inverse_distance",
            "Inverse distance",
            "Shepard 1968",
            ("coordinates",),
            inverse_distance,
        ),
        Baseline("kriging", "Kriging", "Matheron 1963", ("coordinates",), OrdinaryKriging.fit),
        Baseline(
            "kriging_recentred",
            "Kriging, recentred",
            "Matheron 1963",
            ("coordinates",),
            RecentredKriging.fit,
        ),
        Baseline(
            "kriging_shared",
            "Kriging of components",
            "Matheron 1963; Goovaerts 1993",
            ("coordinates",),
            SharedKriging.fit,
        ),
        Baseline("ridge", "Frozen encoder + ridge", _RIDGE, ("features",), Ridge.fit),
        Baseline(
            "ridge_coordinates",
            "Frozen encoder + ridge + coordinates",
            _RIDGE,
            ("features", "coordinates"),
            partial(Ridge.fit, coordinates=True),
        ),
    )
}
"""Every baseline that is no network, by name, in the order of tables."""


def baselines_for(*, features: bool) -> dict[str, Baseline]:
    """Return the baselines that can be run with, or without, image features."""
    return {n: b for n, b in REGISTRY.items() if features or "features" not in b.needs}


def leave_one_out(
    method: str,
    xy: np.ndarray,
    expression: np.ndarray,
    features: np.ndarray | None = None,
    **options: Any,
) -> np.ndarray:
    """Predict each training spot from the others by the baseline ``method``: (n, G).

    See :meth:`Baseline.leave_one_out`.

    Raises
    ------
    InputError
        If there is no baseline of that name.
    """
    if method not in REGISTRY:
        raise InputError("baseline", "unknown name", found=method, expected=", ".join(REGISTRY))
    return REGISTRY[method].leave_one_out(xy, expression, features, **options)
