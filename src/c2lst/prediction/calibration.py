"""Fit the process of a section, and calibrate its intervals by refits on parts of its spots."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from c2lst.prediction.checks import PLACE
from c2lst.prediction.crossfit import LeftOut, fold_sets, gaps, left_out
from c2lst.prediction.intervals import Widths
from c2lst.prediction.place import AdditiveGaussianProcess
from c2lst.prediction.result import LEVEL
from c2lst.progress import logger

if TYPE_CHECKING:
    from c2lst.data.preprocessing import Preprocessing
    from c2lst.data.section import Section
    from c2lst.prediction.home import Home
    from c2lst.prediction.options import PredictorSettings

REFIT_SPOTS = 1000
"""Most training spots that are left out by ten refits; beyond, the same folds in closed form, for
which kernels and weights are chosen once: a tenth of so many has no part in them."""


@dataclass(frozen=True, eq=False)
class Measured:
    """What was measured of the training spots: all that a predictor learns of genes.

    Parameters
    ----------
    expression
        (n, G), log1p of normalised counts.
    library_size
        (n,): total counts of each spot.
    """

    expression: np.ndarray
    library_size: np.ndarray

    @classmethod
    def of(cls, training: Section, preprocessing: Preprocessing) -> Measured:
        """Take it from a section that holds the training spots, and nothing else."""
        return cls(preprocessing.lognorm(training), training.library_size)


@dataclass(frozen=True, eq=False)
class FittedProcess:
    """A process, its training spots as predicted without them, and its intervals."""

    process: AdditiveGaussianProcess
    left_out: LeftOut
    widths: Widths


def fit_process(
    home: Home, measured: Measured, views: Sequence[str], settings: PredictorSettings
) -> FittedProcess:
    """Fit expression on place and some views of the section.

    A refit chooses kernels, scale, centre and components anew from its spots. What is kept is free
    of the genes of the spots left out, but for two things: networks that predict the other spots
    out of fold have seen them, and so has the choice between several image features.

    Parameters
    ----------
    home
        The section.
    measured
        Of its training spots.
    views
        Which of ``home.features`` are used beside the place.
    settings
        How to fit.
    """
    observed = measured.expression
    seen = {name: home.features[name][home.train] for name in views}
    seen[PLACE] = home.centres_um[home.train]

    def fit(rows: np.ndarray, folds: np.ndarray | None = None) -> AdditiveGaussianProcess:
        return AdditiveGaussianProcess.fit(
            observed[rows],
            {name: x[rows] for name, x in seen.items()},
            library_size=measured.library_size[rows],
            components=settings.components,
            folds=folds,
            seed=settings.seed,
        )

    def refit(rows: np.ndarray, out: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return fit(rows).predict({name: x[out] for name, x in seen.items()})

    n, targets = len(observed), home.unsampled_um
    sets = fold_sets(seen[PLACE], targets, settings.seed)
    process = fit(np.arange(n), sets[0] if n > REFIT_SPOTS else None)
    shares = ", ".join(f"{name} {share:.0%}" for name, share in process.view_weights.items())
    logger.info("variance shares: %s", shares)
    # A process needs two spots: of two, none can be left out by a refit.
    if 2 < n <= REFIT_SPOTS:
        found = left_out(refit, seen[PLACE], sets)
    else:
        found = LeftOut(
            np.arange(n), gaps(seen[PLACE], sets[0]), process.left_out, process.left_out_sd
        ).joined(left_out(refit, seen[PLACE], sets[1:]) if sets[1:] else None)
    widths = Widths.fit(observed, found, targets, home.pitch_um, LEVEL)
    return FittedProcess(process, found.first(n), widths)
