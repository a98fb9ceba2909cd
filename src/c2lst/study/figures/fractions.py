"""Errors by fraction of spots, and what synthetic pairs change at equal steps (paper, Fig 7)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from c2lst.evaluation.expression import DEFAULT_METHOD
from c2lst.report.figures import rendered, report_style
from c2lst.study.comparisons import against_twin
from c2lst.study.contenders import NETWORK, competing
from c2lst.study.figures.style import (
    INK,
    MARKERS,
    Section,
    arm_look,
    at,
    colour,
    fraction_axis,
    legend,
    panels,
    rows_of,
    spread,
)
from c2lst.study.grid import ADVISED, CONTROLS, arm_title

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame
    from PIL.Image import Image

_LINE = {"linewidth": 1, "elinewidth": 0.9, "markersize": 4.5}


def fraction_curves(means: DataFrame, comparisons: DataFrame) -> Image:
    """Draw errors against the fraction of spots, and changes by synthetic pairs.

    A row for each section, scheme and network; in it how the MAE of all that compete lies above or
    below that of the train median, then how all arms of c2lst and of the network alone differ from
    real pairs alone: what differs between arms is small beside what differs between splits.
    """
    twins = against_twin(comparisons)
    networks = list(dict.fromkeys(twins["network"])) if len(twins) else []
    with report_style():
        if not networks:
            return rendered(_errors_alone(means, rows_of(means)))
        rows = [(*place, network) for place in rows_of(means) for network in networks]
        figure, axes = panels(len(rows), 3, wide=1.35)
        for (section, scheme, network), line in zip(rows, axes, strict=True):
            where, own = f"{section}, {scheme}", means["network"].isin(["", network])
            _errors(line[0], means[at(means, section, scheme) & own])
            line[0].set_title(f"{where}: error", fontsize=9)
            legend(line[0])
            here = twins[at(twins, section, scheme) & (twins["network"] == network)]
            for panel, method in zip(line[1:], (DEFAULT_METHOD, NETWORK), strict=True):
                _changes(panel, here[here["method"] == method])
                name = f"{network} alone" if method == NETWORK else f"c2lst + {network}"
                panel.set_title(f"{where}: {name}", fontsize=9)
            legend(line[2], of=line[1])  # networks alone have no arm that c2lst has not
        return rendered(figure)


def _errors_alone(means: DataFrame, rows: list[Section]) -> Figure:
    """Two sections beside one another, with one legend."""
    columns = min(2, len(rows))
    figure, axes = panels(-(-len(rows) // columns), columns, wide=1.35)
    for panel in axes.flat[len(rows) :]:
        panel.set_axis_off()
    for (section, scheme), panel in zip(rows, axes.flat, strict=False):
        _errors(panel, means[at(means, section, scheme)])
        panel.set_title(f"{section}, {scheme}", fontsize=9)
    legend(axes[0][-1])
    return figure


def _errors(panel: Any, rows: DataFrame) -> None:
    """Draw the skill of all that compete: the share of the median's error that they remove."""
    fractions, rivals = sorted(rows["fraction"].unique()), competing(rows)
    panel.axhline(0, color=INK, linewidth=1)
    for number, (rival, shift) in enumerate(zip(rivals, spread(len(rivals), 0.5), strict=True)):
        line = rows[rival.rows(rows)].sort_values("fraction")
        x = np.array([fractions.index(f) for f in line["fraction"]]) + shift
        half = np.nan_to_num((line["skill_high"] - line["skill_low"]).to_numpy() / 2)
        ours = {"linestyle": "-", "linewidth": 1.6} if rival.is_ours else {"linestyle": ":"}
        panel.errorbar(
            x, 100 * line["skill"], yerr=100 * half, label=rival.title, color=colour(rival),
            marker=MARKERS[number % len(MARKERS)], **_LINE | ours,
        )  # fmt: skip
    fraction_axis(panel, fractions, "Error removed of the train median's, %")


def _changes(panel: Any, rows: DataFrame) -> None:
    """Draw how the MAE of every arm differs from that of its step-matched twin, in per cent."""
    panel.axhline(0, color=INK, linewidth=1)
    fractions, arms = sorted(rows["fraction"].unique()), sorted(set(rows["arm"]), key=_order)
    ratios = [arm for arm in arms if arm.startswith("ratio-")]
    for arm, shift in zip(arms, spread(len(arms)), strict=True):
        line = rows[rows["arm"] == arm].sort_values("fraction")
        x = np.array([fractions.index(f) for f in line["fraction"]]) + shift
        ends = [line["relative"] - line["relative_low"], line["relative_high"] - line["relative"]]
        panel.errorbar(
            x, 100 * line["relative"], yerr=100 * np.clip(np.nan_to_num(ends), 0, None),
            label=arm_title(arm), linestyle="", **_LINE | arm_look(arm, ratios),
        )  # fmt: skip
    fraction_axis(panel, fractions, "Change of MAE, % (real only, same steps: 0)")


def _order(arm: str) -> tuple[int, int]:
    if arm == ADVISED:
        return 2, 0
    if arm in CONTROLS:
        return 1, list(CONTROLS).index(arm)
    return 0, int(arm.removeprefix("ratio-"))
