"""Views of spots, as the Gaussian process takes them: names to finite arrays of the same spots."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from c2lst.errors import InputError

Views = Mapping[str, np.ndarray]


def checked_training(y: np.ndarray, views: Views) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return expression (n, G) and views of two or more training spots as float64.

    Raises
    ------
    InputError
        If a value is not finite, or arrays are not of the same spots.
    """
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


def checked_query(views: Views, train: Views) -> dict[str, np.ndarray]:
    """Return views of new spots as float64.

    Raises
    ------
    InputError
        If there is none, one is unknown to the training spots or has another width, or they are
        not of the same spots.
    """
    query = {}
    for name, x in views.items():
        if name not in train:
            raise InputError(
                "Gaussian process",
                "unknown view",
                found=repr(name),
                expected=", ".join(sorted(train)),
            )
        query[name] = _as_view(name, x)
        width = train[name].shape[1]
        if query[name].shape[1] != width:
            raise InputError(
                "Gaussian process",
                f"view {name!r} has another width",
                found=query[name].shape[1],
                expected=width,
            )
    if not query or len({len(x) for x in query.values()}) > 1:
        found = {name: x.shape for name, x in query.items()}
        raise InputError(
            "Gaussian process", "views", found=found or "none", expected="the same spots"
        )
    return query


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
