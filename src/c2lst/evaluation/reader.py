"""A regression that reads values of spots, such as expression, from the features of patches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from c2lst.errors import InputError

PENALTIES = np.logspace(0, 6, 13)
_LEAST = 10


@dataclass(frozen=True, eq=False)
class Reader:
    """A ridge regression from the features of patches to values of their spots.

    Attributes
    ----------
    spots
        Real spots that it was trained on.
    penalty
        The ridge penalty, chosen by leave-one-out error.
    """

    spots: int
    penalty: float
    _model: Any

    @classmethod
    def fit(cls, features: np.ndarray, values: np.ndarray) -> Reader:
        """Train on real pairs that the generator never saw.

        Parameters
        ----------
        features
            ``(n, d)`` of real patches.
        values
            ``(n, T)`` of their spots, scaled; NaN, not measured, counts as 0, the mean.

        Raises
        ------
        InputError
            If there are too few spots.
        """
        from sklearn.linear_model import RidgeCV
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        if len(features) < _LEAST:
            raise InputError(
                "held-out spots",
                "too few to train a reader on",
                found=len(features),
                expected=f"at least {_LEAST}",
                remedy="give another section of the same tissue as --held-out",
            )
        model = make_pipeline(StandardScaler(), RidgeCV(PENALTIES))
        model.fit(features, np.nan_to_num(values))
        return cls(len(features), float(model[-1].alpha_), model)

    def predict(self, features: np.ndarray) -> np.ndarray:
        """Return the values ``(m, T)`` read from the features ``(m, d)`` of patches."""
        # Of a single value scikit-learn drops the second axis.
        return np.asarray(self._model.predict(features)).reshape(len(features), -1)
