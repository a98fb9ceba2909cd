"""A model on maps of patients it has not seen, beside the baselines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from c2lst.errors import InputError
from c2lst.progress import logger
from c2lst.storage import whole_directory, write_json
from c2lst.superres import metrics
from c2lst.superres.baselines import BASELINES
from c2lst.superres.consistency import project
from c2lst.superres.figures import Panel, draw_panels
from c2lst.superres.lowres import LowRes
from c2lst.superres.maps import MapSample, SuperresMaps
from c2lst.superres.model import SuperresModel, counts_hash
from c2lst.superres.prediction import SuperresPrediction
from c2lst.superres.sampling import STEPS, Solver
from c2lst.superres.uncertainty import Deviations, by_tenths, deviation_scores, poisson_log1p

if TYPE_CHECKING:
    import pandas as pd

OWN = "diffusion"
ONE = "diffusion, one sample"
REGRESSION = "U-Net regression"
KNOWN = "known expectation"
"""What simulated counts were drawn from: as far as a method can get, in error and in deviation."""

SCORES_CSV, WINDOWS_CSV, SUMMARY_JSON = "scores.csv", "windows.csv", "summary.json"


@dataclass(frozen=True, eq=False)
class Answer:
    """What a method says of an area: counts and log1p counts, ``(G, H, W)``, and how surely."""

    counts: np.ndarray
    logs: np.ndarray
    deviations: Deviations | None = None

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
        Folder of ``scores.csv`` (a row a sample and method), ``windows.csv`` (RMSE in log1p counts
        of each window), ``summary.json`` and figures. Earlier scores of these maps are replaced.
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
        If all patients were trained on, an area was under another patient's name, maps and model
        do not fit, or ``output`` holds anything but scores.
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
    if not seen:
        _refuse_trained_on(model, chosen)
    drawn = {"samples": samples, "solver": solver, "steps": steps, "seed": seed,
             "consistent": consistent}  # fmt: skip
    figures = [f"{sample.name}.png" for sample in maps.samples]
    with whole_directory(output, (SUMMARY_JSON, SCORES_CSV, WINDOWS_CSV, *figures)) as folder:
        scored = [_scored(model, chosen, sample, folder, drawn) for sample in chosen.samples]
        table = pd.DataFrame([row for one in scored for row in one.rows])
        table.to_csv(folder / SCORES_CSV, index=False)
        windows = [row for one in scored for row in one.windows]
        pd.DataFrame(windows).to_csv(folder / WINDOWS_CSV, index=False)
        means = table.groupby("method", sort=False).mean(numeric_only=True)
        write_json(
            folder / SUMMARY_JSON,
            {"patients": unseen, "seen": seen, **drawn,
             "bin_um": chosen.bin_um, "scale": chosen.scale,
             "deviation_error_by_tenths": _mean_tenths(scored),
             "means": {k: _sound(v) for k, v in means.to_dict(orient="index").items()}},
        )  # fmt: skip
    return table


def _refuse_trained_on(model: SuperresModel, maps: SuperresMaps) -> None:
    """Know training maps again by their counts, where a patient has another name here."""
    known = set(model.provenance.get("counts", ()))
    for sample in maps.samples:
        if counts_hash(sample) in known:
            raise InputError(
                f"sample {sample.name!r}", "has the counts of an area of the training",
                found=f"patient {sample.patient!r}", expected="areas of others",
                remedy="build the maps with the --patient of the training",
            )  # fmt: skip


@dataclass(frozen=True, eq=False)
class _Scored:
    """Rows of both tables for one area, and deviation beside error by tenths of bins."""

    rows: list[dict[str, object]]
    windows: list[dict[str, object]]
    tenths: list[tuple[float, float]]


def _scored(
    model: SuperresModel, maps: SuperresMaps, sample: MapSample, folder: Path, drawn: dict[str, Any]
) -> _Scored:
    """Score all methods on one area and draw their maps."""
    low = LowRes.of_sample(maps, sample)
    predicted = model.predict(low, **drawn)
    answers = _answers(model, sample, low, predicted)
    rows: list[dict[str, object]] = []
    windows: list[dict[str, object]] = []
    for method, answer in answers.items():
        whose = {"sample": sample.name, "patient": sample.patient, "method": method}
        rows.append({**whose, **score(model, maps, sample, low, answer)})
        errors = metrics.of_windows(
            answer.logs, sample.counts, sample.tissue, model.settings.hr_size
        )
        windows += [{**whose, "window": k, "rmse_log1p": rmse} for k, rmse in enumerate(errors)]
    error = predicted.log_mean - np.log1p(sample.counts)
    tenths = by_tenths(predicted.log_sd[:, sample.tissue], error[:, sample.tissue])
    draw_panels(
        folder / f"{sample.name}.png", sample, low, maps.genes, _panels(sample, answers, predicted)
    )
    logger.info("%s: scored %d methods", sample.name, len(answers))
    return _Scored(rows, windows, tenths if predicted.samples > 1 else [])


def _mean_tenths(scored: list[_Scored]) -> list[list[float]]:
    found = [one.tenths for one in scored if one.tenths]
    if not found:
        return []
    return [[round(float(value), 4) for value in pair] for pair in np.asarray(found).mean(axis=0)]


def score(
    model: SuperresModel, maps: SuperresMaps, sample: MapSample, low: LowRes, answer: Answer
) -> dict[str, float]:
    """Score an answer by all measures."""
    found = metrics.honest(
        answer.counts, answer.logs, sample.counts, sample.tissue, low.spots, low.scale, low.sampling
    )
    if sample.expected is not None:
        found |= metrics.against_expected(answer.counts, sample.expected, sample.tissue)
    if answer.deviations is not None:
        known = answer.counts is sample.expected
        found |= deviation_scores(
            answer.counts, answer.logs, answer.deviations, sample.counts, sample.tissue,
            None if known else sample.expected,
        )  # fmt: skip
    return found | metrics.as_papers(answer.counts, sample.counts, model.settings.hr_size)


def _answers(
    model: SuperresModel, sample: MapSample, low: LowRes, predicted: SuperresPrediction
) -> dict[str, Answer]:
    answers = {
        name: Answer.of_counts(baseline(low) * low.tissue) for name, baseline in BASELINES.items()
    }
    regressed = model.regress(low)
    if regressed is not None:
        answers[REGRESSION] = Answer.of_counts(regressed)
        answers[f"{REGRESSION}, consistent"] = Answer.of_counts(
            project(regressed, low.spots, low.tissue, low.scale, low.sampling)
        )
    own = Answer(predicted.mean, predicted.log_mean)
    if predicted.samples > 1:
        answers[ONE] = Answer.of_counts(predicted.first)
        own = replace(own, deviations=Deviations(predicted.sd, predicted.log_sd))
    answers[OWN] = own
    if sample.expected is not None:
        logs, deviation = poisson_log1p(sample.expected)
        known = Deviations(np.sqrt(sample.expected), deviation)
        answers[KNOWN] = Answer(sample.expected, logs, known)
    return answers


def _panels(
    sample: MapSample, answers: dict[str, Answer], predicted: SuperresPrediction
) -> list[Panel]:
    """Choose what stands side by side; the same genes and colours for all.

    Nearest is what the spots look like, and a map brought to the spots looks like the map.
    """
    shown = [
        name
        for name in (KNOWN, "bicubic", "inverse distance", REGRESSION, ONE, OWN)
        if name in answers
    ]
    panels = [Panel("measured", np.log1p(sample.counts))]
    panels += [Panel(name, answers[name].logs) for name in shown]
    if predicted.samples > 1:
        title = f"deviation, {predicted.samples} samples"
        panels.append(Panel(title, predicted.log_sd, own_range=True))
    return panels


def _sound(values: Mapping[Any, Any]) -> dict[str, float | None]:
    return {k: None if np.isnan(v) else round(float(v), 6) for k, v in values.items()}
