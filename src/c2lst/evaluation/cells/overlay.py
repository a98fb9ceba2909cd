"""Nuclei drawn over the patches that they were found in: the eye is the judge of a finder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from c2lst.evaluation.cells.nuclei import Segmentation

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK = "#1c2430"
COLOURS = ("#f0e442", "#56b4e9", "#e69f00", "#009e73", "#cc79a7", "#d55e00")
"""Told apart with any colour vision (Okabe-Ito), and bright on H&E."""

_TILE = 1.05


def draw_overlay(
    rows: Mapping[str, tuple[np.ndarray, Segmentation]],
    patch_um: float,
    label: str,
    kinds: Sequence[str] = ("nucleus",),
) -> Figure:
    """Draw patches, each without and with the outlines of its nuclei.

    Parameters
    ----------
    rows
        uint8 patches ``(k, S, S, 3)`` and their nuclei, by what they are, such as "real"; each has
        a pair of rows.
    patch_um
        Width of a patch in µm.
    label, kinds
        What found the nuclei, and the names of their kinds.
    """
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine
    from matplotlib.lines import Line2D

    columns = max(len(images) for images, _ in rows.values())
    style: dict[Any, Any] = {"font.family": ["DejaVu Sans"], "font.size": 8}
    with matplotlib.rc_context(style):
        figure: Figure = Figure(
            figsize=(_TILE * columns + 0.9, 2 * _TILE * len(rows) + 0.5),
            layout=ConstrainedLayoutEngine(w_pad=0.01, h_pad=0.01, wspace=0, hspace=0),
        )
        grid = figure.subplots(2 * len(rows), columns, squeeze=False)
        for number, (name, (images, found)) in enumerate(rows.items()):
            above, below = grid[2 * number : 2 * number + 2]
            for column in range(columns):
                for axes in (above[column], below[column]):
                    axes.set(xticks=[], yticks=[])
                    axes.spines[:].set_visible(False)
                    if column < len(images):
                        axes.imshow(
                            images[column],
                            extent=(0, patch_um, patch_um, 0),
                            interpolation="bicubic",
                        )
                if column < len(images):
                    _outline(below[column], found.labels[column], found.kinds, patch_um)
            above[0].set_ylabel(name, color=INK, weight="bold")
            below[0].set_ylabel("nuclei", color=INK)
        title = f"Nuclei by {label}; patches are {patch_um:.0f} µm wide"
        figure.suptitle(title, x=0.01, ha="left", fontsize=9, color=INK)
        if len(kinds) > 1:
            lines = [Line2D([], [], color=_colour(k)) for k in range(len(kinds))]
            figure.legend(lines, kinds, loc="outside lower left", ncols=6, frameon=False)
    return figure


def _outline(axes: Axes, labels: np.ndarray, kinds: np.ndarray, patch_um: float) -> None:
    """Draw the border of each nucleus of one patch in the colour of its kind."""
    from skimage.measure import find_contours

    um = patch_um / len(labels)
    for number in np.unique(labels[labels > 0]):
        for line in find_contours(np.pad(labels == number, 1).astype(float), 0.5):
            x, y = (line[:, ::-1].T - 0.5) * um
            axes.plot(x, y, color=_colour(kinds[number - 1]), linewidth=0.8)
    axes.set(xlim=(0, patch_um), ylim=(patch_um, 0))


def _colour(kind: int) -> str:
    return COLOURS[int(kind) % len(COLOURS)]
