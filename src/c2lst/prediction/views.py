"""Choose inside the training spots which image features the predictor reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from c2lst.errors import InputError
from c2lst.prediction.place import COMPONENTS, AdditiveGaussianProcess
from c2lst.progress import logger, progress_bar

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDS = 5

LEAST_SPOTS = 8
"""With fewer training spots the default is kept. From nine spots of real sections on, the choice
came within 0.1 % of the better encoder's error, whichever was the default."""

CHOOSING_SPOTS = 300
"""Most training spots that the choice is made on: more would not change it."""


@dataclass(frozen=True)
class Choice:
    """Which candidate is read, and how it compares.

    Parameters
    ----------
    name
        The chosen candidate.
    errors
        Every candidate to its mean absolute error on left-out training spots, the default first;
        empty where there were too few spots to compare.
    """

    name: str
    errors: Mapping[str, float]


def choose_view(
    observed: np.ndarray,
    candidates: Mapping[str, np.ndarray],
    place: np.ndarray,
    *,
    library_size: np.ndarray | None = None,
    components: int = COMPONENTS,
    seed: int = 0,
) -> Choice:
    """Compare image features by refitted cross-validation inside the training spots.

    The candidate of least mean absolute error is taken. The process is refitted to every fold's
    training spots, as closed forms flatter what adapts most. Two encoders at once were no better
    than the better of them; who wants to try gives their features side by side as one candidate.

    Parameters
    ----------
    observed
        Expression of the training spots (n, G).
    candidates
        Name to image features of the training spots (n, d), reduced as the process will get them;
        the first is the default.
    place
        Centres of the training spots (n, 2) in µm.
    library_size, components
        As of :meth:`~c2lst.prediction.place.AdditiveGaussianProcess.fit`.
    seed
        Of the folds.

    Raises
    ------
    InputError
        If there is no candidate, or arrays do not agree.
    """
    if not candidates:
        raise InputError("choice of image features", "no candidates", expected="one or more")
    default = next(iter(candidates))
    if len(observed) < LEAST_SPOTS or len(candidates) == 1:
        return Choice(default, {})
    rows = np.random.default_rng(seed).permutation(len(observed))[:CHOOSING_SPOTS]

    def error(features: np.ndarray) -> float:
        views = {"image": np.asarray(features), "place": place}
        total = 0.0
        for train, out in _folds(rows):
            process = AdditiveGaussianProcess.fit(
                observed[train],
                {view: x[train] for view, x in views.items()},
                library_size=None if library_size is None else library_size[train],
                components=components,
                seed=seed,
            )
            predicted = process.mean_at({view: x[out] for view, x in views.items()})
            total += float(np.abs(predicted - observed[out]).mean(axis=1).sum())
        return total / len(rows)

    errors = {}
    with progress_bar("choose image features", len(candidates)) as bar:
        for name, features in candidates.items():
            errors[name] = error(features)
            bar.advance()
    chosen = min(errors, key=errors.__getitem__)
    logger.info("image features: %s, of %d candidates", chosen, len(errors))
    return Choice(chosen, errors)


def _folds(rows: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for fold in range(FOLDS):
        out = np.arange(len(rows)) % FOLDS == fold
        yield rows[~out], rows[out]
