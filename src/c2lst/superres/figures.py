"""Spots, truth, methods and deviation of an area, beside its tissue."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from c2lst.storage import whole_file
from c2lst.superres.baselines import per_bin
from c2lst.superres.lowres import LowRes
from c2lst.superres.maps import MapSample

GENES = 3
_CELL_INCHES = 1.9


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
    """Write a PNG with a row a gene, of those that vary most between spots.

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
    from matplotlib.figure import Figure

    logs = np.log1p(low.spots).reshape(len(genes), -1)
    order = np.argsort(-logs.std(axis=1), kind="stable")[:shown]
    columns = len(panels) + 2
    figure = Figure(figsize=(_CELL_INCHES * columns, _CELL_INCHES * len(order) + 0.4))
    axes = figure.subplots(len(order), columns, squeeze=False)
    spots = np.log1p(per_bin(low))
    for line, gene in zip(axes, order, strict=True):
        top = float(np.log1p(sample.counts[gene]).max()) or 1.0
        line[0].imshow(sample.image)
        line[0].set_ylabel(genes[gene], fontsize=8)
        line[1].imshow(spots[gene], vmin=0, vmax=top, interpolation="nearest")
        for axis, panel in zip(line[2:], panels, strict=True):
            limit = float(panel.maps[gene].max()) or 1.0 if panel.own_range else top
            axis.imshow(panel.maps[gene], vmin=0, vmax=limit, interpolation="nearest")
    titles = ["tissue", f"spots, {low.lr_um:g} µm", *(panel.title for panel in panels)]
    for axis, title in zip(axes[0], titles, strict=True):
        axis.set_title(title, fontsize=7)
    for axis in axes.flat:
        axis.set_xticks([])
        axis.set_yticks([])
    figure.tight_layout(pad=0.4)
    with whole_file(path) as partial:
        figure.savefig(partial, dpi=110, format="png")
