"""The tables of a study's page, as text: each number with its interval."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from c2lst.evaluation.expression import DEFAULT_METHOD
from c2lst.report.wording import number, percent, span
from c2lst.study.comparisons import against_twin
from c2lst.study.contenders import NETWORK, Contender, competing, largest_arm
from c2lst.study.grid import BASELINE, TWIN, arm_title
from c2lst.study.paper import relative_drops
from c2lst.study.regimes import Regime, Standing

if TYPE_CHECKING:
    from pandas import DataFrame, Series

Cell = tuple[str, str]
"""A number of a table, and its interval."""

NOTHING: Cell = ("–", "")
_PLACE = ["section", "scheme", "fraction"]


def ratio_tables(means: DataFrame, comparisons: DataFrame) -> list[dict[str, Any]]:
    """Return the paper's Table 2 for each network, alone and as a part of c2lst."""
    tables = []
    for network in dict.fromkeys(means.loc[means["network"] != "", "network"]):
        for method, name in (
            (NETWORK, f"{network} alone, as in the paper"),
            (DEFAULT_METHOD, f"c2lst (image + place + {network})"),
        ):
            of_method = (means["network"] == network) & (means["method"] == method)
            tables.append({"name": name, **_ratio_table(means[of_method], comparisons)})
    return [table for table in tables if table["lines"]]


def _ratio_table(rows: DataFrame, comparisons: DataFrame) -> dict[str, Any]:
    shown = rows["arm"].str.startswith("ratio-") | (rows["arm"] == "same-epochs")
    rows = rows[shown].sort_values(["ratio", "arm"])
    arms, top = list(dict.fromkeys(rows["arm"])), largest_arm(rows)
    places: Any = rows.groupby(_PLACE)
    return {
        "arms": [arm_title(arm) for arm in arms],
        "lines": [
            {
                **_place(place),
                "steps": int(here["steps"].max()),
                "errors": [_mae(here, arm) for arm in arms],
                "drop": _drop(here, comparisons, top),
                "paper": _paper(place[2], top),
            }
            for place, here in places
        ],
    }


def _mae(rows: DataFrame, arm: str) -> Cell:
    own = rows[rows["arm"] == arm]
    return cell(own.iloc[0], "mae", 4) if len(own) else NOTHING


def _drop(rows: DataFrame, comparisons: DataFrame, arm: str) -> Cell:
    """Relative drop of an arm's error below its twin's, in per cent."""
    if arm == TWIN or not len(comparisons):
        return NOTHING
    keys = [*_PLACE, "network", "method"]
    found = against_twin(comparisons).merge(rows.loc[rows["arm"] == arm, [*keys, "arm"]])
    if not len(found):
        return NOTHING
    value, low, high = (-100 * float(found.iloc[0][f"relative{e}"]) for e in ("", "_high", "_low"))
    return number(value, 1, signed=True), span(low, high, 1, signed=True)


def _paper(fraction: float, arm: str) -> str:
    drops = relative_drops(fraction, int(arm.removeprefix("ratio-")))
    return "–" if drops is None else span(100 * drops[0], 100 * drops[1], 1, signed=True)


def cell(row: Series, name: str, digits: int = 3, factor: float = 1.0) -> Cell:
    """Write a value of a row, ``factor`` times, with its interval."""
    value, low, high = (factor * float(row[f"{name}{end}"]) for end in ("", "_low", "_high"))
    return number(value, digits), span(low, high, digits)


_SCORES = (
    ("mae", "MAE", 4, 1.0),
    ("skill", "Skill", 3, 1.0),
    ("explained_share", "Explained, %", 0, 100.0),
    ("pearson", "Pearson", 3, 1.0),
    ("coverage", "Coverage of 90 %", 0, 100.0),
)
"""Column, heading, digits and factor of what the table of scores shows."""

SCORE_NAMES = tuple(title for _, title, _, _ in _SCORES)


def score_lines(means: DataFrame) -> Iterator[dict[str, Any]]:
    """Yield the scores of every contender in every place, with the noise floor beside them."""
    rivals = competing(means)
    for key, here in means.groupby(_PLACE):
        rows = [(rival, here[rival.rows(here)]) for rival in rivals]
        rows = [(rival, own.iloc[0]) for rival, own in rows if len(own)]
        if not rows:
            continue
        # Means over fewer seeds are of other splits: the least of them may be of easy ones.
        every = max(int(row["runs"]) for _, row in rows)
        least = min(float(row["mae"]) for _, row in rows if row["runs"] == every)
        yield {
            **_place(key),
            "floor": cell(rows[0][1], "noise_floor"),
            "moran": number(float(rows[0][1]["moran_observed"]), 2),
            "methods": [
                {
                    "title": rival.title,
                    "ours": rival.is_ours,
                    "least": row["runs"] == every and float(row["mae"]) == least,
                    "scores": [cell(row, name, d, f) for name, _, d, f in _SCORES],
                }
                for rival, row in rows
            ],
        }


