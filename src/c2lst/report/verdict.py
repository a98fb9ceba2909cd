"""What the numbers of a run say, in sentences that hold whichever way they fall."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Literal

from c2lst.evaluation.expression import DEFAULT_METHOD, NETWORK, NETWORK_TWIN, TWIN
from c2lst.evaluation.expression.names import COTRAINED
from c2lst.report.artefacts import RunArtefacts
from c2lst.report.scores import MethodScore
from c2lst.report.wording import (
    BASELINES,
    EXPRESSION_UNIT,
    TRAINED_BASELINES,
    method_name,
    number,
    percent,
    span,
)

Outcome = Literal["better", "tied", "worse", "unknown"]
SMALL_MARGIN = 0.02
"""A relative gain below this is called small; a choice of ours."""


@dataclass(frozen=True)
class Contrast:
    """MAE of one method minus MAE of another; negative means that the first is better.

    Parameters
    ----------
    difference, low, high
        Difference in MAE and its 95 % interval (NaN where the run has no paired comparison).
    outcome
        What the interval allows to say.
    paired
        True where a paired bootstrap judged, False where two separate intervals were compared.
    """

    difference: float
    low: float
    high: float
    outcome: Outcome
    paired: bool

    @property
    def text(self) -> str:
        """The difference in words, with its interval where there is one."""
        interval = span(self.low, self.high, signed=True)
        inner = f", 95 % interval {interval}" if interval else ""
        return f"difference {number(self.difference, signed=True)}{inner}"


@dataclass(frozen=True)
class Verdict:
    """The first screen's sentences.

    Parameters
    ----------
    outcome
        Better, tied, worse or unknown against the best baseline.
    headline
        One sentence: did it work on this slide?
    detail, synthetic
        The numbers behind it, and what synthetic pairs added.
    basis
        How the outcome was judged.
    """

    outcome: Outcome
    headline: str
    detail: str
    synthetic: str
    basis: str


def contrast(artefacts: RunArtefacts, method: str, against: str) -> Contrast | None:
    """Compare two methods; None where the run lacks one of them.

    A paired difference of ``comparisons.csv`` decides where there is one. Without it, the two
    95 % intervals are compared, and methods whose intervals overlap count as tied: a cautious rule.
    """
    first, second = artefacts.score(method), artefacts.score(against)
    if first is None or second is None:
        return None
    for row in artefacts.comparisons:
        if (row.method, row.against) == (method, against):
            d = row.difference
            return Contrast(d.value, d.low, d.high, _side(d.high, 0.0, d.low, 0.0), True)
        if (row.method, row.against) == (against, method):
            d = row.difference
            return Contrast(-d.value, -d.high, -d.low, _side(-d.low, 0.0, -d.high, 0.0), True)
    a, b = first.mae, second.mae
    outcome = _side(a.high, b.low, a.low, b.high)
    return Contrast(a.value - b.value, math.nan, math.nan, outcome, False)


def _side(upper: float, below: float, lower: float, above: float) -> Outcome:
    """Better if ``upper < below``, worse if ``lower > above``, tied between, unknown on NaN."""
    if any(math.isnan(value) for value in (upper, below, lower, above)):
        return "unknown"
    if upper < below:
        return "better"
    return "worse" if lower > above else "tied"


def best_baseline(artefacts: RunArtefacts) -> MethodScore | None:
    """Return the baseline of lowest MAE on the held-out spots; None where none is scored.

    Choosing it on the test spots favours the baseline, never the predictor.
    """
    found = [
        row for row in artefacts.scores if row.method in BASELINES and math.isfinite(row.mae.value)
    ]
    return min(found, key=lambda row: row.mae.value, default=None)


def judge(artefacts: RunArtefacts) -> Verdict:
    """Say whether the default predictor worked on this slide."""
    ours = artefacts.ours
    baseline = best_baseline(artefacts)
    synthetic = synthetic_sentence(artefacts)
    if baseline is None or not math.isfinite(ours.mae.value):
        return Verdict(
            "unknown",
            "Not known: this run has no held-out spots with counts, or no baseline, to judge by.",
            "The maps below are predictions without a check.",
            synthetic,
            "",
        )
    result = contrast(artefacts, DEFAULT_METHOD, baseline.method)
    assert result is not None
    return Verdict(
        result.outcome,
        _headline(result, ours, baseline, artefacts.judged_as),
        f"{_detail(ours, baseline, result)} {_skill(ours)}",
        synthetic,
        _basis(result, artefacts.judged_as),
    )


def _in_sentence(method: str) -> str:
    label = method_name(method).label
    own_name = label.startswith("c2lst") or any(c.isupper() for c in label.split()[0][1:])
    return label if own_name else label[0].lower() + label[1:]


def _headline(result: Contrast, ours: MethodScore, baseline: MethodScore, judged: str) -> str:
    name = _in_sentence(baseline.method)
    simple = "" if baseline.method in TRAINED_BASELINES else "simple "
    best = f"the best {simple}baseline ({name})"
    gain = -result.difference / baseline.mae.value if baseline.mae.value else math.nan
    spots = f"on {ours.spots:,} {judged}"
    if result.outcome == "better":
        opening = "Yes" if gain >= SMALL_MARGIN else "Yes, by a small margin"
        return f"{opening}: c2lst errs {percent(gain, 1)} less than {best} {spots}."
    if result.outcome == "worse":
        return f"No: {best} does better than c2lst, which errs {percent(-gain, 1)} more {spots}."
    if result.outcome == "tied":
        return f"Not shown: c2lst ties with {best} {spots}."
    return f"Not known: this run states no interval to compare c2lst with {name} by."


def _detail(ours: MethodScore, baseline: MethodScore, result: Contrast) -> str:
    interval = span(ours.mae.low, ours.mae.high)
    inner = f" (95 % interval {interval})" if interval else ""
    return (
        f"Mean absolute error {number(ours.mae.value)}{inner} against "
        f"{number(baseline.mae.value)}, in {EXPRESSION_UNIT}, over {ours.genes:,} genes; "
        f"{result.text}."
    )


def _skill(ours: MethodScore) -> str:
    skill = ours.skill
    if not math.isfinite(skill.value):
        return ""
    interval = span(100 * skill.low, 100 * skill.high, 1, unit="%")
    inner = f" (95 % interval {interval})" if interval else ""
    meaning = "removed" if skill.value >= 0 else "removed (below zero: added)"
    return (
        f"Skill {percent(skill.value, 1)}{inner}: the share of error {meaning}, compared with "
        "giving every spot each gene's median."
    )


def _basis(result: Contrast, judged: str) -> str:
    if result.paired:
        return f"Judged by a paired bootstrap over spatial blocks of the {judged}."
    return (
        "Judged by whether the two 95 % intervals overlap, which is cautious: a small true "
        "difference may be called a tie."
    )


_EFFECT = {
    "better": "helped",
    "tied": "made no clear difference to",
    "worse": "harmed",
    "unknown": "had an effect that this run cannot judge on",
}


def synthetic_sentence(artefacts: RunArtefacts) -> str:
    """Say what synthetic pairs added against the step-matched twin, whichever way it fell."""
    network = contrast(artefacts, NETWORK, NETWORK_TWIN)
    # Advice may have chosen another predictor than the one with synthetic pairs.
    paired = COTRAINED if artefacts.score(COTRAINED) else DEFAULT_METHOD
    full = contrast(artefacts, paired, TWIN)
    if network is None and full is None:
        if artefacts.synthetic is None:
            return "None were used in this run."
        return (
            "What they added is not known: this run has no twin trained on real spots only for "
            "the same number of steps."
        )
    found = []
    if network is not None:
        found.append((network.outcome, f"the image network ({_pair(artefacts, network)})"))
    if full is not None:
        found.append((full.outcome, f"the full predictor ({full.text})"))
    said = f"{_EFFECT[found[0][0]]} {found[0][1]}"
    for before, (outcome, whom) in itertools.pairwise(found):
        if outcome != before[0]:
            said += f", and {_EFFECT[outcome]} {whom}"
        else:
            said += f" {'or to' if outcome == 'tied' else 'and'} {whom}"
    return (
        f"They {said}, measured against a twin trained on real spots only for the same number of "
        "steps."
    )


def _pair(artefacts: RunArtefacts, result: Contrast) -> str:
    with_pairs, without = artefacts.score(NETWORK), artefacts.score(NETWORK_TWIN)
    assert with_pairs is not None and without is not None
    return (
        f"error {number(with_pairs.mae.value)} with, {number(without.mae.value)} without; "
        f"{result.text}"
    )


def central_sentence(artefacts: RunArtefacts) -> str:
    """Say where the central model came from, in the run's own words.

    Taken from ``stages.central.summary`` (key ``origin``, else ``source``), else from the first of
    ``notes`` that speaks of the central model.
    """
    summary = artefacts.stage("central").get("summary")
    if isinstance(summary, dict):
        for key in ("origin", "source"):
            if summary.get(key):
                text = str(summary[key]).strip()
                return text if text.endswith(".") else f"{text[:1].upper()}{text[1:]}."
    for note in artefacts.manifest.get("notes") or ():
        if "central model" in str(note).lower():
            return str(note)
    return "The run does not say where it came from."
