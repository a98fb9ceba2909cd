"""What synthetic pairs add in a study: tables of the step-matched comparisons."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from evidence_tables import grid, shown, signed, spread

from c2lst.report.wording import number, percent, span
from c2lst.study.comparisons import TELL_NOTHING, against_twin
from c2lst.study.contenders import NETWORK, largest_arm
from c2lst.study.grid import NO_NETWORK, TWIN, arm_title

if TYPE_CHECKING:
    from pandas import DataFrame, Series

_COUNTED = (
    "In how many places (a section at a fraction) the error is shown to be lower or higher, by the "
    "95 % interval over seeds and spatial blocks, and how it changes, over places. Every network "
    "takes the same number of optimiser steps. Real + synthetic against pairs with shuffled genes, "
    "or drawn without genes, is what the gain owes to the genes."
)
_ONE_SEED = " A dash: one seed, which bears nothing out."
_BY_PLACE = (
    "Change of error against real pairs alone at equal steps, with its interval; bold where it "
    "leaves 0 out; without an interval where there is one seed."
)


def pairs_lines(table: DataFrame, comparisons: DataFrame) -> Iterator[str]:
    """Yield the section of the page; nothing where no network has learnt from pairs."""
    top = largest_arm(table)
    if top == TWIN or not len(comparisons):
        return
    yield from ("## What synthetic pairs add, at equal optimiser steps", "")
    rows = list(_compared(comparisons, top))
    yield _COUNTED + (_ONE_SEED if any(row[3] == "–" for row in rows) else "")
    yield ""
    heads = ["error of", "with", "against", "lower", "higher", "not shown", "mean change"]
    yield from grid([*heads, "by place"], rows)
    yield from _by_place(against_twin(comparisons))


def _compared(comparisons: DataFrame, top: str) -> Iterator[list[str]]:
    twins = against_twin(comparisons)
    told = comparisons[(comparisons["arm"] == top) & comparisons["against_arm"].isin(TELL_NOTHING)]
    for (network, method), rows in twins.groupby(["network", "method"], sort=False):
        name = _name(network, method)
        for arm in dict.fromkeys(rows["arm"]):
            yield [name, *_arms(arm, TWIN), *_changes(rows[rows["arm"] == arm])]
        own = told[(told["network"] == network) & (told["method"] == method)]
        for arm in dict.fromkeys(own["against_arm"]):
            yield [name, *_arms(top, arm), *_changes(own[own["against_arm"] == arm])]
    without = comparisons[comparisons["against_arm"] == NO_NETWORK]
    for (network, arm), rows in without.groupby(["network", "arm"], sort=False):
        if arm in (TWIN, top):
            what = [arm_title(arm).lower(), "c2lst without a network"]
            yield [_name(network), *what, *_changes(rows)]


def _name(network: str, method: str = "") -> str:
    return f"{network} alone" if method == NETWORK else f"c2lst + {network}"


def _arms(arm: str, against: str) -> list[str]:
    return [arm_title(arm).lower(), arm_title(against).lower()]


def _changes(rows: DataFrame) -> list[str]:
    """Count the places where an arm errs less or more, and say how much over all of them."""
    judged = rows[rows["seeds"] > 1]
    change = 100 * (judged if len(judged) else rows)["relative"].to_numpy()
    signs = judged["sign"].to_numpy()
    counts = [str(int((signs == sign).sum())) if len(judged) else "–" for sign in (-1, 1, 0)]
    return [*counts, signed(change.mean()), spread(change)]


def _by_place(twins: DataFrame) -> Iterator[str]:
    yield from (_BY_PLACE, "")
    arms = list(dict.fromkeys(twins["arm"]))
    rows = []
    for (section, scheme, fraction, network, method), own in twins.groupby(
        ["section", "scheme", "fraction", "network", "method"], sort=False
    ):
        of_arm = {row["arm"]: _change(row) for _, row in own.iterrows()}
        place = [f"{section}, {scheme}", percent(fraction), _name(network, method)]
        rows.append([*place, *(of_arm.get(arm, "–") for arm in arms)])
    heads = [arm_title(arm) for arm in arms]
    yield from grid(["section", "spots", "error of", *heads], rows)


def _change(row: Series) -> str:
    change, low, high = (100 * row[f"relative{end}"] for end in ("", "_low", "_high"))
    told = f"{number(change, 1, signed=True)}\u00a0%"
    if row["seeds"] < 2:
        return told
    return shown((f"**{told}**" if row["sign"] else told, span(low, high, 1, signed=True)))
