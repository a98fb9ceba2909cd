"""Expression clusters in pictures: real patches beside synthetic ones (paper Figure 3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from c2lst.errors import InputError
from c2lst.storage import whole_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PATCHES = 6
TOP_GENES = 4
DPI = 200
INK, GREY = "#1c2430", "#5b6470"
_TILE, _GAP, _LABEL, _BETWEEN, _HEAD, _FOOT = 0.62, 0.05, 1.75, 0.28, 0.34, 0.42


@dataclass(frozen=True, eq=False)
class ClusterRow:
    """One expression cluster on the sheet.

    Parameters
    ----------
    name
        Such as "Cluster 1".
    spots
        How many training spots it has.
    genes
        Its top genes, the highest first.
    real, synthetic
        uint8 ``(k, S, S, 3)``: patches of the same k spots in the same order, and patches drawn
        for those spots' genes.
    """

    name: str
    spots: int
    genes: tuple[str, ...]
    real: np.ndarray
    synthetic: np.ndarray


def cluster_rows(
    clusters: np.ndarray,
    scaled: np.ndarray,
    genes: Sequence[str],
    real: Any,
    synthetic: Any,
    sources: np.ndarray,
    *,
    patches: int = PATCHES,
    seed: int = 0,
) -> list[ClusterRow]:
    """Choose what a sheet shows: spots of each cluster at random, none by how they look.

    Parameters
    ----------
    clusters
        int ``(n,)``: expression cluster of each training spot.
    scaled
        ``(n, G)``: their scaled expression.
    genes
        Names of the G genes.
    real
        uint8 ``(n, S, S, 3)``: their patches, an array or read when they are asked for.
    synthetic
        uint8 ``(m, S, S, 3)``, likewise.
    sources
        int ``(m,)``: the training spot that each was drawn for, as a row of ``real``; every spot
        has one.
    patches
        Spots of each cluster on the sheet, at most.
    """
    rng = np.random.default_rng((seed, 14))
    drawn_for = {int(source): image for image, source in reversed(list(enumerate(sources)))}
    rows = []
    for number in np.unique(clusters):
        members = np.flatnonzero(clusters == number)
        shown = np.sort(rng.permutation(members)[:patches])
        top = top_genes(scaled, clusters == number)
        rows.append(
            ClusterRow(
                name=f"Cluster {number + 1}",
                spots=len(members),
                genes=tuple(str(genes[gene]) for gene in top),
                real=real[shown],
                synthetic=synthetic[[drawn_for[int(spot)] for spot in shown]],
            )
        )
    return rows


def top_genes(scaled: np.ndarray, members: np.ndarray, number: int = TOP_GENES) -> np.ndarray:
    """Return the genes whose mean is highest in a cluster against the rest, int, in order.

    The difference of both means is divided by its standard error (Welch's t), so that a gene of
    a few outlying spots does not come first.
    """
    inside, outside = scaled[members], scaled[~members]

    def moments(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        count = max(len(values), 1)
        return np.nan_to_num(values.sum(axis=0) / count), np.nan_to_num(values.var(axis=0)) / count

    (high, error), (low, other) = (
        moments(np.nan_to_num(part)) if len(part) else (np.zeros(scaled.shape[1]),) * 2
        for part in (inside, outside)
    )
    score = (high - low) / np.sqrt(error + other + 1e-6)
    return np.argsort(-score, kind="stable")[:number]


def draw_sheet(rows: Sequence[ClusterRow], patch_um: float) -> Figure:
    """Draw the sheet: a row for each cluster, real patches left, synthetic ones right.

    Parameters
    ----------
    rows
        What to show, from :func:`cluster_rows`.
    patch_um
        Side of a patch in µm, for the scale bar.

    Raises
    ------
    InputError
        If there is no row, or a row has no patch.
    """
    from matplotlib.figure import Figure

    if not rows or any(len(row.real) == 0 or len(row.real) != len(row.synthetic) for row in rows):
        raise InputError(
            "cluster sheet", "a cluster without as many real as synthetic patches to show"
        )
    columns = max(len(row.real) for row in rows)
    block = columns * (_TILE + _GAP) - _GAP
    width = _LABEL + 2 * block + _BETWEEN + _GAP
    height = _HEAD + len(rows) * (_TILE + 2 * _GAP) + _FOOT
    figure = Figure(figsize=(width, height), facecolor="white")
    starts = (_LABEL, _LABEL + block + _BETWEEN)

    def text(x: float, y: float, words: str, **style: Any) -> None:
        style = {"color": INK, "family": "DejaVu Sans", **style}
        figure.text(x / width, 1 - y / height, words, **style)

    for start, heading in zip(starts, ("Real", "Synthetic"), strict=True):
        text(start, _HEAD - 0.1, heading, fontsize=10, weight="bold")
    for number, row in enumerate(rows):
        top = _HEAD + number * (_TILE + 2 * _GAP)
        spots = f"{row.spots} spot{'s' * (row.spots != 1)}"
        text(0.06, top + 0.13, f"{row.name} · {spots}", fontsize=8.5, weight="bold")
        text(
            0.06,
            top + 0.21,
            _in_lines(row.genes),
            fontsize=7.5,
            color=GREY,
            va="top",
            style="italic",
        )
        for start, images in zip(starts, (row.real, row.synthetic), strict=True):
            for column, image in enumerate(images):
                place = (start + column * (_TILE + _GAP), top)
                _show(figure, image, place, (width, height))
    _scale_bar(figure, starts[0], height - 0.24, patch_um, (width, height))
    text(
        starts[1],
        height - 0.14,
        "each drawn for the genes of the spot in the same place on the left",
        fontsize=7,
        color=GREY,
    )
    return figure


def write_figure(path: Path, figure: Figure) -> None:
    """Write a figure as PNG, whole or not at all."""
    with whole_file(path) as partial:
        figure.savefig(partial, dpi=DPI, format="png")


def _show(
    figure: Figure, image: np.ndarray, place: tuple[float, float], size: tuple[float, float]
) -> None:
    """Put a patch at ``place`` (inches from the upper left) of a figure of ``size`` (inches)."""
    (x, y), (width, height) = place, size
    axes = figure.add_axes(
        (x / width, 1 - (y + _TILE) / height, _TILE / width, _TILE / height), frameon=False
    )
    axes.imshow(image, interpolation="bicubic", aspect="auto")
    axes.set_axis_off()


def _scale_bar(
    figure: Figure, x: float, y: float, patch_um: float, size: tuple[float, float]
) -> None:
    """Draw a bar of a round length of at most a patch, with its length in µm."""
    from matplotlib.lines import Line2D

    width, height = size
    length = max(
        (n for n in (1, 2, 5, 10, 20, 50, 100, 200, 500) if n <= patch_um), default=patch_um
    )
    ends = (x / width, (x + _TILE * length / patch_um) / width)
    line = Line2D(ends, (1 - y / height,) * 2, color=INK, linewidth=2, solid_capstyle="butt")
    figure.add_artist(line)
    figure.text(ends[0], 1 - (y + 0.14) / height, f"{length:g} µm", fontsize=7.5, color=INK)


def _in_lines(genes: tuple[str, ...]) -> str:
    """Two genes a line: names as long as ``HLA-DRB1`` fit beside the patches."""
    return "\n".join(", ".join(genes[start : start + 2]) for start in range(0, len(genes), 2))
