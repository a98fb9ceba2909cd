"""What the numbers of a study say, in sentences that are computed from them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from c2lst.prediction.baselines import REGISTRY
from c2lst.report.wording import number, percent
from c2lst.study.comparisons import TELL_NOTHING, against_twin, sentences
from c2lst.study.contenders import NETWORK, Contender, competing, largest_arm
from c2lst.study.grid import ADVISED, BASELINE, NO_NETWORK, TWIN, arm_title
from c2lst.study.regimes import Standing
from c2lst.study.tables import standing_table

if TYPE_CHECKING:
    from pandas import DataFrame

IMAGELESS = [name for name, baseline in REGISTRY.items() if "features" not in baseline.needs]
"""Baselines that look at no image."""

_PLACE = ["section", "scheme", "fraction"]


@dataclass(frozen=True)
class Evidence:
    """The tables of a study, and how many of its cells are not done."""

    undone: int
    table: DataFrame
    means: DataFrame
    comparisons: DataFrame
    standings: Sequence[Standing]


def findings(evidence: Evidence) -> Iterator[tuple[str, list[str]]]:
    """Yield headings with what the numbers say under them."""
    yield "Against the baselines", list(_against_baselines(evidence))
    pairs = list(_synthetic_pairs(evidence))
    if pairs:
        yield "What synthetic pairs add, at equal optimiser steps", pairs
    yield "How much there is to predict, and how sure c2lst is", list(_limits(evidence))
    yield "What a lab should do at each budget", list(_budgets(evidence))
    yield "Where it falls short", list(_shortcomings(evidence))


def _against_baselines(evidence: Evidence) -> Iterator[str]:
    methods = sorted({s.method for s in evidence.standings}, key=lambda m: m.order)
    for method, tally in zip(methods, standing_table(evidence.standings)["methods"], strict=True):
        yield (
            f"{method.title}: {tally['summary']} of {tally['places']} (a section at a fraction). "
            f"{_margins(evidence, method)}"
        ).rstrip()


def _margins(evidence: Evidence, method: Contender) -> str:
    """Say how far a method lies below the baseline of least error, which hindsight chose."""
    told = []
    for fraction, rows in _complete(evidence.means).groupby("fraction"):
        margins = []
        for _, here in rows.groupby(_PLACE):
            own, baselines = here[method.rows(here)], here[here["arm"] == BASELINE]
            if len(own) and len(baselines):
                margins.append(100 * (float(own["mae"].iloc[0]) / baselines["mae"].min() - 1))
        if margins:
            told.append(f"{_span(margins)} at {percent(float(fraction))}")
    if not told:
        return ""
    return (
        "Its mean error against that of the best baseline, chosen in hindsight, over the sections: "
        f"{'; '.join(told)}."
    )


def _complete(means: DataFrame) -> DataFrame:
    """Keep what has every seed of its place: means over other seeds are of other splits."""
    return means[means["runs"] == means.groupby(_PLACE)["runs"].transform("max")]


def _synthetic_pairs(evidence: Evidence) -> Iterator[str]:
    top = largest_arm(evidence.table)
    if top == TWIN or not len(evidence.comparisons):
        return
    twins = against_twin(evidence.comparisons)
    for (network, method), rows in twins.groupby(["network", "method"], sort=False):
        name = f"{network} alone" if method == NETWORK else f"c2lst + {network}"
        for arm in dict.fromkeys(rows["arm"]):
            yield _changes(rows[rows["arm"] == arm], f"{name}, {arm_title(arm).lower()}")
    yield from _of_the_pairing(evidence.comparisons, top)
    added = evidence.comparisons[evidence.comparisons["against_arm"] == NO_NETWORK]
    for arm in (TWIN, top):
        rows = added[added["arm"] == arm]
        if len(rows):
            yield _changes(rows, f"c2lst, {arm_title(arm).lower()}", "c2lst without a network")
    for heading, told in sentences(evidence.comparisons, evidence.table):
        yield from (f"{heading}. {line}" for line in told)


def _of_the_pairing(comparisons: DataFrame, top: str) -> Iterator[str]:
    """Compare pairs with those whose images know nothing of their genes."""
    rows = comparisons[(comparisons["arm"] == top) & comparisons["against_arm"].isin(TELL_NOTHING)]
    if len(rows):
        yield "Owed to the genes is what pairs gain beyond pairs whose images say nothing of them:"
    for (network, method, arm), own in rows.groupby(
        ["network", "method", "against_arm"], sort=False
    ):
        name = f"{network} alone" if method == NETWORK else f"c2lst + {network}"
        yield _changes(own, f"{name}, {arm_title(top).lower()}", arm_title(arm).lower())


def _changes(rows: DataFrame, name: str, against: str = "real only, same steps") -> str:
    """Say in how many places an arm errs less or more, and how much on average."""
    judged = rows[rows["seeds"] > 1]
    change = 100 * (judged if len(judged) else rows)["relative"].to_numpy()
    mean = f"mean change {_signed(change.mean())}, by place {_span(change)}"
    if not len(judged):
        return f"{name}, against {against}: {mean}; one seed, which bears nothing out."
    signs = judged["sign"].to_numpy()
    return (
        f"{name}, against {against}: error lower in {int((signs < 0).sum())}, higher in "
        f"{int((signs > 0).sum())}, no difference shown in {int((signs == 0).sum())} of "
        f"{len(judged)} places; {mean}."
    )


def _limits(evidence: Evidence) -> Iterator[str]:
    for method in competing(evidence.means):
        rows = evidence.means[method.rows(evidence.means)]
        if not method.is_ours or not len(rows):
            continue
        explained = 100 * rows["explained_share"].dropna().to_numpy()
        coverage = 100 * rows["coverage"].dropna().to_numpy()
        told = []
        if len(explained):
            told.append(
                "of what lies between the train median and the noise floor it explains "
                f"{_between(explained)}, by place"
            )
        if len(coverage):
            told.append(f"its 90 % intervals hold {_between(coverage)} of held-out values")
        yield f"{method.title}: {'; '.join(told)}."


def _budgets(evidence: Evidence) -> Iterator[str]:
    rivals = competing(evidence.means)
    for fraction, rows in _complete(evidence.means).groupby("fraction"):
        places = rows.groupby(_PLACE).ngroups
        error = {}
        for rival in rivals:
            own = rows[rival.rows(rows)]
            if len(own) == places:
                error[rival] = float(own["mae"].mean())
        if not error:
            continue
        best = min(error, key=lambda rival: error[rival])
        alone = [rival for rival in error if rival.method in IMAGELESS]
        line = (
            f"{percent(float(fraction))} of spots ({rows['train_spots'].min():.0f} to "
            f"{rows['train_spots'].max():.0f}): {best.title} errs least on average over the "
            f"sections ({number(error[best], 4)})"
        )
        if alone and best not in alone:
            near = min(alone, key=lambda rival: error[rival])
            more = 100 * (error[near] / error[best] - 1)
            line += f"; {near.title.lower()}, the best that needs no image, errs {_signed(more)}"
        yield f"{line}."


def _shortcomings(evidence: Evidence) -> Iterator[str]:
    behind = [s for s in evidence.standings if s.verdict == "behind"]
    tied = [s for s in evidence.standings if s.verdict == "tied"]
    if not behind:
        yield "In no place does a baseline err less than c2lst beyond doubt."
    for standing in behind:
        rivals = ", ".join(rival.title for rival, _ in standing.rivals)
        yield f"{_where(standing)}: {standing.method.title} errs more than {rivals}."
    for standing in tied:
        rivals = ", ".join(rival.title for rival, _ in standing.rivals)
        yield f"{_where(standing)}: {standing.method.title} cannot be told apart from {rivals}."
    if not any(s.method.arm == ADVISED for s in evidence.standings):
        yield "Whether advice inside the training spots chooses well is not part of this study."
    if evidence.undone:
        yield f"{evidence.undone} cells of the grid are not done: what they show is not known."
    yield (
        "Not tested here: encoders and cell classifiers whose weights are not openly to be had "
        "(CONCH, HoVer-Net), and a central model of the paper's size (SPIDER)."
    )


def _where(standing: Standing) -> str:
    return f"{standing.section}, {standing.scheme}, {percent(standing.fraction)}"


def _signed(value: float) -> str:
    return f"{number(value, 1, signed=True)}\u00a0%"


def _span(values: Sequence[float] | np.ndarray) -> str:
    low, high = float(np.min(values)), float(np.max(values))
    return _signed(low) if low == high else f"{_signed(low)} to {_signed(high)}"


def _between(values: np.ndarray) -> str:
    low, high = number(float(values.min()), 0), number(float(values.max()), 0)
    return f"{low}\u00a0%" if low == high else f"{low} to {high}\u00a0%"
