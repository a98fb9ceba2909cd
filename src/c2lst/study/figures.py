"""Figures of a study: errors over fractions, genes with and without synthetic pairs, regimes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from c2lst.evaluation.expression import DEFAULT_METHOD
from c2lst.report.figures import DPI, rendered, report_style
from c2lst.study.comparisons import NETWORK, Regime, largest_arm, title
from c2lst.study.grid import BASELINE, CONTROLS, NO_NETWORK, TWIN, arm_title

if TYPE_CHECKING:
    from pandas import DataFrame
    from PIL.Image import Image

PANEL_INCHES = 3.6
INK, GREY = "#1c2430", "#8a93a0"
HUES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7a5c00", "#5b4b9a")
MARKERS = "osD^vPX*<>hp"
_METHODS: Mapping[str, tuple[str, str]] = {
    DEFAULT_METHOD: ("c2lst (image + place)", HUES[0]),
    NETWORK: ("network alone", HUES[1]),
}

Key = tuple[str, str]


def places(table: DataFrame) -> list[Key]:
    """Return every (section, scheme), in the order of the table: a row of panels each."""
    return list(dict.fromkeys(zip(table["section"], table["scheme"], strict=True)))


def fraction_curves(means: DataFrame) -> Image:
    """Draw errors against the fraction of spots, with 95 % intervals over seeds (paper, Fig 7).

    A row for each section and scheme; in it the MAE of baselines, c2lst and its networks, then
    how all arms of c2lst and of its networks differ from real pairs alone, split by split: what
    differs between arms is small beside what differs between splits.
    """
    ours = means["arm"].isin([NO_NETWORK, TWIN, largest_arm(means)])
    chosen = means[(means["arm"] == BASELINE) | ours]
    arms = means[means["mae_drop"].notna() & (means["arm"] != TWIN)]
    rows = places(means)
    with report_style():
        figure, axes = _panels(len(rows), 1 + len(_METHODS), wide=1.25)
        for (section, scheme), line in zip(rows, axes, strict=True):
            where = f"{section}, {scheme}"
            _errors(line[0], chosen[_at(chosen, section, scheme)])
            line[0].set_title(f"{where}: error", fontsize=9)
            here = arms[_at(arms, section, scheme)]
            for panel, (method, (name, _)) in zip(line[1:], _METHODS.items(), strict=True):
                _changes(panel, here[here["method"] == method])
                panel.set_title(f"{where}: {name}", fontsize=9)
            # The two panels of changes have the same arms.
            _legend(line[0])
            _legend(line[-1])
        return rendered(figure)


def gene_scatters(genes: DataFrame) -> Image:
    """Draw each gene's Pearson correlation, co-trained against real only (paper, Fig 6).

    A row for each section and scheme, a column for each fraction; correlations of predicted with
    observed expression over held-out spots, means over seeds; both at equal steps.
    """
    top = largest_arm(genes)
    rows, fractions = places(genes), sorted(genes["fraction"].unique())
    by = ["section", "scheme", "fraction", "method", "gene"]
    wide = genes[genes["arm"].isin([TWIN, top])].pivot_table(
        index=by, columns="arm", values="pearson"
    )
    wide = wide.reindex(columns=[TWIN, top]).dropna().reset_index()
    with report_style():
        figure, axes = _panels(len(rows), len(fractions))
        for (section, scheme), line in zip(rows, axes, strict=True):
            for panel, fraction in zip(line, fractions, strict=True):
                here = wide[_at(wide, section, scheme) & (wide["fraction"] == fraction)]
                _gene_dots(panel, here, top)
                panel.set_title(f"{section}, {scheme}, {fraction:.0%} of spots", fontsize=9)
            _legend(line[-1])
            line[0].set_ylabel(f"Pearson, {title(top, NETWORK).removeprefix('Network: ')}")
        for panel in axes[-1]:
            panel.set_xlabel("Pearson, real only, same steps")
        return rendered(figure)


def regime_map(regimes: Sequence[Regime]) -> Image:
    """Draw which method errs least at which fraction and spatial autocorrelation.

    A mark with a dark rim is best beyond doubt; pale ones beside it are tied with the best.
    """
    contenders = sorted({key for r in regimes for key in (r.best, *r.tied)})
    looks = {
        key: {"marker": MARKERS[i % len(MARKERS)], "color": HUES[i % len(HUES)]}
        for i, key in enumerate(contenders)
    }
    fractions = sorted({regime.fraction for regime in regimes})
    with report_style():
        figure, axes = _panels(1, 1, wide=2.2)
        panel = axes[0][0]
        for regime in regimes:
            x = fractions.index(regime.fraction)
            alone = not regime.tied
            panel.scatter(
                x, regime.moran, s=110, linewidths=1.6 if alone else 0, edgecolors=INK,
                zorder=3, **looks[regime.best],
            )  # fmt: skip
            for place, key in enumerate(regime.tied):
                panel.scatter(
                    x + 0.1 + 0.07 * place, regime.moran, s=45, alpha=0.45, linewidths=0,
                    **looks[key],
                )  # fmt: skip
        for section, scheme, moran in sorted({(r.section, r.scheme, r.moran) for r in regimes}):
            panel.text(-0.95, moran, f"{section}, {scheme}", fontsize=7, va="center")
        for key, look in looks.items():
            panel.scatter([], [], s=60, label=title(*key), **look)
        panel.set_xlim(-1, len(fractions))
        panel.set_xticks(range(len(fractions)), [f"{f:.0%}" for f in fractions])
        panel.set(xlabel="Share of spots sequenced", ylabel="Moran's I of observed genes")
        panel.margins(y=0.15)
        panel.legend(fontsize=7.5, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
        return rendered(figure)


def _at(table: DataFrame, section: str, scheme: str) -> Any:
    return (table["section"] == section) & (table["scheme"] == scheme)


def _panels(rows: int, columns: int, wide: float = 1.0) -> tuple[Any, Any]:
    """Return a figure and its axes (rows, columns), each ``wide`` times as wide as high."""
    from matplotlib.figure import Figure

    size = (PANEL_INCHES * columns * wide, PANEL_INCHES * rows)
    # A study of many sections is a tall figure: fewer dots an inch keep it a figure.
    dpi = max(60, min(DPI, int(16000 / max(size))))
    figure = Figure(figsize=size, dpi=dpi, layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False)


def _errors(panel: Any, rows: DataFrame) -> None:
    """Draw the MAE of every arm and method."""
    for key, line, x, look in _spread(rows):
        half = np.nan_to_num((line["mae_high"] - line["mae_low"]).to_numpy() / 2)
        hue = {"color": INK} if key[1] == NETWORK else {}
        panel.errorbar(x, line["mae"], yerr=half, label=title(*key), **_LINE | look | hue)
    _by_fraction(panel, rows, "MAE, log1p of counts per 10,000")


def _changes(panel: Any, rows: DataFrame) -> None:
    """Draw how the MAE of every arm differs from that of its step-matched twin, in per cent."""
    panel.axhline(0, color=INK, linewidth=1)
    for (arm, _), line, x, look in _spread(rows):
        half = np.nan_to_num(50 * (line["mae_drop_high"] - line["mae_drop_low"]).to_numpy())
        panel.errorbar(
            x, -100 * line["mae_drop"], yerr=half, label=arm_title(arm),
            **_LINE | look | {"linestyle": ""},
        )  # fmt: skip
    _by_fraction(panel, rows, "Change of MAE, % (real only, same steps: 0)")


_LINE = {"linewidth": 1, "elinewidth": 0.9, "markersize": 4.5}


def _spread(rows: DataFrame) -> Iterator[tuple[Key, DataFrame, np.ndarray, dict[str, Any]]]:
    """Yield the rows of every arm and method with places beside those of the others, and a look."""
    fractions = sorted(rows["fraction"].unique())
    keys = sorted(set(zip(rows["arm"], rows["method"], strict=True)), key=_order)
    ratios = [arm for arm, _ in keys if arm.startswith("ratio-")]
    for number, key in enumerate(keys):
        line = rows[(rows["arm"] == key[0]) & (rows["method"] == key[1])].sort_values("fraction")
        shift = 0.7 * (number / max(len(keys) - 1, 1) - 0.5)
        x = np.array([fractions.index(f) for f in line["fraction"]]) + shift
        yield key, line, x, _look(key[0], number, list(dict.fromkeys(ratios)))


def _by_fraction(panel: Any, rows: DataFrame, label: str) -> None:
    fractions = sorted(rows["fraction"].unique())
    panel.set_xticks(range(len(fractions)), [f"{f:.0%}" for f in fractions])
    panel.set_xlabel("Share of spots sequenced")
    panel.set_ylabel(label, fontsize=8)


def _legend(panel: Any) -> None:
    if panel.get_legend_handles_labels()[0]:
        panel.legend(fontsize=7, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))


def _order(key: Key) -> tuple[int, int, str]:
    arm, method = key
    if arm.startswith("ratio-"):
        return 1, int(arm.removeprefix("ratio-")), method
    return (0 if arm == NO_NETWORK else 2), 0, arm + method


def _look(arm: str, number: int, ratios: Sequence[str]) -> dict[str, Any]:
    import matplotlib

    if arm in ratios:
        share = (1 + ratios.index(arm)) / (1 + len(ratios))
        hollow = {"markerfacecolor": "white"} if arm == TWIN else {}
        return {"color": matplotlib.colormaps["viridis"](share), "marker": "o", **hollow}
    if arm in CONTROLS:
        place = list(CONTROLS).index(arm)
        return {"color": _CONTROL_HUES[place], "marker": MARKERS[1 + place]}
    if arm == BASELINE:
        return {"color": GREY, "marker": MARKERS[number % len(MARKERS)], "linestyle": ":"}
    return {"color": HUES[0], "marker": "D", "linestyle": "--"}


_CONTROL_HUES = ("#1c2430", "#8a93a0", "#e69f00", "#cc79a7", "#d55e00", "#56b4e9", "#7a5c00")


def _gene_dots(panel: Any, rows: DataFrame, top: str) -> None:
    for method, (label, hue) in _METHODS.items():
        dots = rows[rows["method"] == method]
        if len(dots):
            panel.scatter(
                dots[TWIN], dots[top], s=12, color=hue, alpha=0.6, linewidths=0, label=label
            )
    if not len(rows):
        return
    both = rows[[TWIN, top]].to_numpy()
    pad = 0.05 * (float(np.ptp(both)) or 1.0)
    ends = (float(both.min()) - pad, float(both.max()) + pad)
    panel.plot(ends, ends, color=INK, linewidth=1, linestyle=(0, (4, 3)))
    panel.set(xlim=ends, ylim=ends, aspect="equal")
