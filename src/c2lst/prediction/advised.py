"""Fit the candidates of a slide, take advice inside its training spots, and follow it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from c2lst.evaluation.expression.names import (
    COTRAINED,
    NETWORK,
    NETWORK_TWIN,
    NO_NETWORK,
    TWIN,
)
from c2lst.prediction.advice import Advice, at_ratio, weigh
from c2lst.prediction.calibration import Measured
from c2lst.prediction.layers import left_out_baselines
from c2lst.prediction.options import NETWORKLESS, PredictorSettings
from c2lst.prediction.predictor import ExpressionPredictor

if TYPE_CHECKING:
    from c2lst.data.preprocessing import Preprocessing
    from c2lst.data.section import Section
    from c2lst.data.split import SpotSplit
    from c2lst.data.synthetic import SyntheticPairs
    from c2lst.evaluation.encoders import ImageEncoder

RATIOS = (1, 2, 5)
"""Synthetic pairs for each real one that full advice tries."""


@dataclass(frozen=True, eq=False)
class AdvisedFit:
    """The candidates that were fitted, by name, and the advice between them."""

    candidates: Mapping[str, ExpressionPredictor]
    advice: Advice

    @property
    def chosen(self) -> ExpressionPredictor:
        """The predictor to use."""
        return self.candidates[self.advice.chosen]


def fit_advised(
    section: Section,
    split: SpotSplit,
    preprocessing: Preprocessing,
    *,
    synthetic: SyntheticPairs | None = None,
    features: Mapping[str, np.ndarray] | None = None,
    features_by: str | None = None,
    frozen: np.ndarray | None = None,
    encoder: ImageEncoder | None = None,
    settings: PredictorSettings | None = None,
    directory: Path | None = None,
    full: bool = False,
) -> AdvisedFit:
    """Fit with and without synthetic pairs and networks, and choose inside the training spots.

    Parameters
    ----------
    section, split, preprocessing, synthetic, features, features_by, encoder, settings, directory
        As for :meth:`ExpressionPredictor.fit`.
    frozen
        Image features (n, d) of all spots for the baselines that look at images.
    full
        Whether networks are also trained at other ratios of synthetic to real pairs, in the same
        number of optimiser steps: as much time again for each of ``RATIOS``.
    """
    settings = settings or PredictorSettings()

    def fit(
        name: str, pairs: SyntheticPairs | None, chosen: PredictorSettings
    ) -> ExpressionPredictor:
        return ExpressionPredictor.fit(
            section,
            split,
            preprocessing,
            synthetic=pairs,
            features=features,
            features_by=features_by,
            encoder=encoder,
            settings=chosen,
            directory=None if directory is None else directory / name,
        )

    if settings.network == NETWORKLESS:
        candidates = {NO_NETWORK: fit(NO_NETWORK, None, settings)}
        return AdvisedFit(candidates, advise(section, candidates, NO_NETWORK, frozen))
    candidates = {}
    if synthetic is not None:
        candidates[COTRAINED] = fit(COTRAINED, synthetic, settings)
        for ratio in ratios(synthetic, len(split.train)) if full else ():
            union = replace(settings, synthetic_ratio=ratio, synthetic_share=ratio / (1 + ratio))
            candidates[at_ratio(ratio)] = fit(at_ratio(ratio), synthetic, union)
    # The twin takes as many optimiser steps: more steps must not pass for better data.
    candidates[TWIN] = fit(TWIN, None, settings)
    first = next(iter(candidates.values()))
    candidates[NO_NETWORK] = first.without_network(_measured(first, section))
    # The simplest wins ties: a network has to show on this slide that it is worth having.
    return AdvisedFit(candidates, advise(section, candidates, NO_NETWORK, frozen))


def advise(
    section: Section,
    candidates: Mapping[str, ExpressionPredictor],
    default: str,
    frozen: np.ndarray | None = None,
) -> Advice:
    """Compare fitted predictors, their networks alone and the baselines on the training spots.

    Parameters
    ----------
    section
        The section of the fits; only counts of its training spots are read.
    candidates
        Name to predictor, all of the same split and seed.
    default
        Which one is used unless another is clearly better: the simplest.
    frozen
        Image features (n, d) of all spots, for the baselines that look at images.
    """
    first = candidates[default]
    train, observed = first.home.train, _measured(first, section).expression
    predicted = {
        name: np.maximum(predictor.left_out.mean, 0.0) for name, predictor in candidates.items()
    }
    for alone, name in ((NETWORK, COTRAINED), (NETWORK_TWIN, TWIN)):
        network = candidates[name].network if name in candidates else None
        if network is not None:
            values = first.preprocessing.scaler.unscale(network.out_of_fold)
            predicted[alone] = np.maximum(values, 0.0)
    xy = first.home.centres_um[train]
    looks = None if frozen is None else frozen[train]
    predicted |= left_out_baselines(xy, observed, looks, seed=first.settings.seed)
    return weigh(
        observed, predicted, xy, default=default, choices=candidates, seed=first.settings.seed
    )


def ratios(pairs: SyntheticPairs, spots: int) -> tuple[int, ...]:
    """Ratios that there are pairs for."""
    return tuple(ratio for ratio in RATIOS if ratio * spots <= len(pairs))


def _measured(predictor: ExpressionPredictor, section: Section) -> Measured:
    """Read what was measured of the training spots; no other spot's counts are looked at."""
    barcodes = predictor.home.barcodes[predictor.home.train]
    return Measured.of(section.subset(barcodes), predictor.preprocessing)
