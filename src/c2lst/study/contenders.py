"""Who is compared: a method, with what it was trained on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from c2lst.evaluation.expression import DEFAULT_METHOD
from c2lst.report.wording import method_name, method_order
from c2lst.study.grid import ADVISED, BASELINE, NO_NETWORK, TWIN, arm_title

if TYPE_CHECKING:
    from pandas import DataFrame

NETWORK = "network"


class Contender(NamedTuple):
    """One method of one arm.

    Parameters
    ----------
    arm
        What it was trained on; ``baseline`` for a baseline.
    network
        Which network was trained; empty for none.
    method
        The baseline; ``network`` for the networks alone; the default method of
        :mod:`c2lst.evaluation.expression` for c2lst as a whole.
    """

    arm: str
    network: str
    method: str

    @property
    def title(self) -> str:
        """Name in plain words."""
        if self.arm == BASELINE:
            return method_name(_in_reports(self.method)).label
        if self.arm == NO_NETWORK:
            return "c2lst, no network"
        who = f"{self.network} alone" if self.method == NETWORK else f"c2lst + {self.network}"
        return f"{who}: {arm_title(self.arm).lower()}"

    @property
    def ratio(self) -> int:
        """Synthetic pairs for each real one; 0 for what is no ratio, too."""
        return int(self.arm.removeprefix("ratio-")) if self.arm.startswith("ratio-") else 0

    @property
    def is_ours(self) -> bool:
        """Whether it is c2lst as a whole: image and place."""
        return self.arm != BASELINE and self.method == DEFAULT_METHOD

    def rows(self, table: DataFrame) -> Any:
        """Return which rows of a table are its own, bool (n,)."""
        return (
            (table["arm"] == self.arm)
            & (table["network"] == self.network)
            & (table["method"] == self.method)
        )

    @property
    def order(self) -> tuple[int, str, int, str]:
        """Sort key: baselines, c2lst without a network, then networks by what they learnt from."""
        if self.arm == BASELINE:
            # The simplest first: the report lists them the other way round.
            return 0, "", -method_order(_in_reports(self.method))[0], self.method
        if self.arm.startswith("ratio-"):
            return 2, self.network, self.ratio, self.method
        return (1 if self.arm == NO_NETWORK else 3), self.network, 0, self.arm + self.method


def _in_reports(method: str) -> str:
    """Name of a baseline as the report of a run has it: networks go by their layer."""
    return method.replace("-", "_")


def contenders(table: DataFrame) -> list[Contender]:
    """Return all that a table holds, in order."""
    columns = (table["arm"], table["network"], table["method"])
    return sorted({Contender(*key) for key in zip(*columns, strict=True)}, key=lambda c: c.order)


def competing(table: DataFrame) -> list[Contender]:
    """Return those that compete for being best.

    The baselines, and c2lst and its networks: without a network, real only, at the largest ratio,
    and as advised inside the training spots. Controls do not compete; a ratio chosen by its
    held-out error would be flattered.
    """
    arms = {BASELINE, NO_NETWORK, ADVISED, TWIN, largest_arm(table)}
    return [contender for contender in contenders(table) if contender.arm in arms]


def largest_arm(table: DataFrame) -> str:
    """Name of the arm of the largest ratio."""
    ratios = table.loc[table["arm"].str.startswith("ratio-"), ["arm", "ratio"]]
    return str(ratios.sort_values("ratio")["arm"].iloc[-1]) if len(ratios) else TWIN
