"""What the numbers of a study say, in sentences that are computed from them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from evidence_tables import signed, spread

from c2lst.prediction.baselines import REGISTRY
from c2lst.report.wording import number, percent
from c2lst.study.contenders import Contender, competing
from c2lst.study.grid import ADVISED, BASELINE, NO_NETWORK
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
    means: DataFrame
    standings: Sequence[Standing]


def findings(evidence: Evidence) -> Iterator[tuple[str, list[str]]]:
    """Yield headings with what the numbers say under them."""
    yield "Against the baselines", list(against_baselines(evidence.means, evidence.standings))
    yield "How much there is to predict, and how sure c2lst is", list(_limits(evidence))
    yield "What a lab should do at each budget", list(_budgets(evidence))
    yield "Where it falls short", list(_shortcomings(evidence))


def against_baselines(means: DataFrame, standings: Sequence[Standing]) -> Iterator[str]:
    """Say where each c2lst stands, and how far below the best baseline."""
    methods = sorted({s.method for s in standings}, key=lambda m: m.order)
    for method, tally in zip(methods, standing_table(standings)["methods"], strict=True):
        yield (
            f"{method.title}: {tally['summary']} of {tally['places']} (a section at a fraction). "
            f"{_margins(means, method)}"
        ).rstrip()


def _margins(means: DataFrame, method: Contender) -> str:
    """Say how far a method lies below the baseline of least error, which hindsight chose."""
    told = []
    for fraction, rows in _complete(means).groupby("fraction"):
        margins = []
        for _, here in rows.groupby(_PLACE):
            own, baselines = here[method.rows(here)], here[here["arm"] == BASELINE]
            if len(own) and len(baselines):
                margins.append(100 * (float(own["mae"].iloc[0]) / baselines["mae"].min() - 1))
        if margins:
            told.append(f"{spread(margins)} at {percent(float(fraction))}")
    if not told:
        return ""
    return (
        "Its mean error against that of the best baseline, chosen in hindsight, over the sections: "
        f"{'; '.join(told)}."
    )


def _complete(means: DataFrame) -> DataFrame:
    """Keep what has every seed of its place: means over other seeds are of other splits."""
    return means[means["runs"] == means.groupby(_PLACE)["runs"].transform("max")]


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
        plain = next((rival for rival in error if rival.arm == NO_NETWORK), best)
        alone = [rival for rival in error if rival.method in IMAGELESS]
        line = (
            f"{percent(float(fraction))} of spots ({rows['train_spots'].min():.0f} to "
            f"{rows['train_spots'].max():.0f}): {best.title} errs least on average over the "
            f"sections ({number(error[best], 4)})"
        )
        if plain != best:
            line += f"; {plain.title} {_more(error, plain, best)}"
        if alone and best not in alone:
            near = min(alone, key=lambda rival: error[rival])
            line += f"; {near.title.lower()}, the best without an image, {_more(error, near, best)}"
        yield f"{line}."


def _more(error: Mapping[Contender, float], rival: Contender, best: Contender) -> str:
    more = signed(100 * (error[rival] / error[best] - 1))
    return f"errs {more}" if more.startswith("+") else "errs as much"


def _shortcomings(evidence: Evidence) -> Iterator[str]:
    behind = [s for s in evidence.standings if s.verdict == "behind"]
    if not behind:
        yield "In no place does a baseline err less than c2lst beyond doubt."
    for standing in behind:
        rivals = ", ".join(rival.title for rival, _ in standing.rivals)
        yield f"{_where(standing)}: {standing.method.title} errs more than {rivals}."
    yield from _ties([s for s in evidence.standings if s.verdict == "tied"])
    if not any(s.method.arm == ADVISED for s in evidence.standings):
        yield "Whether advice inside the training spots chooses well is not part of this study."
    if evidence.undone:
        yield f"{evidence.undone} cells of the grid are not done: what they show is not known."
    yield (
        "Not tested here: encoders and cell classifiers whose weights are not openly to be had "
        "(CONCH, HoVer-Net), and a central model of the paper's size (SPIDER)."
    )


def _ties(tied: Sequence[Standing]) -> Iterator[str]:
    """Name the places where a method is tied; the table of standings says with which baselines."""
    for method in sorted({s.method for s in tied}, key=lambda method: method.order):
        by_section: dict[str, list[str]] = {}
        for standing in tied:
            if standing.method == method:
                section = f"{standing.section}, {standing.scheme} spots"
                by_section.setdefault(section, []).append(percent(standing.fraction))
        places = "; ".join(f"{name} ({', '.join(at)})" for name, at in by_section.items())
        yield f"{method.title} cannot be told apart from at least one baseline in {places}."


def _where(standing: Standing) -> str:
    return f"{standing.section}, {standing.scheme}, {percent(standing.fraction)}"


def _between(values: np.ndarray) -> str:
    low, high = number(float(values.min()), 0), number(float(values.max()), 0)
    return f"{low}\u00a0%" if low == high else f"{low} to {high}\u00a0%"
