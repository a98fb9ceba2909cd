"""What a study says: gain over the step-matched twin, and which method wins where."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from c2lst.evaluation.expression import DEFAULT_METHOD
from c2lst.report.wording import method_name
from c2lst.study.grid import BASELINE, NO_NETWORK, TWIN, arm_title

if TYPE_CHECKING:
    from pandas import DataFrame

NETWORK = "network"
_SPLIT = ["section", "scheme", "fraction", "seed"]
_METHODS = {DEFAULT_METHOD: "c2lst", NETWORK: "Network"}


def title(arm: str, method: str) -> str:
    """Name of a method with what it was trained on, in plain words."""
    if arm == BASELINE:
        return method_name(method).label
    return f"{_METHODS.get(method, method)}: {arm_title(arm).lower()}"


def with_drop(table: DataFrame) -> DataFrame:
    """Add ``mae_drop``: the share of the step-matched twin's error that an arm removes.

    1 - MAE / MAE of the same method, trained on the same split for as many steps, on real pairs
    alone. NaN for what has no such twin.
    """
    twins = table.loc[table["arm"] == TWIN, [*_SPLIT, "method", "mae"]]
    paired = table[[*_SPLIT, "method"]].merge(
        twins.rename(columns={"mae": "of_twin"}), how="left", on=[*_SPLIT, "method"]
    )
    drop = 1 - table["mae"].to_numpy() / paired["of_twin"].to_numpy()
    arms = ~table["arm"].isin([BASELINE, NO_NETWORK]).to_numpy()
    return table.assign(mae_drop=np.where(arms, drop, np.nan))


def contenders(table: DataFrame) -> DataFrame:
    """Return the rows that compete in the regime map.

    The baselines, and c2lst and its networks: without a network, real only, and at the largest
    ratio. Controls do not compete; a ratio chosen by its held-out error would be flattered.
    """
    competing = [BASELINE, NO_NETWORK, TWIN, largest_arm(table)]
    return table[table["arm"].isin(competing)]


def largest_arm(table: DataFrame) -> str:
    """Name of the arm of the largest ratio."""
    ratios = table.loc[table["arm"].str.startswith("ratio-"), ["arm", "ratio"]]
    return str(ratios.sort_values("ratio")["arm"].iloc[-1]) if len(ratios) else TWIN


@dataclass(frozen=True)
class Regime:
    """Which method errs least in one place of the grid.

    Parameters
    ----------
    section, scheme, fraction
        The place.
    moran
        Mean Moran's I of the observed genes over the held-out spots of the section, all of its
        splits of this scheme together.
    best
        Arm and method of the least mean error.
    tied
        Those whose error differs from the best's by less than seeds bear out: the 95 % interval
        of the paired difference holds 0, or is not known, for there is a single seed.
    """

    section: str
    scheme: str
    fraction: float
    moran: float
    best: tuple[str, str]
    tied: tuple[tuple[str, str], ...]


def regimes(table: DataFrame) -> list[Regime]:
    """Find the best contender in every place of the grid."""
    moran = table.groupby(["section", "scheme"])["moran_observed"].mean()
    found = []
    rows = contenders(table)
    places = rows[["section", "scheme", "fraction"]].drop_duplicates()
    for section, scheme, fraction in places.itertuples(index=False):
        here = (rows["section"] == section) & (rows["scheme"] == scheme)
        here &= rows["fraction"] == fraction
        errors = rows[here].pivot_table(index="seed", columns=["arm", "method"], values="mae")
        # Seeds that a contender failed on would compare it on other splits.
        errors = errors.dropna(axis=0) if len(errors.dropna()) else errors.dropna(axis=1)
        keys: list[tuple[str, str]] = list(errors)
        values = errors.to_numpy()
        best = int(values.mean(axis=0).argmin())
        tied = tuple(
            key
            for key, column in zip(keys, values.T, strict=True)
            if key != keys[best] and _may_be_equal(column - values[:, best])
        )
        autocorrelation = float(moran.loc[(section, scheme)])
        found.append(Regime(section, scheme, fraction, autocorrelation, keys[best], tied))
    return found


def _may_be_equal(difference: np.ndarray) -> bool:
    """Say whether the 95 % interval of a mean paired difference holds 0, or is not known."""
    from scipy.stats import t

    n = len(difference)
    if n < 2:
        return True
    half = t.ppf(0.975, n - 1) * difference.std(ddof=1) / np.sqrt(n)
    return bool(abs(difference.mean()) <= half)


def sentences(means: DataFrame) -> list[tuple[str, list[str]]]:
    """Say for each section and scheme what the step-matched comparison shows.

    The largest ratio is compared, which was chosen before any result.

    Parameters
    ----------
    means
        Of :func:`c2lst.study.results.means`.

    Returns
    -------
    list of (heading, sentences)
        A sentence each for c2lst and for its networks alone.
    """
    arm = largest_arm(means)
    if arm == TWIN:
        return []
    told = []
    for (section, scheme), rows in means.groupby(["section", "scheme"], sort=False):
        lines = [
            _sentence(rows[rows["method"] == method], arm, name)
            for method, name in ((DEFAULT_METHOD, "c2lst"), (NETWORK, "its networks alone"))
            if (rows["method"] == method).any()
        ]
        told.append((f"{section}, {scheme} spots", lines))
    return told


def _sentence(rows: DataFrame, arm: str, name: str) -> str:
    from c2lst.report.wording import percent

    verdicts: dict[str, list[str]] = {}
    for row in rows[rows["arm"] == arm].sort_values("fraction").to_dict("records"):
        verdict, evidence = _verdict(row)
        verdicts.setdefault(verdict, []).append(f"{percent(row['fraction'])} ({evidence})")
    said = "; ".join(f"{verdict} at {', '.join(at)}" for verdict, at in verdicts.items())
    ratio = arm.removeprefix("ratio-")
    line = f"At equal steps, {ratio}× synthetic pairs change the error of {name} as follows: {said}"
    return f"{line}. {_shuffled(rows)}".rstrip()


def _verdict(row: Mapping[Any, Any]) -> tuple[str, str]:
    from c2lst.report.wording import number, span

    drop, low, high = (100 * row[f"mae_drop{end}"] for end in ("", "_low", "_high"))
    change = f"{number(-drop, 1, signed=True)}\u00a0%"
    if not np.isfinite(low):
        return "a change that one seed cannot bear out", change
    evidence = f"{change}, {span(-high, -low, 1, signed=True, unit='%')}"
    if low > 0:
        return "lower", evidence
    return ("higher" if high < 0 else "no difference shown"), evidence


def _shuffled(rows: DataFrame) -> str:
    """Say what pairs with shuffled genes do: if as much, the pairing is not what helped."""
    from c2lst.report.wording import percent

    control = rows[rows["arm"] == "shuffled"].sort_values("fraction")
    if not len(control):
        return ""
    changes = ", ".join(
        f"{_verdict(row)[1]} at {percent(row['fraction'])}" for row in control.to_dict("records")
    )
    return f"As many pairs with shuffled genes: {changes}."
