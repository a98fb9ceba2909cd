"""What a baseline is told of spots, and what a fitted baseline can do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from c2lst.errors import InputError


@dataclass(frozen=True, eq=False)
class Spots:
    """Places of spots and, where a baseline needs them, features of their images.

    Parameters
    ----------
    xy
        Centres in µm, finite (n, 2).
    features
        Gene-free image features, finite (n, d), or None.

    Raises
    ------
    InputError
        If an array has another shape, or a value is not finite.
    """

    xy: np.ndarray
    features: np.ndarray | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "xy", finite("coordinates", self.xy))
        if self.xy.shape[1] != 2:
            raise InputError("baseline", "coordinates", found=self.xy.shape, expected="(n, 2)")
        if self.features is not None:
            object.__setattr__(self, "features", finite("image features", self.features))
            if len(self.features) != len(self.xy):
                raise InputError(
                    "baseline", "image features", found=len(self.features), expected=len(self.xy)
                )

    def __len__(self) -> int:
        return len(self.xy)


class Fitted(Protocol):
    """A baseline that was fitted to training spots."""

    def predict(self, spots: Spots) -> np.ndarray:
        """Predict the expression of spots: (q, G), in the unit of the training expression."""

    def left_out(self) -> np.ndarray:
        """Predict each of two or more training spots from the others: (n, G).

        In closed form, with what was chosen on all of them (a number of neighbours, a variogram,
        a penalty) left as it is.
        """


def finite(what: str, values: np.ndarray) -> np.ndarray:
    """Return ``values`` as finite float64 of two dimensions.

    Raises
    ------
    InputError
        If they are not.
    """
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 2:
        raise InputError("baseline", what, found=values.shape, expected="two dimensions")
    if not np.isfinite(values).all():
        raise InputError("baseline", f"{what}: values that are not finite")
    return values


def training_expression(spots: Spots, expression: np.ndarray) -> np.ndarray:
    """Return the expression of training ``spots`` as finite float64 (n > 0, G).

    Raises
    ------
    InputError
        If there is no spot, or their number is another.
    """
    expression = finite("training expression", expression)
    if len(expression) == 0 or len(expression) != len(spots):
        raise InputError(
            "baseline",
            "training expression and coordinates",
            found=f"{len(expression)} and {len(spots)} spots",
            expected="the same spots, one or more",
        )
    return expression
