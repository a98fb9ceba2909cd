"""Synthetic patches beside the real ones that they are most like."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from c2lst.evaluation.conditioning_figure import INK

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS = 9
_TILE = 0.95
_ROWS = 1024


@dataclass(frozen=True, eq=False)
class Neighbours:
    """The real patches most like each synthetic one.

    Parameters
    ----------
    rows
        int ``(m, k)``: nearest first.
    cosine
        ``(m, k)``: of the features.
    """

    rows: np.ndarray
    cosine: np.ndarray


def nearest(synthetic: np.ndarray, real: np.ndarray, number: int = 2) -> Neighbours:
    """Find the real patches whose features point most nearly the same way.

    Parameters
    ----------
    synthetic, real
        Features ``(m, d)`` and ``(n, d)``.
    number
        How many of each.
    """
    number = min(number, len(real))
    pool = _unit(real)
    rows, cosine = [], []
    for start in range(0, len(synthetic), _ROWS):
        like = _unit(synthetic[start : start + _ROWS]) @ pool.T
        best = np.argsort(-like, axis=1, kind="stable")[:, :number]
        rows.append(best)
        cosine.append(np.take_along_axis(like, best, axis=1))
    return Neighbours(np.concatenate(rows), np.concatenate(cosine))


def draw_gallery(
    synthetic: np.ndarray,
    own: np.ndarray,
    real: np.ndarray,
    found: Neighbours,
    names: np.ndarray,
    own_names: np.ndarray,
    features: str,
    patch_um: float,
) -> Figure:
    """Draw a column for each synthetic patch: it, its spot's real patch, the most like real ones.

    Parameters
    ----------
    synthetic, own
        uint8 ``(c, S, S, 3)``: patches, and the real patches of the spots they were drawn for.
    real
        uint8 ``(n, S, S, 3)``: the real patches that were searched.
    found
        The nearest of ``real`` to each of ``synthetic``.
    names, own_names
        ``(n,)`` and ``(c,)``: barcodes of the real patches, and of the spots drawn for.
    features
        By which they were searched.
    patch_um
        Width of a patch in µm.
    """
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    number = found.rows.shape[1]
    style: dict[Any, Any] = {"font.family": ["DejaVu Sans"], "font.size": 7}
    titles = ["synthetic", "its own spot", *(["most like", "then"] + [""] * number)[:number]]
    with matplotlib.rc_context(style):
        columns = len(synthetic)
        figure: Figure = Figure(
            figsize=(_TILE * columns + 0.9, (_TILE + 0.14) * (number + 2) + 0.45),
            layout=ConstrainedLayoutEngine(w_pad=0.015, h_pad=0.015, wspace=0, hspace=0),
        )
        figure.suptitle(
            f"Chosen at random, {patch_um:.0f} µm wide; likeness is the cosine of {features}",
            x=0.01, ha="left", fontsize=8.5, color=INK,
        )  # fmt: skip
        grid = figure.subplots(number + 2, columns, squeeze=False)
        for column in range(columns):
            near = found.rows[column]
            for row, image in enumerate([synthetic[column], own[column], *real[near]]):
                grid[row, column].imshow(image, interpolation="bicubic")
            grid[1, column].set_xlabel(str(own_names[column]), labelpad=1)
            for k, place in enumerate(near):
                same = " (own)" if names[place] == own_names[column] else ""
                text = f"{names[place]}{same}\n{found.cosine[column, k]:.2f}"
                grid[k + 2, column].set_xlabel(text, labelpad=1)
        for axes in grid.ravel():
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
        for axes, title in zip(grid[:, 0], titles, strict=True):
            axes.set_ylabel(title, color=INK, weight="bold")
    return figure


def _unit(features: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    return np.asarray(features / np.maximum(lengths, 1e-12))
