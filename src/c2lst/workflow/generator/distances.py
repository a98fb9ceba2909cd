"""How near synthetic patches are to real tissue, each number beside its real-vs-real floor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from c2lst.evaluation.conditioning import ARMS, REAL, SHUFFLED, SYNTHETIC, UNCONDITIONAL, partners
from c2lst.evaluation.distribution import (
    Estimate,
    KernelDistance,
    cosines,
    frechet_distance,
    kernel_distance,
    mean_estimate,
    neighbourhood,
)
from c2lst.workflow.generator.evidence import HELD_OUT, TRAINING, Evidence
from c2lst.workflow.generator.part import Part, named

DISTRIBUTION, LIKENESS = "distribution", "likeness to its spot"
KERNEL, FRECHET, COSINE = "kernel distance", "Fréchet distance", "cosine"
OF_SYNTHETIC, OF_REAL = ("precision", "density"), ("recall", "coverage")

Measured = Mapping[str, Estimate | KernelDistance]


def distribution(evidence: Evidence) -> Part:
    """Compare patches with held-out real ones; ``real`` is other real patches, the floor.

    Fréchet distance and neighbours depend on how many images there are. They are taken with one
    synthetic patch a spot, as many as there are real ones in the floor, and averaged over draws.
    """
    import pandas as pd

    look, features = next(iter(evidence.looks.items()))
    kernel = _kernel(evidence, features)
    rows = [{"name": KERNEL, **_columns(kernel)}, _frechet(evidence, features)]
    found = _neighbours(evidence, features)
    rows += [{"name": name, **_columns(found[name])} for name in found]
    precision, coverage = found["precision"], found["coverage"]
    verdict = (
        f"synthetic patches lie {kernel[SYNTHETIC]} from held-out real ones, without genes "
        f"{kernel[UNCONDITIONAL]}; other real ones {kernel[REAL]}; precision "
        f"{precision[SYNTHETIC].value:.2f} (real {precision[REAL].value:.2f}), coverage "
        f"{coverage[SYNTHETIC].value:.2f} (real {coverage[REAL].value:.2f}), judged by {look}"
    )
    return Part(DISTRIBUTION, look, pd.DataFrame(rows), verdict)


def likeness(evidence: Evidence) -> Part:
    """Compare each patch with the real one of the spot that it stands for (paper §5).

    ``shuffled`` was drawn for another spot's genes; ``real`` is the real patch of another spot.
    """
    import pandas as pd

    look, features = next(iter(evidence.looks.items()))
    centre = features[HELD_OUT].mean(axis=0)
    rows = [
        _cosine(evidence, features, COSINE),
        _cosine(evidence, {k: v - centre for k, v in features.items()}, f"{COSINE}, centred"),
    ]
    first = rows[0]
    verdict = (
        f"a synthetic patch and the real one of its spot have a cosine of "
        f"{first['estimate']:.2f} ± {first['sd']:.2f}; drawn for another spot's genes "
        f"{first[SHUFFLED]:.2f}, a difference of {first['margin']:.3f} ({first['margin_low']:.3f} "
        f"to {first['margin_high']:.3f}); two real patches of different spots {first[REAL]:.2f}, "
        f"judged by {look}"
    )
    return Part(LIKENESS, look, pd.DataFrame(rows), verdict)


def _kernel(evidence: Evidence, features: dict[str, np.ndarray]) -> dict[str, KernelDistance]:
    spots, seed = (evidence.rows.tolist(), None), evidence.seed
    real = features[HELD_OUT]
    found = {arm: kernel_distance(features[arm], real, groups=spots, seed=seed) for arm in ARMS}
    return found | {REAL: kernel_distance(features[TRAINING], real, seed=seed)}


def _frechet(evidence: Evidence, features: dict[str, np.ndarray]) -> dict[str, Any]:
    """One row without intervals, or one that says why there is no value."""
    real = features[HELD_OUT]
    floor = frechet_distance(features[TRAINING], real)
    values = {REAL: floor.value} | {
        arm: np.mean([frechet_distance(features[arm][draw], real).value for draw in evidence.draws])
        for arm in ARMS
    }
    none = float("nan")
    columns = _columns({arm: Estimate(float(value), none, none) for arm, value in values.items()})
    return {"name": FRECHET, **columns, "note": floor.reason}


def _neighbours(
    evidence: Evidence, features: dict[str, np.ndarray]
) -> dict[str, dict[str, Estimate]]:
    """Precision, density, recall and coverage of each arm."""
    real, seed = features[HELD_OUT], evidence.seed
    found: dict[str, dict[str, Estimate]] = {n: {} for n in (*OF_SYNTHETIC, *OF_REAL)}
    spots = np.arange(len(evidence.training))
    for arm in (*ARMS, REAL):
        sets = [features[TRAINING]]
        if arm != REAL:
            sets = [features[arm][draw] for draw in evidence.draws]
        looks = [neighbourhood(real, each, seed=seed) for each in sets]
        for name in OF_SYNTHETIC:
            values = np.concatenate([getattr(each, name) for each in looks])
            found[name][arm] = mean_estimate(values, np.tile(spots, len(sets)), seed=seed)
        for name in OF_REAL:
            values = np.mean([getattr(each, name) for each in looks], axis=0)
            found[name][arm] = mean_estimate(values, seed=seed)
    return found


def _cosine(evidence: Evidence, features: dict[str, np.ndarray], name: str) -> dict[str, Any]:
    rows, seed = evidence.rows, evidence.seed
    own = features[TRAINING]
    found = {arm: cosines(features[arm], own[rows]) for arm in ARMS}
    other = cosines(own, own[partners(len(own), seed)])
    estimates = {arm: mean_estimate(each, rows, seed=seed) for arm, each in found.items()}
    estimates[REAL] = mean_estimate(other, seed=seed)
    margin = mean_estimate(found[SYNTHETIC] - found[SHUFFLED], rows, seed=seed)
    spread = {"sd": found[SYNTHETIC].std()}
    spread |= {f"{arm}_sd": found[arm].std() for arm in (SHUFFLED, UNCONDITIONAL)}
    return {
        "name": name,
        **_columns(estimates),
        **{key: float(value) for key, value in spread.items()},
        f"{REAL}_sd": float(other.std()),
        "margin": margin.value,
        "margin_low": margin.low,
        "margin_high": margin.high,
    }


def _columns(found: Measured) -> dict[str, float]:
    """Columns of the arms in the order of all tables."""
    order = (*ARMS, REAL)
    columns: dict[str, float] = {}
    for arm in order:
        columns |= named(arm, found[arm].value, found[arm].low, found[arm].high)
    return columns
