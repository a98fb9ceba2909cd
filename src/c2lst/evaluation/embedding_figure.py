"""Maps of real and synthetic patches as a figure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from c2lst.evaluation.conditioning_figure import INK
from c2lst.evaluation.embedding import Embedding

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

GREY, DARK, BLUE = "#b4b9bf", "#5b6470", "#0072b2"
CLUSTERS = ("#e69f00", "#56b4e9", "#009e73", "#f0e442", "#d55e00", "#cc79a7", "#0072b2", "#5b6470")
"""Told apart with any colour vision (Okabe-Ito)."""

_PANEL = 2.5


def draw_embeddings(
    embeddings: Sequence[Embedding],
    real_clusters: np.ndarray,
    synthetic_clusters: np.ndarray,
    features: str,
) -> Figure:
    """Draw each map three times: both sets, the real one by cluster, the synthetic one by cluster.

    Parameters
    ----------
    embeddings
        From :func:`~c2lst.evaluation.embedding.embed`.
    real_clusters, synthetic_clusters
        int ``(n,)`` and ``(m,)``: expression cluster of the spot of each patch; -1 where it has
        none, drawn in grey.
    features
        What the map is of.
    """
    import matplotlib
    from matplotlib.figure import Figure

    style: dict[Any, Any] = {"font.family": ["DejaVu Sans"], "font.size": 8}
    with matplotlib.rc_context(style):
        figure: Figure = Figure(
            figsize=(3 * _PANEL + 0.3, _PANEL * len(embeddings) + 0.75), layout="constrained"
        )
        figure.suptitle(f"Patches by {features}", x=0.01, ha="left", fontsize=9, color=INK)
        grid = figure.subplots(len(embeddings), 3, squeeze=False, sharex="row", sharey="row")
        for row, each in zip(grid, embeddings, strict=True):
            _both(row[0], each)
            size = _size(each)
            for axes, shown, clusters, others in (
                (row[1], each.real, real_clusters[each.real_rows], each.synthetic),
                (row[2], each.synthetic, synthetic_clusters[each.synthetic_rows], each.real),
            ):
                axes.scatter(others[:, 0], others[:, 1], s=size / 3, color="#e3e5e8", linewidth=0)
                axes.scatter(
                    shown[:, 0],
                    shown[:, 1],
                    s=size,
                    color=[_colour(k) for k in clusters],
                    linewidth=0,
                )
            row[0].set_ylabel(each.name, color=INK, weight="bold")
            for axes in row:
                axes.set(xticks=[], yticks=[])
                axes.spines[:].set_color("#d5d8dc")
        titles = (
            "real and synthetic",
            "real, by expression cluster",
            "synthetic, by expression cluster",
        )
        for axes, title in zip(grid[0], titles, strict=True):
            axes.set_title(title, fontsize=8.5, loc="left", color=INK)
        _legend(figure, grid[0, 0], np.union1d(real_clusters, synthetic_clusters))
    return figure


def _both(axes: Axes, each: Embedding) -> None:
    size = _size(each)
    axes.scatter(
        each.real[:, 0], each.real[:, 1], s=size, color=DARK, alpha=0.8, linewidth=0, label="real"
    )
    axes.scatter(
        each.synthetic[:, 0],
        each.synthetic[:, 1],
        s=size,
        color=BLUE,
        alpha=0.8,
        linewidth=0,
        label="synthetic",
    )


def _size(each: Embedding) -> float:
    """Area of a point, in square points: the fewer, the larger."""
    return float(np.clip(3000 / (len(each.real) + len(each.synthetic)), 4, 16))


def _legend(figure: Figure, axes: Axes, clusters: np.ndarray) -> None:
    from matplotlib.lines import Line2D

    handles, names = axes.get_legend_handles_labels()
    for cluster in clusters:
        point = Line2D([], [], marker="o", linestyle="", markersize=4, color=_colour(cluster))
        handles.append(point)
        names.append("held-out spot" if cluster < 0 else f"cluster {cluster + 1}")
    figure.legend(handles, names, loc="outside lower left", ncols=8, frameon=False, fontsize=7.5)


def _colour(cluster: int) -> str:
    return GREY if cluster < 0 else CLUSTERS[int(cluster) % len(CLUSTERS)]
