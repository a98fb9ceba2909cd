"""A generator judged in short, by the synthetic pairs that are there: nothing is drawn.

For studies, which have a pool of pairs for each split. The full evaluation, with the controls that
need patches of their own, is :func:`c2lst.workflow.generator.evaluate_generator`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from c2lst.errors import InputError
from c2lst.evaluation.conditioning import partners

if TYPE_CHECKING:
    from c2lst.data.preprocessing import Preprocessing
    from c2lst.data.section import Section
    from c2lst.data.split import SpotSplit
    from c2lst.data.synthetic import SyntheticPairs

MOST = 2000
"""Spots of either side that are looked at."""


def judge_pairs(
    pairs: SyntheticPairs,
    section: Section,
    split: SpotSplit,
    preprocessing: Preprocessing,
    *,
    encoder: str = "auto",
    cache: Path | None = None,
    seed: int = 0,
) -> dict[str, float | str]:
    """Judge an adapter by its synthetic pairs, one of each training spot.

    Parameters
    ----------
    pairs
        Drawn for the training spots' own profiles (policy ``real``, or ``jitter``).
    section, split, preprocessing
        Those of the adapter. Test spots are what patches are compared with.
    encoder, cache
        Whose features are compared, and where they are kept
        (:func:`c2lst.evaluation.encoders.get_encoder`).
    seed
        Of resamplings and of which spots are shuffled.

    Returns
    -------
    dict
        ``kernel_distance``, ``precision``, ``coverage`` and ``nuclei_per_mm2`` with the same of
        real training patches as ``…_real``; ``likeness``, the cosine with the real patch of its own
        spot, ``likeness_shuffled`` with another training spot's, and their difference
        ``likeness_margin`` with ``…_low`` and ``…_high``; ``spots`` and ``encoder``.

    Raises
    ------
    InputError
        If there are fewer than two training spots with pairs, or no test spots.
    """
    from c2lst.evaluation.cells import WatershedFinder, find_nuclei
    from c2lst.evaluation.distribution import (
        cosines,
        kernel_distance,
        mean_estimate,
        neighbourhood,
    )
    from c2lst.evaluation.encoders import get_encoder

    spots, rows = _one_each(pairs, split.training(section).barcodes, seed)
    unseen = split.part(section, "test")
    training = section.subset(spots)
    unseen = unseen.subset(unseen.barcodes[_some(len(unseen), seed)])
    images = {
        "synthetic": np.asarray(pairs.images[rows]),
        "real": preprocessing.images(training),
        "held_out": preprocessing.images(unseen),
    }
    network = get_encoder(encoder, cache=cache or "auto")
    features = {key: network.encode(each) for key, each in images.items()}
    finder = WatershedFinder.fit(images["held_out"], preprocessing.patch_um, preprocessing.stain)
    found: dict[str, float | str] = {"spots": float(len(spots)), "encoder": network.label}
    for key, ending in (("synthetic", ""), ("real", "_real")):
        kernel = kernel_distance(features[key], features["held_out"], seed=seed)
        near = neighbourhood(features["held_out"], features[key], seed=seed)
        nuclei = find_nuclei(finder, images[key], preprocessing.patch_um)
        found |= {
            f"kernel_distance{ending}": kernel.value,
            f"precision{ending}": float(near.precision.mean()),
            f"coverage{ending}": float(near.coverage.mean()),
            f"nuclei_per_mm2{ending}": float(nuclei.per_patch()["nuclei_per_mm2"].mean()),
        }
    own = cosines(features["synthetic"], features["real"])
    other = cosines(features["synthetic"], features["real"][partners(len(spots), seed)])
    margin = mean_estimate(own - other, seed=seed)
    return found | {
        "likeness": float(own.mean()),
        "likeness_shuffled": float(other.mean()),
        "likeness_margin": margin.value,
        "likeness_margin_low": margin.low,
        "likeness_margin_high": margin.high,
    }


def _one_each(
    pairs: SyntheticPairs, training: np.ndarray, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Barcodes of training spots that have a pair, at most `MOST`, and the first pair of each."""
    there, first = np.unique(pairs.source_barcodes, return_index=True)
    known = np.isin(there, training)
    there, first = there[known], first[known]
    if len(there) < 2:
        raise InputError(
            "synthetic pairs", "too few are of single training spots", found=len(there),
            expected="at least 2", remedy="draw them with --policy real",
        )  # fmt: skip
    some = _some(len(there), seed)
    return there[some], first[some]


def _some(count: int, seed: int) -> np.ndarray:
    """Return at most `MOST` rows, in order."""
    return np.sort(np.random.default_rng((seed, 31)).permutation(count)[:MOST])
