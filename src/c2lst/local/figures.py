"""Figures of a sweep and of missing genes, fit for a paper: images above, numbers below."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from c2lst.evaluation.ruler import SHIFT
from c2lst.storage import whole_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

    from c2lst.local.missing import MissingGenes
    from c2lst.local.sweep import SweepResult

ROWS = 8
"""Rows of images in a figure; further ones count in the numbers only."""

BLUE, GREY, INK = "#0072b2", "#9aa0a6", "#1c2430"
TITLES = {
    "nuclei_per_mm2": "nuclei per mm²",
    "nuclear_share": "nuclear area",
    "haematoxylin": "haematoxylin (OD)",
    "eosin": "eosin (OD)",
    SHIFT: "embedding shift",
}
_TILE_INCHES = 0.8
_PANEL_INCHES = 1.8


def draw_sweep(result: SweepResult, title: str, path: Path) -> None:
    """Write a sweep as PNG: rows are noises, columns steps; below, each measure over the steps.

    Parameters
    ----------
    result
        The sweep.
    title
        Its heading: what was moved, and from which spot.
    path
        Where to.
    """
    shown = result.images[:ROWS]
    with _sheet(shown, title, len(result.measures), path) as (above, below):
        axes = _tiles(above, shown, [signed(value) for value in result.values])
        for number, row in enumerate(axes):
            row[0].set_ylabel(f"noise {number + 1}")
        below.supxlabel(
            "standard deviations of scaled expression (grey: each noise, blue: their mean)",
            fontsize=8,
        )
        panels = below.subplots(1, len(result.measures), squeeze=False)[0]
        for panel, effect in zip(panels, result.effects(), strict=True):
            found = result.measures[effect.measure]
            panel.plot(result.values, found.T, color=GREY, linewidth=0.6)
            panel.plot(result.values, found.mean(axis=0), color=BLUE, linewidth=1.8)
            panel.set_title(TITLES[effect.measure])
            panel.set_xlabel(f"{signed(effect.slope)} per SD{_p(effect.p)}", fontsize=7)


def draw_missing(result: MissingGenes, spots: Sequence[str], path: Path) -> None:
    """Write a gallery of missing genes as PNG: rows are spots, columns numbers of missing genes.

    Below, what the numbers say: likeness to the image with all genes, and distance to real ones.

    Parameters
    ----------
    result
        What was drawn.
    spots
        Barcode of each profile.
    path
        Where to.
    """
    shown = result.gallery[:ROWS]
    missing = [level.missing for level in result.levels]
    columns = [_column(number, result.genes) for number in missing]
    with _sheet(shown, "Genes missing, the same noise", 3, path) as (above, below):
        axes = _tiles(above, shown, [*columns, "mean profile"])
        for number, row in enumerate(axes):
            row[0].set_ylabel(str(spots[number]))
        cosine, pixels, real = below.subplots(1, 3)
        places = range(len(missing))
        cosine.plot(places, [level.cosine for level in result.levels], "o-", color=BLUE)
        cosine.set_title("cosine with all genes")
        pixels.plot(places, [level.pixels for level in result.levels], "o-", color=BLUE)
        pixels.set_title("pixels away from all genes")
        for panel, value in zip((cosine, pixels), result.another_noise, strict=True):
            _line(panel, value, "another noise")
        distances = [level.to_real for level in result.levels]
        values = np.array([[d.value, d.low, d.high] for d in distances])
        low, high = (values[:, 0] - values[:, 1]).clip(0), (values[:, 2] - values[:, 0]).clip(0)
        real.errorbar(places, values[:, 0], [low, high], fmt="o-", color=BLUE, capsize=2)
        _line(real, result.floor.value, "real to real")
        real.set_title("kernel distance to real")
        for panel in (cosine, pixels, real):
            panel.set_xticks(places, [str(number) for number in missing])
            panel.set_xlabel("missing genes")


@contextmanager
def _sheet(
    images: np.ndarray, title: str, panels: int, path: Path
) -> Iterator[tuple[SubFigure, SubFigure]]:
    """Open a figure for images (rows, columns, S, S, 3) above panels, and write it at the end."""
    import matplotlib
    from matplotlib.figure import Figure

    style: dict[Any, Any] = {
        "font.family": ["DejaVu Sans"],
        "font.size": 8,
        "axes.titlesize": 8,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.edgecolor": "#5b6470",
        "axes.labelcolor": INK,
        "lines.markersize": 3.5,
    }
    columns = images.shape[1]
    width = max(_TILE_INCHES * columns + 0.4, _PANEL_INCHES * panels)
    heights = ((width - 0.4) / columns * len(images) + 0.3, _PANEL_INCHES)
    with matplotlib.rc_context(style):
        figure: Figure = Figure(
            figsize=(width, sum(heights) + 0.3), facecolor="white", layout="constrained"
        )
        figure.suptitle(title, fontsize=10, color=INK)
        parts: Any = figure.subfigures(2, 1, height_ratios=heights)
        yield parts[0], parts[1]
        with whole_file(path) as partial:
            figure.savefig(partial, format="png", dpi=200)


def _tiles(figure: SubFigure, images: np.ndarray, titles: Sequence[str]) -> np.ndarray:
    """Show images (rows, columns, S, S, 3) side by side; returns their axes (rows, columns)."""
    axes: np.ndarray = figure.subplots(
        *images.shape[:2], squeeze=False, gridspec_kw={"wspace": 0.04, "hspace": 0.04}
    )
    for panel, image in zip(axes.ravel(), images.reshape(-1, *images.shape[2:]), strict=True):
        panel.imshow(image, interpolation="nearest")
        panel.set(xticks=[], yticks=[])
        panel.spines[:].set_visible(False)
    for panel, text in zip(axes[0], titles, strict=True):
        panel.set_title(text)
    return axes


def _line(axes: Axes, height: float, label: str) -> None:
    axes.axhline(height, color=GREY, linestyle="--", linewidth=1, label=label)
    axes.legend(frameon=False, fontsize=7)


def _column(missing: int, genes: int) -> str:
    return {0: "all genes", genes: "all missing"}.get(missing, f"{missing} missing")


def signed(value: float) -> str:
    """Write a number shortly with its sign; 0 has none."""
    text = f"{value:+,.0f}" if abs(value) >= 10 else f"{value:+.2g}"
    return "0" if value == 0 else text.replace("-", "−")


def _p(value: float) -> str:
    return "" if np.isnan(value) else f", p = {value:.2g}"
