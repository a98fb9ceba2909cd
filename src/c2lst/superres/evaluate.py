"""A model on maps of patients it has not seen, beside the baselines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from c2lst.errors import InputError
from c2lst.progress import logger
from c2lst.storage import whole_file, write_json
from c2lst.superres import metrics
from c2lst.superres.baselines import BASELINES
from c2lst.superres.figures import Panel, draw_panels
from c2lst.superres.lowres import LowRes
from c2lst.superres.maps import MapSample, SuperresMaps
from c2lst.superres.model import SuperresModel
from c2lst.superres.prediction import SuperresPrediction
from c2lst.superres.sampling import STEPS, Solver

if TYPE_CHECKING:
    import pandas as pd

OWN = "diffusion"
ONE = "diffusion, one sample"
REGRESSION = "U-Net regression"
SCORES_CSV, SUMMARY_JSON = "scores.csv", "summary.json"


@dataclass(frozen=True, eq=False)
class Answer:
    """What a method says of an area: counts and log1p counts, ``(G, H, W)``."""

    counts: np.ndarray
    logs: np.ndarray

    @classmethod
    def of_counts(cls, counts: np.ndarray) -> Answer:
        """Return an answer in counts alone."""
        return cls(counts, np.log1p(counts))


def evaluate(
    model: SuperresModel,
    maps: SuperresMaps,
    output: str | Path,
    *,
    samples: int = 8,
    solver: Solver = "ancestral",
    steps: int = STEPS,
    seed: int = 0,
    seen: bool = False,
    consistent: bool = True,
) -> pd.DataFrame:
    """Score a model and the baselines on every area of patients it was not trained on.

    Parameters
    ----------
    model
        The model.
    maps
        Maps with its genes, at its scale or finer.
    output
        Folder of ``scores.csv`` (a row a sample and method), ``summary.json`` and figures.
    samples, solver, steps, seed, consistent
        As in :meth:`SuperresModel.predict`.
    seen
        Take patients that it was trained on, too: how well it learnt, not how well it predicts.

    Returns
    -------
    pandas.DataFrame
        Scores by sample and method.

    Raises
    ------
    InputError
        If all patients were trained on, or maps and model do not fit.
    """
    import pandas as pd

    unseen = [patient for patient in maps.patients if seen or patient not in model.patients]
    if not unseen:
        raise InputError(
            "maps", "the model was trained on all of their patients",
            found=", ".join(maps.patients), expected="maps of others",
            remedy="train with --hold-out, or give other maps",
        )  # fmt: skip
    chosen = maps.of(unseen).in_order(model.genes).at_scale(model.settings.scale)
    folder = Path(output)
    rows = []
    for sample in chosen.samples:
        low = LowRes.of_sample(chosen, sample)
        predicted = model.predict(
            low, samples=samples, solver=solver, steps=steps, seed=seed, consistent=consistent
        )
        single = predicted
        if samples > 1:
            single = model.predict(
                low, samples=1, solver=solver, steps=steps, seed=seed, consistent=consistent
            )
        answers = _answers(model, low, predicted, single)
        for method, answer in answers.items():
            row: dict[str, object] = {"sample": sample.name, "patient": sample.patient}
            row["method"] = method
            row.update(score(model, chosen, sample, low, answer))
            if method == OWN and samples > 1:
                row["uncertainty_rank"] = _uncertainty(predicted, sample)
            rows.append(row)
        shown = _panels(sample, answers, predicted)
        draw_panels(folder / f"{sample.name}.png", sample, low, chosen.genes, shown)
        logger.info("%s: scored %d methods", sample.name, len(answers))
    table = pd.DataFrame(rows)
    with whole_file(folder / SCORES_CSV) as partial:
        table.to_csv(partial, index=False)
    means = table.groupby("method", sort=False).mean(numeric_only=True)
    write_json(
        folder / SUMMARY_JSON,
        {"patients": unseen, "seen": seen, "samples": samples, "solver": solver, "steps": steps,
         "bin_um": chosen.bin_um, "scale": chosen.scale,
         "means": {k: _sound(v) for k, v in means.to_dict(orient="index").items()}},
    )  # fmt: skip
    return table


def score(
    model: SuperresModel, maps: SuperresMaps, sample: MapSample, low: LowRes, answer: Answer
) -> dict[str, float]:
    """Score an answer by all measures."""
    found = metrics.honest(
        answer.counts, answer.logs, sample.counts, sample.tissue, low.spots, low.scale, low.sampling
    )
    if sample.expected is not None:
        found |= metrics.against_expected(answer.counts, sample.expected, sample.tissue)
    return found | metrics.as_papers(answer.counts, sample.counts, model.settings.hr_size)


def _answers(
    model: SuperresModel, low: LowRes, predicted: SuperresPrediction, single: SuperresPrediction
) -> dict[str, Answer]:
    answers = {
        name: Answer.of_counts(baseline(low) * low.tissue) for name, baseline in BASELINES.items()
    }
    regressed = model.regress(low)
    if regressed is not None:
        answers[REGRESSION] = Answer.of_counts(regressed)
    answers[OWN] = Answer(predicted.mean, predicted.log_mean)
    if predicted.samples > 1:
        answers[ONE] = Answer(single.mean, single.log_mean)
    return answers


def _uncertainty(predicted: SuperresPrediction, sample: MapSample) -> float:
    error = predicted.log_mean - np.log1p(sample.counts)
    return metrics.uncertainty_rank(predicted.log_sd[:, sample.tissue], error[:, sample.tissue])


def _panels(
    sample: MapSample, answers: dict[str, Answer], predicted: SuperresPrediction
) -> list[Panel]:
    """Choose what stands side by side; the same genes and colours for all."""
    panels = [Panel("measured", np.log1p(sample.counts))]
    if sample.expected is not None:
        panels.append(Panel("expected", np.log1p(sample.expected)))
    panels += [Panel(name, answer.logs) for name, answer in answers.items() if name != "zero"]
    if predicted.samples > 1:
        panels.append(Panel("deviation", predicted.log_sd, own_range=True))
    return panels


def _sound(values: Mapping[Any, Any]) -> dict[str, float | None]:
    return {k: None if np.isnan(v) else round(float(v), 6) for k, v in values.items()}
