"""What a run has found, in digits: key figures, all methods, whether the intervals hold."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from c2lst.evaluation.expression import DEFAULT_METHOD, TWIN
from c2lst.evaluation.expression.names import NO_NETWORK
from c2lst.report.artefacts import RunArtefacts
from c2lst.report.marks import Axis, Mark, ends_of
from c2lst.report.scores import Coverage, Estimate, MethodScore
from c2lst.report.wording import method_name, method_order, number, percent, span


@dataclass(frozen=True)
class Card:
    """A key figure."""

    label: str
    value: str
    note: str


@dataclass(frozen=True)
class MethodRow:
    """A method in the chart and in the table."""

    label: str
    sees: str
    highlighted: bool
    mae: Mark
    pearson: Mark
    mae_interval: str
    mae_value: str
    pearson_value: str
    pearson_interval: str
    skill_value: str
    skill_interval: str
    explained_value: str
    explained_interval: str
    rmse: str


@dataclass(frozen=True)
class MethodTable:
    """All methods with the axes of the chart; ``floor`` is the noise floor in digits, or empty."""

    rows: tuple[MethodRow, ...]
    mae_axis: Axis
    pearson_axis: Axis
    floor: str


@dataclass(frozen=True)
class CoverageRow:
    """How well intervals hold in one group of spots."""

    label: str
    spots: str
    distance: str
    share: str
    interval: str
    width: str


def cards(artefacts: RunArtefacts) -> list[Card]:
    """Key figures of the first screen."""
    role = artefacts.role
    total, test = len(role), int((role == "test").sum())
    checked = f"{test:,} held out to check" if test else "every spot was sequenced"
    sequenced = int(np.isin(role, ("train", "val")).sum())
    ours = artefacts.ours
    found = [
        Card("Spots sequenced", f"{sequenced:,}", f"{percent(sequenced / total)} of {total:,}"),
        _predicted(artefacts, total - sequenced, checked),
        Card("Genes", f"{len(artefacts.genes):,}", "predicted at every spot"),
        Card("Mean error (MAE)", number(ours.mae.value), _interval(ours.mae)),
        Card("Skill", percent(ours.skill.value, 1), _interval(ours.skill, scale=100, digits=1)),
        *_explained(ours),
        Card("Pearson", number(ours.pearson.value), _interval(ours.pearson)),
    ]
    covered = coverage(artefacts)
    # Spots that calibrated the intervals are no check of them.
    if covered is not None and not artefacts.left_out:
        found.append(Card("Coverage", percent(covered), "of values lie in their 90 % interval"))
    return found


def _predicted(artefacts: RunArtefacts, spots: int, checked: str) -> Card:
    """Tell how much was predicted: spots, or where none was left, places between them."""
    if spots or artefacts.between is None:
        return Card("Spots predicted", f"{spots:,}", checked)
    return Card("Places predicted", f"{artefacts.between.n_obs:,}", f"between spots; {checked}")


def _explained(ours: MethodScore) -> list[Card]:
    """Tell the share of what can be explained at all; the rest is the noise of counting."""
    share = ours.explained
    if not math.isfinite(share.value):
        return []
    detail = f"of what noise leaves; {_interval(share, scale=100, digits=1)}"
    return [Card("Explained share", percent(share.value, 1), detail)]


def _interval(estimate: Estimate, scale: float = 1, digits: int = 3) -> str:
    unit = "%" if scale == 100 else ""
    text = span(scale * estimate.low, scale * estimate.high, digits, unit=unit)
    return f"95 % interval {text}" if text else "no interval given"


def coverage(artefacts: RunArtefacts) -> float | None:
    """Share of scored values inside their 90 % interval; None where there are none."""
    parts = [artefacts.layer(name) for name in ("observed", "lower", "upper")]
    if any(part is None for part in parts):
        return None
    judged = artefacts.judged
    observed, lower, upper = (part[judged] for part in parts if part is not None)
    known = np.isfinite(observed) & np.isfinite(lower) & np.isfinite(upper)
    if not known.any():
        return None
    return float(np.mean((lower <= observed)[known] & (observed <= upper)[known]))


def method_table(artefacts: RunArtefacts) -> MethodTable:
    """Every method with its numbers, and where its dots stand."""
    scores = sorted(artefacts.scores, key=lambda row: method_order(row.method))
    ours = artefacts.ours
    floor = Estimate(ours.floor)
    mae_ends = ends_of([*(row.mae for row in scores), floor])
    pearson_ends = ends_of([row.pearson for row in scores])
    rows = tuple(
        MethodRow(
            label=method_name(row.method).label,
            sees=_sees(row.method, artefacts),
            highlighted=row.method == DEFAULT_METHOD,
            mae=Mark.of(row.mae, mae_ends),
            pearson=Mark.of(row.pearson, pearson_ends),
            mae_value=number(row.mae.value),
            mae_interval=span(row.mae.low, row.mae.high),
            pearson_value=number(row.pearson.value),
            pearson_interval=span(row.pearson.low, row.pearson.high),
            skill_value=percent(row.skill.value, 1),
            skill_interval=span(100 * row.skill.low, 100 * row.skill.high, 1, unit="%"),
            explained_value=percent(row.explained.value, 1),
            explained_interval=span(100 * row.explained.low, 100 * row.explained.high, 1, unit="%"),
            rmse=number(row.rmse),
        )
        for row in scores
    )
    known = math.isfinite(floor.value)
    return MethodTable(
        rows,
        Axis.of(mae_ends, ours.mae, floor.value),
        Axis.of(pearson_ends, ours.pearson),
        number(floor.value) if known else "",
    )


_GROUPS = {"all": "All", "near": "Near", "middle": "Between", "far": "Far"}


def coverage_rows(artefacts: RunArtefacts) -> list[CoverageRow]:
    """How well the intervals hold, in all and by the distance to the nearest sequenced spot.

    Empty where no spot was held out: the spots that were left out in turn calibrated the intervals.
    """
    if artefacts.left_out:
        return []
    return [
        CoverageRow(
            label=_GROUPS.get(row.group, row.group),
            spots=f"{row.spots:,}",
            distance=_distance(row),
            share=percent(row.share.value, 1),
            interval=span(100 * row.share.low, 100 * row.share.high, 1, unit="%"),
            width=number(row.width, 2),
        )
        for row in artefacts.coverage
    ]


def _distance(row: Coverage) -> str:
    if not math.isfinite(row.nearest):
        return "–"
    if row.nearest == row.farthest:
        return number(row.nearest, 1)
    return span(row.nearest, row.farthest, 1)


def _sees(method: str, artefacts: RunArtefacts) -> str:
    seen = method_name(method).sees
    if seen is None:
        return "–"
    advice = artefacts.advice
    # Advice may have chosen a predictor that learns from none.
    unused = method == DEFAULT_METHOD and advice and advice.chosen in (NO_NETWORK, TWIN)
    if artefacts.synthetic is None or unused:
        seen = tuple(item for item in seen if item != "synthetic")
    return " + ".join(seen) or "sampled values only"
