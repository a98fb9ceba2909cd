"""Gene by gene: one score against another (paper, Fig 6B)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from c2lst.evaluation.expression import DEFAULT_METHOD
from c2lst.report.figures import rendered, report_style
from c2lst.study.contenders import NETWORK, largest_arm
from c2lst.study.figures.style import INK, at, panels, rows_of
from c2lst.study.grid import BASELINE, NO_NETWORK, TWIN, arm_title

if TYPE_CHECKING:
    from pandas import DataFrame
    from PIL.Image import Image

_LOOKS = {
    DEFAULT_METHOD: {"color": "#0072b2", "marker": "o"},
    NETWORK: {"color": "#d55e00", "marker": "^"},
}


def gene_scatters(genes: DataFrame) -> Image:
    """Draw each gene's MAE, co-trained against real only, both at equal steps.

    A row for each section and scheme, a column for each fraction; means over seeds. In a study
    without networks, c2lst stands against the train median instead. Below the line is better.
    """
    wide, labels = _pairs(genes)
    rows, fractions = rows_of(genes), sorted(genes["fraction"].unique())
    with report_style():
        figure, axes = panels(len(rows), len(fractions))
        for (section, scheme), line in zip(rows, axes, strict=True):
            for panel, fraction in zip(line, fractions, strict=True):
                here = wide[at(wide, section, scheme) & (wide["fraction"] == fraction)]
                _dots(panel, here)
                panel.set_title(f"{section}, {scheme}, {fraction:.0%} of spots", fontsize=9)
            line[0].set_ylabel(f"MAE, {labels[1]}")
        for panel in axes[-1]:
            panel.set_xlabel(f"MAE, {labels[0]}")
        return rendered(figure)


def _pairs(genes: DataFrame) -> tuple[DataFrame, tuple[str, str]]:
    """Return x and y of every gene, place and method, and what they are."""
    by = ["section", "scheme", "fraction", "network", "method", "gene"]
    top = largest_arm(genes)
    if top != TWIN:
        both = genes[genes["arm"].isin([TWIN, top])].pivot_table(
            index=by, columns="arm", values="mae"
        )
        both = both.reindex(columns=[TWIN, top]).set_axis(["x", "y"], axis=1)
        return both.dropna().reset_index(), ("real only, same steps", arm_title(top).lower())
    keys = [name for name in by if name not in ("network", "method")]
    ours = genes[(genes["arm"] == NO_NETWORK) & (genes["method"] == DEFAULT_METHOD)]
    median = genes[(genes["arm"] == BASELINE) & (genes["method"] == "train_median")]
    x, y = (rows.groupby(keys)["mae"].mean() for rows in (median, ours))
    both = x.rename("x").to_frame().join(y.rename("y")).dropna().reset_index()
    return both.assign(method=DEFAULT_METHOD, network=""), ("train median", "c2lst, no network")


def _dots(panel: Any, rows: DataFrame) -> None:
    if not len(rows):
        return
    for method, look in _LOOKS.items():
        dots = rows[rows["method"] == method]
        share = float((dots["y"] < dots["x"]).mean()) if len(dots) else 0.0
        name = "networks alone" if method == NETWORK else "c2lst"
        if len(dots):
            panel.scatter(
                dots["x"], dots["y"], s=11, alpha=0.55, linewidths=0,
                label=f"{name}: {share:.0%} of genes lower", **look,
            )  # fmt: skip
    both = rows[["x", "y"]].to_numpy()
    pad = 0.05 * (float(np.ptp(both)) or 1.0)
    ends = (float(both.min()) - pad, float(both.max()) + pad)
    panel.plot(ends, ends, color=INK, linewidth=1, linestyle=(0, (4, 3)))
    panel.set(xlim=ends, ylim=ends, aspect="equal")
    panel.legend(fontsize=6.5, frameon=False, loc="upper left")
