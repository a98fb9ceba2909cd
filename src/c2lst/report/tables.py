"""The parts of the page made of words and numbers: cards, methods, stages, provenance, limits."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from c2lst.evaluation.expression import DEFAULT_METHOD, TWIN
from c2lst.evaluation.expression.names import NO_NETWORK
from c2lst.report.artefacts import RunArtefacts
from c2lst.report.choices import share_with_neighbour
from c2lst.report.scores import Coverage, Estimate, MethodScore
from c2lst.report.wording import (
    FILES,
    STAGES,
    duration,
    flatten,
    method_name,
    method_order,
    number,
    percent,
    span,
)

_SETTLED = {"done", "skipped", "reused"}


@dataclass(frozen=True)
class Card:
    """A key figure."""

    label: str
    value: str
    note: str


@dataclass(frozen=True)
class Mark:
    """A dot with its interval, as per cent of an axis; ``text`` says the same in digits."""

    centre: float | None
    left: float
    width: float
    text: str


@dataclass(frozen=True)
class Axis:
    """Ticks of a chart as (per cent, label), and where lines stand.

    ``reference`` is that of the default predictor, ``floor`` that of counting noise.
    """

    ticks: tuple[tuple[float, str], ...]
    reference: float | None
    floor: float | None = None


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


@dataclass(frozen=True)
class StageRow:
    """A stage of the run."""

    name: str
    label: str
    status: str
    settled: bool
    time: str
    share: float
    messages: tuple[str, ...]


@dataclass(frozen=True)
class FileRow:
    """A file or folder of the run."""

    path: str
    meaning: str


@dataclass(frozen=True)
class Provenance:
    """How the run was made, as (key, text) pairs."""

    facts: tuple[tuple[str, str], ...]
    settings: tuple[tuple[str, str], ...]
    hashes: tuple[tuple[str, str], ...]
    machine: tuple[tuple[str, str], ...]
    packages: tuple[tuple[str, str], ...]
    command: str


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
    mae_ends = _ends([*(row.mae for row in scores), floor])
    pearson_ends = _ends([row.pearson for row in scores])
    rows = tuple(
        MethodRow(
            label=method_name(row.method).label,
            sees=_sees(row.method, artefacts),
            highlighted=row.method == DEFAULT_METHOD,
            mae=_mark(row.mae, mae_ends),
            pearson=_mark(row.pearson, pearson_ends),
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
        _axis(mae_ends, ours.mae, floor.value),
        _axis(pearson_ends, ours.pearson),
        number(floor.value) if known else "",
    )


_GROUPS = {"all": "All", "near": "Near", "middle": "Between", "far": "Far"}


def coverage_rows(artefacts: RunArtefacts) -> list[CoverageRow]:
    """How well the intervals hold, in all and by the distance to the nearest sequenced spot.

    None where no spot was held out: the spots that were left out in turn calibrated the intervals.
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


def _ends(estimates: list[Estimate]) -> tuple[float, float]:
    values = [x for e in estimates for x in (e.value, e.low, e.high) if math.isfinite(x)]
    if not values:
        return 0.0, 1.0
    low, high = min(values), max(values)
    pad = 0.06 * (high - low) or 0.05
    return low - pad, high + pad


def _position(value: float, ends: tuple[float, float]) -> float:
    return round(100 * (value - ends[0]) / (ends[1] - ends[0]), 2)


def _mark(estimate: Estimate, ends: tuple[float, float]) -> Mark:
    if not math.isfinite(estimate.value):
        return Mark(None, 0, 0, "–")
    low = estimate.low if math.isfinite(estimate.low) else estimate.value
    high = estimate.high if math.isfinite(estimate.high) else estimate.value
    left = _position(low, ends)
    return Mark(
        _position(estimate.value, ends),
        left,
        round(_position(high, ends) - left, 2),
        number(estimate.value),
    )


def _axis(ends: tuple[float, float], ours: Estimate, floor: float = math.nan) -> Axis:
    step = 10.0 ** math.floor(math.log10(ends[1] - ends[0]))
    step = next(s for s in (step / 5, step / 2, step, 2 * step) if (ends[1] - ends[0]) / s <= 5)
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    first = math.ceil(ends[0] / step)
    ticks = tuple(
        (_position(k * step, ends), number(k * step, digits))
        for k in range(first, math.floor(ends[1] / step) + 1)
    )
    lines = (_position(x, ends) if math.isfinite(x) else None for x in (ours.value, floor))
    return Axis(ticks, *lines)


def stage_rows(artefacts: RunArtefacts) -> list[StageRow]:
    """Every stage in order, those unknown to this version last."""
    stages = artefacts.manifest["stages"]
    names = [*(name for name in STAGES if name in stages), *(n for n in stages if n not in STAGES)]
    seconds = {name: _seconds(artefacts.stage(name)) for name in names}
    longest = max((s for s in seconds.values() if math.isfinite(s)), default=0.0)
    return [
        StageRow(
            name=name,
            label=STAGES.get(name, name),
            status=str(artefacts.stage(name).get("status", "unknown")),
            settled=name == "report" or artefacts.stage(name).get("status") in _SETTLED,
            time=duration(seconds[name]),
            share=round(100 * seconds[name] / longest, 1) if seconds[name] > 0 else 0.0,
            messages=_messages(artefacts.stage(name)),
        )
        for name in names
        # The report's own duration is not known while it is being written.
        if name != "report"
    ]


