"""What the figures of a study share: panels, colours, marks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from c2lst.report.figures import DPI
from c2lst.study.contenders import NETWORK, Contender
from c2lst.study.grid import ADVISED, BASELINE, CONTROLS, NO_NETWORK, TWIN

if TYPE_CHECKING:
    from pandas import DataFrame

PANEL_INCHES = 3.6
INK, GREY = "#1c2430", "#8a93a0"
MARKERS = "osD^vPX*<>hp"
_CONTROL_HUES = ("#1c2430", "#8a93a0", "#e69f00", "#cc79a7", "#d55e00", "#56b4e9", "#7a5c00")
BASELINE_HUES = {
    "train_mean": "#b9c0c9",
    "train_median": "#8a93a0",
    "knn": "#e69f00",
    "inverse_distance": "#f0c869",
    "kriging": "#d55e00",
    "kriging_recentred": "#8f3b00",
    "kriging_shared": "#f2976a",
    "ridge": "#cc79a7",
    "ridge_coordinates": "#9a5b7d",
    "resnet-50": "#7a5c00",
    "densenet-121": "#b39b52",
}
"""Constants grey, place alone orange, frozen image features pink, networks of the field brown."""

_OURS = {NO_NETWORK: "#0072b2", TWIN: "#56b4e9", ADVISED: "#1c2430"}
_OURS_WITH_PAIRS, _ALONE = "#00456b", "#009e73"

Section = tuple[str, str]


def rows_of(table: DataFrame) -> list[Section]:
    """Return every (section, scheme), in the order of the table: a row of panels each."""
    return list(dict.fromkeys(zip(table["section"], table["scheme"], strict=True)))


def at(table: DataFrame, section: str, scheme: str) -> Any:
    """Return which rows of a table are of a section and scheme, bool (n,)."""
    return (table["section"] == section) & (table["scheme"] == scheme)


def panels(rows: int, columns: int, wide: float = 1.0) -> tuple[Any, Any]:
    """Return a figure and its axes (rows, columns), each ``wide`` times as wide as high."""
    from matplotlib.figure import Figure

    size = (PANEL_INCHES * columns * wide, PANEL_INCHES * rows)
    # A study of many sections is a tall figure: fewer dots an inch keep it a figure.
    dpi = max(60, min(DPI, int(16000 / max(size))))
    figure = Figure(figsize=size, dpi=dpi, layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False)


def fraction_axis(panel: Any, fractions: Sequence[float], label: str) -> None:
    """Label the fractions, evenly spaced, and the other axis."""
    panel.set_xticks(range(len(fractions)), [f"{fraction:.0%}" for fraction in fractions])
    panel.set_xlabel("Share of spots sequenced")
    panel.set_ylabel(label, fontsize=8)


def legend(panel: Any, of: Any = None) -> None:
    """Put the legend beside the panel, or that ``of`` another, if there is something to explain."""
    handles, labels = (panel if of is None else of).get_legend_handles_labels()
    if handles:
        panel.legend(
            handles, labels, fontsize=7, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5)
        )


def colour(contender: Contender) -> str:
    """Colour of one that competes: of its family, lighter or darker within it."""
    if contender.arm == BASELINE:
        return BASELINE_HUES.get(contender.method, GREY)
    if contender.method == NETWORK:
        return _ALONE
    return _OURS.get(contender.arm, _OURS_WITH_PAIRS)


def arm_look(arm: str, ratios: Sequence[str]) -> dict[str, Any]:
    """Colour and mark of an arm: ratios on one scale, each control its own."""
    import matplotlib

    if arm in ratios:
        share = (1 + ratios.index(arm)) / (1 + len(ratios))
        return {"color": matplotlib.colormaps["viridis"](share), "marker": "o"}
    if arm == ADVISED:
        return {"color": _OURS[ADVISED], "marker": "*"}
    place = list(CONTROLS).index(arm)
    return {"color": _CONTROL_HUES[place], "marker": MARKERS[1 + place]}


def spread(count: int, width: float = 0.7) -> np.ndarray:
    """Return places beside one another around 0, shape (count,)."""
    return width * (np.arange(count) / max(count - 1, 1) - 0.5)
