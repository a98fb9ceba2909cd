"""What a study compares pair by pair, and what the step-matched comparison says in words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from c2lst.evaluation.expression import DEFAULT_METHOD
from c2lst.study.contenders import NETWORK, Contender, contenders, largest_arm
from c2lst.study.differences import Place, places
from c2lst.study.grid import BASELINE, CONTROLS, NO_NETWORK, TWIN

if TYPE_CHECKING:
    from pandas import DataFrame, Series

TELL_NOTHING = {
    "shuffled": "with shuffled genes",
    "unconditional": "with images drawn without genes",
}
"""Controls whose pairs say nothing of what genes have to do with tissue."""

_SPLIT = ["section", "scheme", "fraction", "seed", "network"]


def with_drop(table: DataFrame) -> DataFrame:
    """Add ``mae_drop``: the share of the step-matched twin's error that an arm removes.

    1 - MAE / MAE of the same method and network, trained on the same split for as many steps, on
    real pairs alone. NaN for what has no such twin.
    """
    twins = table.loc[table["arm"] == TWIN, [*_SPLIT, "method", "mae"]]
    paired = table[[*_SPLIT, "method"]].merge(
        twins.rename(columns={"mae": "of_twin"}), how="left", on=[*_SPLIT, "method"]
    )
    drop = 1 - table["mae"].to_numpy() / paired["of_twin"].to_numpy()
    arms = ~table["arm"].isin([BASELINE, NO_NETWORK]).to_numpy()
    return table.assign(mae_drop=np.where(arms, drop, np.nan))


def compared(blocks: DataFrame) -> DataFrame:
    """Compare pair by pair, in every place of the grid.

    Returns
    -------
    pandas.DataFrame
        ``section``, ``scheme``, ``fraction``; ``arm``, ``network`` and ``method`` of the one, with
        ``against_`` before them of the other; ``difference`` in mean absolute error with its 95 %
        interval ``low`` to ``high`` over seeds and blocks (negative: the one errs less);
        ``relative`` with ``relative_low`` and ``relative_high``, the same as a share of the other's
        error; ``seeds``; ``sign``, 0 where nothing is borne out. c2lst is compared with every
        baseline, an arm with its step-matched twin, the largest ratio with every control, and
        c2lst with its networks with c2lst without.
    """
    import pandas as pd

    found = []
    for (section, scheme, fraction), place in places(blocks).items():
        here = {"section": section, "scheme": scheme, "fraction": fraction}
        for one, other in _pairs(contenders(blocks), place):
            difference = place.difference(one, other)
            if not difference.seeds:
                continue
            names = ("relative", "relative_low", "relative_high")
            ends = dict(zip(names, difference.relative, strict=True))
            against = {f"against_{name}": value for name, value in other._asdict().items()}
            row: dict[str, Any] = {**here, **one._asdict(), **against, **ends}
            found.append(
                row
                | {
                    "difference": difference.value,
                    "low": difference.low,
                    "high": difference.high,
                    "seeds": difference.seeds,
                    "sign": difference.sign,
                }
            )
    return pd.DataFrame(found)


def _pairs(known: list[Contender], place: Place) -> Iterator[tuple[Contender, Contender]]:
    here = [contender for contender in known if contender in place]
    top = max((c for c in here if c.ratio), key=lambda c: c.ratio, default=None)
    for one in here:
        if one.arm == BASELINE:
            continue
        matched = [TWIN] if one.network else []
        if top and one.arm == top.arm:
            matched += CONTROLS
        others = [one._replace(arm=arm) for arm in matched]
        if one.is_ours:
            others += [Contender(NO_NETWORK, "", DEFAULT_METHOD)]
            others += [other for other in here if other.arm == BASELINE]
        for other in others:
            if other != one and other in place:
                yield one, other


def against_twin(comparisons: DataFrame) -> DataFrame:
    """Return the comparisons of arms with their step-matched twins."""
    if not len(comparisons):
        return comparisons
    return comparisons[comparisons["against_arm"] == TWIN]


def sentences(comparisons: DataFrame, table: DataFrame) -> list[tuple[str, list[str]]]:
    """Say for each section and scheme what the step-matched comparison shows.

    The largest ratio is compared, which was chosen before any result.

    Parameters
    ----------
    comparisons
        Of :func:`compared`.
    table
        Of the study, for the ratios.

    Returns
    -------
    list of (heading, sentences)
        A sentence each for c2lst and for its networks alone, of each network.
    """
    arm = largest_arm(table)
    if arm == TWIN or not len(comparisons):
        return []
    twins = against_twin(comparisons)
    told = []
    for (section, scheme), rows in twins.groupby(["section", "scheme"], sort=False):
        lines = [
            _sentence(own, arm, f"c2lst + {network}" if whole else f"{network} alone")
            for network, of_network in rows.groupby("network", sort=False)
            for whole, method in ((True, DEFAULT_METHOD), (False, NETWORK))
            if len(own := of_network[of_network["method"] == method]) and (own["arm"] == arm).any()
        ]
        if lines:
            told.append((f"{section}, {scheme} spots", lines))
    return told


def _sentence(rows: DataFrame, arm: str, name: str) -> str:
    from c2lst.report.wording import percent

    verdicts: dict[str, list[str]] = {}
    for _, row in rows[rows["arm"] == arm].sort_values("fraction").iterrows():
        verdict, evidence = _verdict(row)
        verdicts.setdefault(verdict, []).append(f"{percent(row['fraction'])} ({evidence})")
    said = "; ".join(f"{verdict} at {', '.join(at)}" for verdict, at in verdicts.items())
    ratio = arm.removeprefix("ratio-")
    line = f"At equal steps, {ratio}× synthetic pairs change the error of {name} as follows: {said}"
    return f"{line}. {_controls(rows)}".rstrip()


def _verdict(row: Series) -> tuple[str, str]:
    from c2lst.report.wording import number, span

    change, low, high = (100 * row[f"relative{end}"] for end in ("", "_low", "_high"))
    told = f"{number(change, 1, signed=True)}\u00a0%"
    if row["seeds"] < 2:
        return "a change that one seed cannot bear out", told
    verdict = {-1: "lower", 0: "no difference shown", 1: "higher"}[int(row["sign"])]
    return verdict, f"{told}, {span(low, high, 1, signed=True, unit='%')}"


def _controls(rows: DataFrame) -> str:
    """Say what pairs do that tell nothing: if as much, the pairing is not what helped."""
    from c2lst.report.wording import percent

    told = []
    for arm, what in TELL_NOTHING.items():
        control = rows[rows["arm"] == arm].sort_values("fraction")
        changes = [
            f"{_verdict(row)[1]} at {percent(row['fraction'])}" for _, row in control.iterrows()
        ]
        if changes:
            told.append(f"{what}: {', '.join(changes)}")
    return f"As many pairs {'; '.join(told)}." if told else ""
