"""What each arm of a study trains its networks on: pairs, and settings of the predictor."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from c2lst.study.grid import Arm, StudySettings

if TYPE_CHECKING:
    from c2lst.data.preprocessing import Preprocessing
    from c2lst.data.section import Section
    from c2lst.data.split import SpotSplit
    from c2lst.data.synthetic import SyntheticPairs
    from c2lst.prediction.options import PredictorSettings
    from c2lst.study.shared import SplitDirectory


@dataclass(frozen=True)
class Material:
    """What pairs are made of: a split with its folder, and the seed of its run."""

    section: Section
    split: SpotSplit
    preprocessing: Preprocessing
    directory: SplitDirectory
    seed: int

    def pool(self, ratio: int, name: str = "synthetic") -> SyntheticPairs:
        """Load ``ratio`` pairs a spot of the synthetic pool, or of another set of the folder."""
        from c2lst.data.synthetic import SyntheticPairs

        whole = SyntheticPairs.load(self.directory.path(name))
        return first_of_each(whole, ratio, len(self.split.train))

    def real(self) -> SyntheticPairs:
        """Return the training spots as pairs."""
        from c2lst.prediction.controls import real_pairs

        return real_pairs(self.section, self.split, self.preprocessing)


_REAL = ("same-epochs", "duplicated", "augmented", "mixup")


def needs_pool(arm: Arm) -> bool:
    """Whether an arm needs an adapter and synthetic pairs, or is made of real ones."""
    return arm.ratio > 0 and arm.name not in _REAL


def first_of_each(pairs: SyntheticPairs, ratio: int, spots: int) -> SyntheticPairs:
    """Take the first ``ratio`` pairs of each spot out of a pool that is sorted by spot.

    So a smaller ratio has a part of what a larger one has, and every spot has equally many.
    """
    each = len(pairs) // spots
    return pairs.subset(np.flatnonzero(np.arange(len(pairs)) % each < ratio))


def pairs_for(arm: Arm, material: Material) -> SyntheticPairs | None:
    """Return the pairs that an arm adds to the real ones; None for none."""
    if not arm.ratio:
        return None
    if arm.name in _CONTROL_PAIRS:
        return _CONTROL_PAIRS[arm.name](material, arm.ratio)
    return material.pool(arm.ratio)


def settings_for(arm: Arm, grid: StudySettings, settings: PredictorSettings) -> PredictorSettings:
    """Return how an arm's predictor is fitted: every network takes the same optimiser steps."""
    if not arm.network:
        return _without_network(settings)
    # An arm's own pool is as large as its name says, whatever ratio a run would take.
    settings = replace(settings, network=arm.network, synthetic_ratio=None)
    if arm.name == "same-epochs":
        # As many passes over n real pairs as the largest ratio makes over n (1 + ratio).
        return replace(settings, steps=max(1, round(settings.steps / (1 + grid.largest))))
    if arm.name == "synthetic-only":
        return replace(settings, synthetic_share=1.0, curriculum="constant")
    if grid.union:
        union = arm.ratio / (1 + arm.ratio)
        return replace(settings, synthetic_share=union, curriculum="constant")
    return settings


def _without_network(settings: PredictorSettings) -> PredictorSettings:
    """Leave all that shapes networks at its default: a change there changes nothing here."""
    from c2lst.prediction.cotraining import CotrainingSettings
    from c2lst.prediction.options import NETWORKLESS

    unused: dict[str, Any] = {f.name: f.default for f in fields(CotrainingSettings)}
    return replace(settings, **unused | {"network": NETWORKLESS, "seed": settings.seed})


def _duplicated(material: Material, copies: int) -> SyntheticPairs:
    from c2lst.prediction.controls import duplicated

    return duplicated(material.real(), copies)


def _augmented(material: Material, copies: int) -> SyntheticPairs:
    from c2lst.prediction.controls import strongly_augmented

    stain = material.preprocessing.stain
    return strongly_augmented(material.real(), copies, stain, seed=material.seed)


def _mixup(material: Material, copies: int) -> SyntheticPairs:
    from c2lst.prediction.controls import neighbour_mixup

    centres = material.split.training(material.section).centres_um
    return neighbour_mixup(material.real(), centres, copies, seed=material.seed)


def _shuffled(material: Material, copies: int) -> SyntheticPairs:
    from c2lst.prediction.controls import shuffled_genes

    return shuffled_genes(material.pool(copies), seed=material.seed)


_CONTROL_PAIRS: Mapping[str, Callable[[Material, int], SyntheticPairs]] = {
    "duplicated": _duplicated,
    "augmented": _augmented,
    "mixup": _mixup,
    "shuffled": _shuffled,
    "unconditional": lambda material, copies: material.pool(copies, "unconditional"),
}
