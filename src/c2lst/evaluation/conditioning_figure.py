"""The gene round trip in pictures: what synthetic patches tell of the genes asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from c2lst.evaluation.conditioning import REAL, SHUFFLED, SYNTHETIC, UNCONDITIONAL, Followed

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = {
    REAL: "#5b6470",
    SYNTHETIC: "#0072b2",
    SHUFFLED: "#e69f00",
    UNCONDITIONAL: "#009e73",
}
"""Told apart with any colour vision (Okabe-Ito)."""

INK = "#1c2430"
LABELS = {
    REAL: "real, same spots",
    SYNTHETIC: "synthetic",
    SHUFFLED: "other spot's genes",
    UNCONDITIONAL: "no genes",
}

_FEW = 12
_STYLE: dict[Any, Any] = {
    "font.family": ["DejaVu Sans"],
    "font.size": 7.5,
    "axes.titlesize": 8.5,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#5b6470",
    "axes.labelcolor": INK,
}


def draw_round_trip(followed: Sequence[Followed]) -> Figure:
    """Draw what is read back from patches: a row for each way to read them.

    Parameters
    ----------
    followed
        Results of :func:`~c2lst.evaluation.conditioning.follow`. Of many values (genes), the
        distribution under each arm and each value on synthetic against real patches are shown; of
        few (programmes, cell types), each with its 95 % interval.
    """
    import matplotlib
    from matplotlib.figure import Figure

    ways = list(dict.fromkeys(each.by for each in followed))
    rows = [[each for each in followed if each.by == by] for by in ways]
    panels = [[panel for each in row for panel in _panels(each)] for row in rows]
    columns = max(len(row) for row in panels)
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(3.1 * columns, 2.9 * len(rows)), layout="constrained")
        parts = figure.subfigures(len(rows), 1, squeeze=False)[:, 0]
        for part, by, row in zip(parts, ways, panels, strict=True):
            part.suptitle(f"Read from {by}", x=0.01, ha="left", weight="bold", fontsize=9)
            places = part.subplots(1, len(row), squeeze=False)[0]
            for axes, (draw, each) in zip(places, row, strict=True):
                draw(axes, each)
    return figure


def _panels(each: Followed) -> list[tuple[Callable[[Axes, Followed], None], Followed]]:
    if len(each.table) - 1 > _FEW:
        return [(_distribution, each), (_against_real, each)]
    return [(_with_intervals, each)]


def _distribution(axes: Axes, followed: Followed) -> None:
    rows = followed.table.iloc[1:]
    for place, arm in enumerate(LABELS):
        values = rows[_column(arm)].dropna().to_numpy()
        if len(values) == 0:
            continue
        boxes = axes.boxplot(
            [values],
            positions=[place],
            widths=0.55,
            orientation="horizontal",
            patch_artist=True,
            flierprops={"markersize": 2, "markeredgecolor": COLOURS[arm]},
            medianprops={"color": INK},
        )
        boxes["boxes"][0].set(facecolor=COLOURS[arm], alpha=0.55, edgecolor=COLOURS[arm])
    axes.axvline(0, color=INK, linewidth=0.6, zorder=0)
    axes.set_yticks(range(len(LABELS)), list(LABELS.values()))
    axes.invert_yaxis()
    axes.set(title=f"{len(rows)} {followed.what}", xlabel="r of read with asked-for value")


def _against_real(axes: Axes, followed: Followed) -> None:
    rows = followed.table.iloc[1:]
    axes.scatter(
        rows[REAL], rows["estimate"], s=9, color=COLOURS[SYNTHETIC], alpha=0.6, linewidth=0
    )
    ends = _limits(rows[[REAL, "estimate"]].to_numpy())
    axes.plot(ends, ends, color=INK, linewidth=0.6, linestyle="--")
    axes.set(title=f"{followed.what}, one dot each", xlim=ends, ylim=ends)
    axes.set(xlabel="r on real patches of the same spots", ylabel="r on synthetic patches")
    axes.set_aspect("equal")


def _with_intervals(axes: Axes, followed: Followed) -> None:
    rows = followed.table.iloc[1:]
    for shift, arm in enumerate(LABELS):
        prefix = "" if arm == SYNTHETIC else f"{arm}_"
        value = rows[_column(arm)].to_numpy()
        reach = np.abs(rows[[f"{prefix}low", f"{prefix}high"]].to_numpy().T - value)
        axes.errorbar(
            np.arange(len(rows)) + 0.16 * (shift - 1.5),
            value,
            yerr=reach,
            fmt="o",
            markersize=3.5,
            linewidth=1.1,
            color=COLOURS[arm],
            label=LABELS[arm],
        )
    axes.axhline(0, color=INK, linewidth=0.6, zorder=0)
    axes.set_xticks(range(len(rows)), [name.replace(" (", "\n(") for name in rows["name"]])
    axes.set(title=followed.what, ylabel="r (95 % interval)")


def _column(arm: str) -> str:
    return "estimate" if arm == SYNTHETIC else arm


def _limits(values: np.ndarray) -> tuple[float, float]:
    known = values[np.isfinite(values)]
    low, high = (known.min(), known.max()) if len(known) else (0.0, 1.0)
    return float(min(low, 0) - 0.05), float(high + 0.05)