def standing_table(standings: Sequence[Standing]) -> dict[str, Any]:
    """Return in which places each c2lst is best, tied or behind, against all baselines."""
    methods = sorted({s.method for s in standings}, key=lambda m: m.order)
    places = list(dict.fromkeys((s.section, s.scheme, s.fraction) for s in standings))
    by_key = {(s.section, s.scheme, s.fraction, s.method): s for s in standings}
    return {
        "methods": [
            {"title": method.title, **_tally([s for s in standings if s.method == method])}
            for method in methods
        ],
        "lines": [
            {**_place(place), "verdicts": [_verdict(by_key.get((*place, m))) for m in methods]}
            for place in places
        ],
    }


def _tally(standings: Sequence[Standing]) -> dict[str, str]:
    """Count the verdicts, and the places in which they fell."""
    verdicts = ("best", "tied", "behind", "undecided")
    count = {verdict: sum(s.verdict == verdict for s in standings) for verdict in verdicts}
    if count["undecided"] == len(standings):
        count = {"undecided": len(standings)}
    told = ", ".join(f"{v} in {n}" for v, n in count.items() if n or v != "undecided")
    places = f"{len(standings)} place{'s' if len(standings) != 1 else ''}"
    return {"summary": told, "places": places}


def _verdict(standing: Standing | None) -> dict[str, str]:
    if standing is None:
        return {"verdict": "–", "evidence": ""}
    evidence = "; ".join(
        f"{rival.title} {number(d.value, 4, signed=True)} ({span(d.low, d.high, 4, signed=True)})"
        for rival, d in standing.rivals[:3]
    )
    more = len(standing.rivals) - 3
    return {
        "verdict": standing.verdict,
        "evidence": evidence + (f"; and {more} more" if more > 0 else ""),
    }


def difference_table(comparisons: DataFrame) -> dict[str, Any]:
    """Return the paired differences of every c2lst that competes from every baseline."""
    if not len(comparisons):
        return {"baselines": [], "lines": []}
    ours = competing(comparisons.assign(ratio=_ratios(comparisons)))
    rows = comparisons[comparisons["against_arm"] == BASELINE]
    names = sorted({Contender(BASELINE, "", name) for name in rows["against_method"]})
    lines = [
        {
            **_place(key),
            "method": one.title,
            "differences": [_difference(own, name.method) for name in names],
        }
        for key, here in rows.groupby(_PLACE)
        for one in ours
        if len(own := here[one.rows(here)])
    ]
    return {"baselines": [name.title for name in names], "lines": lines}


def _ratios(comparisons: DataFrame) -> list[int]:
    arms = comparisons["arm"]
    return [int(a.removeprefix("ratio-")) if a.startswith("ratio-") else 0 for a in arms]


def _difference(rows: DataFrame, against: str) -> dict[str, Any]:
    own = rows[rows["against_method"] == against]
    if not len(own):
        return {"value": "–", "interval": "", "sign": 0}
    row = own.iloc[0]
    return {
        "value": number(float(row["difference"]), 4, signed=True),
        "interval": span(float(row["low"]), float(row["high"]), 4, signed=True),
        "sign": int(row["sign"]),
    }


def regime_lines(regimes: Sequence[Regime]) -> list[dict[str, str]]:
    """Return the regimes of all genes and of each third, as text."""
    return [
        {
            **_place((regime.section, regime.scheme, regime.fraction)),
            "genes": regime.genes,
            "moran": number(regime.moran, 2),
            "best": "undecided" if regime.best is None else regime.best.title,
            "tied": _tied(regime),
        }
        for regime in regimes
    ]


def _tied(regime: Regime) -> str:
    if regime.best is None:
        return "–"
    return "; ".join(rival.title for rival in regime.tied) or "none"


def _place(key: Sequence[Any]) -> dict[str, str]:
    section, scheme, fraction = key
    return {"place": f"{section}, {scheme}", "fraction": percent(fraction)}
