"""Spots, truth, methods and deviation of an area, beside its tissue."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from c2lst.storage import whole_file
from c2lst.superres.baselines import per_bin
from c2lst.superres.lowres import LowRes
from c2lst.superres.maps import MapSample
from c2lst.superres.pooling import pool_sum

if TYPE_CHECKING:
    from matplotlib.figure import Figure

GENES = 3
_ALIKE = 0.6
_CELL_INCHES, _BAR_INCHES, _EDGE_INCHES = 1.5, 0.55, 0.25
_DPI = 100


@dataclass(frozen=True, eq=False)
class Panel:
    """A column of the figure: maps of log1p counts ``(G, H, W)``.

    ``own_range`` gives it a colour range of its own; all others share the measured map's.
    """

    title: str
    maps: np.ndarray
    own_range: bool = False


def draw_panels(
    path: str | Path,
    sample: MapSample,
    low: LowRes,
    genes: tuple[str, ...],
    panels: list[Panel],
    *,
    shown: int = GENES,
) -> None:
    """Write a PNG with a row a gene, of those that vary most between spots and are not alike.

    Parameters
    ----------
    path
        Where to.
    sample, low
        The area, with its image and spots.
    genes
        Names.
    panels
        Columns after the tissue and the spots.
    shown
        Number of genes.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from PIL import Image

    order = _choose(np.log1p(low.spots[:, pool_sum(low.tissue[None], low.scale)[0] > 0]), shown)
    columns = [Panel(f"spots, {low.lr_um:g} µm", np.log1p(per_bin(low))), *panels]
    bars = 1 + any(panel.own_range for panel in panels)
    width = _CELL_INCHES * (len(columns) + 1) + _BAR_INCHES * bars + _EDGE_INCHES
    height = _CELL_INCHES * len(order) + 2 * _EDGE_INCHES
    figure = Figure(figsize=(width, height), dpi=_DPI)
    axes = figure.subplots(len(order), len(columns) + 1, squeeze=False)
    figure.subplots_adjust(
        _EDGE_INCHES / width, 0.02, 1 - _BAR_INCHES * bars / width,
        1 - 1.8 * _EDGE_INCHES / height, wspace=0.04, hspace=0.04,
    )  # fmt: skip
    for line, gene in zip(axes, order, strict=True):
        _draw_gene(figure, line, sample, low, columns, gene)
        line[0].set_ylabel(genes[gene], fontsize=8)
    for axis, title in zip(axes[0], ["tissue", *(p.title for p in columns)], strict=True):
        axis.set_title(title.replace(", ", ",\n"), fontsize=8)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    # Maps of single bins hardly compress: 256 colours are a third of the file.
    pixels = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    with whole_file(path) as partial:
        pixels.quantize(256, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(
            partial, format="png", optimize=True
        )


def _draw_gene(
    figure: Figure,
    line: Any,
    sample: MapSample,
    low: LowRes,
    columns: list[Panel],
    gene: int,
) -> None:
    """Draw one row, with the colour scale of the maps and that of the deviation at its end."""
    top = float(np.log1p(sample.counts[gene]).max()) or 1.0
    line[0].imshow(sample.image)
    drawn = {}
    for axis, panel in zip(line[1:], columns, strict=True):
        values = panel.maps[gene]
        if values.shape == low.tissue.shape:
            values = np.where(low.tissue, values, np.nan)
        limit = float(np.nanmax(values)) or 1.0 if panel.own_range else top
        drawn[panel.own_range] = axis.imshow(
            values, vmin=0, vmax=limit, interpolation="nearest",
            cmap="magma" if panel.own_range else "viridis",
        )  # fmt: skip
    for axis in line:
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_visible(False)
    for place, own in enumerate(sorted(drawn)):
        step = _BAR_INCHES / _CELL_INCHES
        axis = line[-1].inset_axes((1.05 + place * step, 0.05, 0.06, 0.9))
        figure.colorbar(drawn[own], cax=axis)
        axis.tick_params(labelsize=6)
        axis.set_ylabel("deviation" if own else "log1p counts", fontsize=7)


def _choose(logs: np.ndarray, number: int) -> list[int]:
    """Genes ``(G, n)`` that vary most, each unlike those before it while there are such."""
    order = [int(gene) for gene in np.argsort(-logs.std(axis=1), kind="stable")]
    chosen: list[int] = []
    for gene in order:
        like = [abs(_correlation(logs[gene], logs[other])) for other in chosen]
        if len(chosen) < number and max(like, default=0.0) < _ALIKE:
            chosen.append(gene)
    return [*chosen, *(gene for gene in order if gene not in chosen)][:number]


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    spread = float(a.std() * b.std())
    return float(((a - a.mean()) * (b - b.mean())).mean()) / spread if spread > 1e-9 else 0.0
