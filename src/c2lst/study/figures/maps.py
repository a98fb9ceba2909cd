"""Spatial maps of a few genes: observed, predicted, and the error between (paper, Fig 6C)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from c2lst.report.figures import DPI, ERROR_MAP, EXPRESSION_MAP, Frame, rendered, report_style
from c2lst.study.contenders import largest_arm
from c2lst.study.grid import NO_NETWORK, TWIN, arm_title
from c2lst.study.kept_maps import SPREAD, STRONGEST

if TYPE_CHECKING:
    from pandas import DataFrame
    from PIL.Image import Image

_RANKS = (0, 1, STRONGEST + SPREAD // 2)
"""Rows of a figure, of the kept genes: the two of strongest Moran's I, and a middling one."""

_FRACTION = 0.25
_INCHES = 2.3


def gene_maps(maps: DataFrame, section: str, scheme: str) -> Image:
    """Draw a section's maps at the fraction nearest to 25 % of spots.

    A row a gene, chosen by Moran's I of the observed alone; columns: observed with the sequenced
    spots ringed, then prediction and error of c2lst without a network, and where there are
    networks, of real only and of the largest ratio. Sequenced spots are predicted from the others.
    """
    from matplotlib.figure import Figure

    own = maps[(maps["section"] == section) & (maps["scheme"] == scheme)]
    nearest = min(own["fraction"].unique(), key=lambda fraction: abs(fraction - _FRACTION))
    own = own[own["fraction"] == nearest]
    arms = _arms(own)
    genes = _genes(own)
    frame = Frame.around(own[["x", "y"]].drop_duplicates().to_numpy(), None, fill=0.92)
    left, right, top, bottom = frame.bounds
    columns = 1 + 2 * len(arms)
    tall = _INCHES * (bottom - top) / (right - left)
    with report_style():
        figure = Figure((_INCHES * columns + 1, tall * len(genes) + 0.5), dpi=min(DPI, 130))
        figure.set_layout_engine("constrained")
        axes = figure.subplots(len(genes), columns, squeeze=False)
        for gene, line in zip(genes, axes, strict=True):
            _row(figure, line, own[own["gene"] == gene], arms)
            moran = float(own.loc[own["gene"] == gene, "moran"].iloc[0])
            line[0].set_ylabel(f"{gene}\nI = {moran:.2f}", fontsize=9)
        for panel, title in zip(axes[0], _titles(arms), strict=True):
            panel.set_title(title, fontsize=8.5)
        figure.suptitle(f"{section}, {scheme}, {nearest:.0%} of spots sequenced", fontsize=10)
        return rendered(figure)


def _arms(rows: DataFrame) -> list[tuple[str, str]]:
    """Arms and networks to show: no network, or the first network real only and co-trained."""
    networks = [n for n in dict.fromkeys(rows["network"]) if n]
    wanted = [(NO_NETWORK, "")]
    if networks:
        wanted += [(arm, networks[0]) for arm in dict.fromkeys((TWIN, largest_arm(rows)))]
    held = set(zip(rows["arm"], rows["network"], strict=True))
    return [key for key in wanted if key in held][:3]


def _titles(arms: list[tuple[str, str]]) -> list[str]:
    names = [
        "c2lst, no network"
        if arm == NO_NETWORK
        else f"c2lst + {network}:\n{arm_title(arm).lower()}"
        for arm, network in arms
    ]
    return ["Observed", *(title for name in names for title in (name, "its error"))]


def _genes(rows: DataFrame) -> list[str]:
    moran = rows.groupby("gene")["moran"].first().sort_values(ascending=False, kind="stable")
    return [str(moran.index[rank]) for rank in _RANKS if rank < len(moran)]


def _row(figure: Any, line: Any, rows: DataFrame, arms: list[tuple[str, str]]) -> None:
    by_arm = {
        key: own.reset_index(drop=True) for key, own in rows.groupby(["arm", "network"], sort=False)
    }
    first = by_arm[arms[0]]
    frame = Frame.around(first[["x", "y"]].to_numpy(), None, fill=0.92)
    observed = first["observed"].to_numpy()
    errors = {key: by_arm[key]["predicted"].to_numpy() - observed for key in arms}
    limits = (float(observed.min()), float(np.quantile(observed, 0.99)) or 1.0)
    most = float(np.quantile(np.abs(np.concatenate(list(errors.values()))), 0.99)) or 1.0
    ringed = (first["part"] == "train").to_numpy()
    discs = _map(line[0], frame, observed, EXPRESSION_MAP, limits, ringed)
    error_discs = discs
    for number, key in enumerate(arms):
        pair = line[1 + 2 * number : 3 + 2 * number]
        predicted = by_arm[key]["predicted"].to_numpy()
        discs = _map(pair[0], frame, predicted, EXPRESSION_MAP, limits)
        error_discs = _map(pair[1], frame, errors[key], ERROR_MAP, (-most, most))
    bars = {"fraction": 0.04, "pad": 0.02, "shrink": 0.8}
    figure.colorbar(discs, ax=line[-2], **bars).ax.tick_params(labelsize=6)
    figure.colorbar(error_discs, ax=line[-1], **bars).ax.tick_params(labelsize=6)


def _map(
    panel: Any,
    frame: Frame,
    values: np.ndarray,
    colours: str,
    limits: tuple[float, float],
    ringed: np.ndarray | None = None,
) -> Any:
    """Draw one value a spot as discs of true size."""
    left, right, top, bottom = frame.bounds
    panel.set(xlim=(left, right), ylim=(bottom, top), aspect="equal", xticks=[], yticks=[])
    for side in panel.spines.values():
        side.set_visible(False)
    discs = frame.spots(panel, np.ones(len(values), dtype=bool), cmap=colours, linewidth=0)
    discs.set_array(values)
    discs.set_clim(*limits)
    if ringed is not None:
        frame.spots(panel, ringed, facecolor="none", edgecolor="#d55e00", linewidth=0.9)
    return discs
