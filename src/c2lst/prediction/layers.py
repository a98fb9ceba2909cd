"""The baselines beside a prediction, as layers of ``predictions.h5ad``."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from c2lst.prediction.baselines import Baseline, baselines_for
from c2lst.prediction.crossfit import left_out, random_folds

if TYPE_CHECKING:
    from c2lst.data.preprocessing import Preprocessing
    from c2lst.data.section import Section
    from c2lst.data.split import SpotSplit


def baseline_layers(
    section: Section,
    split: SpotSplit,
    preprocessing: Preprocessing,
    features: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """Predict all spots by every baseline: ``baseline_<name>`` to (n, G), float32.

    Unlike a :class:`Prediction`, a training spot is predicted with its own value known; but where
    there is no test spot, and nothing else is left to judge by, each without its fold.

    Parameters
    ----------
    features
        Gene-free image features (n, d) of all spots from a frozen encoder; without them, the
        baselines that look at images are left out.
    """
    train = section.indices_of(split.train)
    observed, xy = preprocessing.lognorm(section), section.centres_um
    seen = None if features is None else features[train]
    predicted = {
        name: baseline(xy[train], observed[train], xy, seen, features)
        for name, baseline in baselines_for(features=features is not None).items()
    }
    if not split.test:
        left = left_out_baselines(xy[train], observed[train], seen, seed=split.seed)
        for name, x in left.items():
            predicted[name][train] = x
    # As of c2lst and of networks: log1p of counts is never below 0.
    return {
        f"baseline_{name}": np.maximum(x, 0).astype(np.float32) for name, x in predicted.items()
    }


def left_out_baselines(
    xy: np.ndarray, observed: np.ndarray, features: np.ndarray | None = None, *, seed: int = 0
) -> dict[str, np.ndarray]:
    """Predict training spots by every baseline fitted without their fold: name to (n, G).

    The folds are those of :attr:`ExpressionPredictor.left_out` for the same seed.

    Parameters
    ----------
    xy, observed, features
        Places (n, 2) in µm, expression (n, G) and image features (n, d) of the training spots.
    seed
        Of the folds.
    """
    folds = [random_folds(len(xy), seed)]

    def refit(
        baseline: Baseline, seen: np.ndarray, out: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        looks = () if features is None else (features[seen], features[out])
        mean = baseline(xy[seen], observed[seen], xy[out], *looks)
        return mean, np.zeros_like(mean)

    return {
        name: np.maximum(left_out(partial(refit, baseline), xy, folds).mean, 0)
        for name, baseline in baselines_for(features=features is not None).items()
    }