def _seconds(stage: Mapping[str, Any]) -> float:
    value = stage.get("seconds")
    return float(value) if isinstance(value, int | float) else math.nan


def _messages(stage: Mapping[str, Any]) -> tuple[str, ...]:
    summary = stage.get("summary")
    pairs = flatten(summary) if isinstance(summary, dict) else []
    said = stage.get("messages") or stage.get("message") or ()
    lines = [said] if isinstance(said, str) else [str(line) for line in said]
    return (*lines, *(f"{key.replace('_', ' ')}: {text}" for key, text in pairs))


def provenance(artefacts: RunArtefacts) -> Provenance:
    """Version, seeds, settings, hashes, packages and machine, as the manifest has them."""
    manifest, split = artefacts.manifest, artefacts.split
    machine = dict(manifest.get("machine") or {})
    packages = dict(manifest.get("packages") or machine.pop("packages", None) or {})
    facts: dict[str, object] = {
        "c2lst version": manifest.get("c2lst"),
        "created": manifest.get("created"),
        "seed": manifest.get("seed"),
        "split": f"{split.get('scheme', '?')}, seed {split.get('seed', '?')}, "
        f"fraction {split.get('fraction', '?')}",
    }
    hashes = {"section": split.get("section_hash")} | {
        f"stage {name}": artefacts.stage(name).get("fingerprint") for name in manifest["stages"]
    }
    return Provenance(
        facts=tuple((key, str(value)) for key, value in facts.items() if value is not None),
        settings=tuple(
            flatten({**(manifest.get("inputs") or {}), **(manifest.get("settings") or {})})
        ),
        hashes=tuple((key, str(value)) for key, value in hashes.items() if value),
        machine=tuple(flatten(machine)),
        packages=tuple(flatten(packages)),
        command=str(manifest.get("command") or "c2lst run SLIDE -o RUN"),
    )


def file_rows(artefacts: RunArtefacts) -> list[FileRow]:
    """Name the files that this run has, and what each is."""
    return [
        FileRow(path + ("/" if (artefacts.run / path).is_dir() else ""), meaning)
        for path, meaning in FILES.items()
        if path == "report.html" or (artefacts.run / path).exists()
    ]


def limits(artefacts: RunArtefacts) -> list[str]:
    """Say what this page cannot tell, with the numbers of this run where they matter."""
    role = artefacts.role
    near = share_with_neighbour(artefacts.centres, role == "test", role == "train")
    found = [
        f"It speaks of section {artefacts.name} alone. Another section, patient, stain or scanner "
        "can behave differently.",
        "Predicted expression is an estimate from histology, place and a few sampled spots. It is "
        "for research, not for diagnosis, and a surprising map needs measurement.",
        "Only the genes of the panel are predicted. A good mean over genes says little of one "
        "gene: look at its own score, and at the worst ones shown here.",
    ]
    if math.isfinite(near):
        found.append(
            f"{percent(near)} of the held-out spots have a sequenced spot as a direct neighbour. "
            "Scores hold for spots that near; tissue farther from any sampled spot is predicted "
            "less well."
        )
    found.extend(_misses(artefacts))
    found.append(
        "95 % intervals come from resampling spatial blocks of one section under one split. They "
        "do not hold the spread over other splits, seeds or slides."
    )
    return found


def _misses(artefacts: RunArtefacts) -> list[str]:
    """Say whether the intervals are shown to be off, or that nothing here can show it."""
    if artefacts.left_out:
        told = (
            "The 90 % intervals were calibrated on these very spots, each left out in turn, so "
            "that nothing here checks them."
        )
        return [told] if artefacts.layer("lower") is not None else []
    row = next((row for row in artefacts.coverage if row.group == "all"), None)
    if row is None or not (row.share.high < row.level or row.share.low > row.level):
        return []
    word = "narrow" if row.share.high < row.level else "wide"
    interval = span(100 * row.share.low, 100 * row.share.high, 1, unit="%")
    return [
        f"The {percent(row.level)} intervals cover {percent(row.share.value, 1)} of the scored "
        f"values (95 % interval {interval}): they are too {word} on this slide."
    ]


def warnings(artefacts: RunArtefacts) -> list[str]:
    """Say what has to be known before the numbers: how they were got, whether they are current."""
    judged = [
        "Every spot was sequenced and learnt from, so no test spots exist. Each spot is predicted "
        "by a refit that left it out; the local model that drew the synthetic pairs, and choices "
        "of genes and stain, have seen it. Numbers on spots that nothing has seen could be worse."
    ]
    stale = [
        f"The stage “{row.label}” is marked “{row.status}”, so numbers on this page may come from "
        "an earlier run."
        for row in stage_rows(artefacts)
        if not row.settled
    ]
    return (judged if artefacts.left_out else []) + stale
