"""Draw the README's picture from the artefacts of a run.

python benchmarks/figure.py RUN -o docs/demo.png
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.ticker import MaxNLocator

from c2lst.evaluation.expression import DEFAULT_METHOD
from c2lst.report.artefacts import RunArtefacts, read_artefacts
from c2lst.report.choices import first_component, spread
from c2lst.report.wording import method_name

COLUMNS = 10
SYNTHETIC_ROWS = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--gene", help="the best predicted by default")
    arguments = parser.parse_args()
    run = read_artefacts(arguments.run)
    ours = [score for score in run.gene_scores if score.method == DEFAULT_METHOD]
    best = max(ours, key=lambda score: np.nan_to_num(score.pearson, nan=-1.0)).gene
    draw(run, arguments.gene or best).savefig(arguments.output, dpi=110)


def draw(run: RunArtefacts, gene: str) -> Any:
    """Draw slide, patches, one gene and the methods side by side."""
    figure, panels = plt.subplot_mosaic(
        [["slide", "patches", "patches"], ["observed", "predicted", "methods"]],
        figsize=(13, 7.6),
        width_ratios=[1, 1, 1.1],
        height_ratios=[1.15, 1],
        layout="constrained",
    )
    slide_panel(panels["slide"], run)
    patch_panel(panels["patches"], run)
    column = run.genes.tolist().index(gene)
    values = {"observed": run.observed[:, column], "predicted": run.predicted[:, column]}
    limits = np.nanpercentile(values["observed"], [2, 98])
    for name, value in values.items():
        map_panel(panels[name], run, value, limits)
        panels[name].set_title(f"{gene}, {name}", loc="left")
    methods_panel(panels["methods"], run)
    return figure


def slide_panel(axes: Any, run: RunArtefacts) -> None:
    """Show the slide with the sequenced spots ringed."""
    if run.thumbnail is not None:
        axes.imshow(run.thumbnail.image)
        centres = run.centres * run.thumbnail.scale
    else:
        centres = run.centres * [1, -1]
    train = run.role == "train"
    axes.scatter(*centres[train].T, s=26, facecolors="none", edgecolors="#00429d", linewidths=1.5)
    axes.set_title(f"{train.sum()} of {len(train)} spots sequenced", loc="left")
    axes.axis("off")


def patch_panel(axes: Any, run: RunArtefacts) -> None:
    """Show real patches, each above synthetic ones of the same genes."""
    assert run.patches is not None and run.synthetic is not None
    rows = {barcode: i for i, barcode in enumerate(run.patches.barcodes.tolist())}
    drawn = np.array(run.synthetic.barcodes.tolist())
    train = np.flatnonzero(run.role == "train")
    order = train[np.argsort(first_component(run.observed[train]))]
    chosen = [order[i] for i in spread(np.arange(len(order)), COLUMNS)]
    size = run.patches.images.shape[1]
    sheet = np.full(((1 + SYNTHETIC_ROWS) * (size + 1), len(chosen) * (size + 2), 3), 255, np.uint8)
    for column, spot in enumerate(chosen):
        barcode = str(run.barcodes[spot])
        synthetic = np.flatnonzero(drawn == barcode)[:SYNTHETIC_ROWS]
        stack = np.concatenate([run.patches.read([rows[barcode]]), run.synthetic.read(synthetic)])
        for row, image in enumerate(stack):
            top, left = row * (size + 1) + (row > 0), column * (size + 2)
            sheet[top : top + size, left : left + size] = image[: sheet.shape[0] - top]
    axes.imshow(sheet, interpolation="nearest")
    axes.set_title("Real patches (top row); synthetic ones of the same genes (below)", loc="left")
    axes.axis("off")


def map_panel(axes: Any, run: RunArtefacts, values: np.ndarray, limits: np.ndarray) -> None:
    """Draw a gene on the spots."""
    x, y = run.centres.T
    drawn = axes.scatter(x, y, c=values, s=34, marker="s", vmin=limits[0], vmax=limits[1])
    axes.set_aspect("equal")
    axes.invert_yaxis()
    axes.axis("off")
    plt.colorbar(drawn, ax=axes, shrink=0.6, label="log1p CP10k", location="bottom")


def methods_panel(axes: Any, run: RunArtefacts) -> None:
    """Draw the error of each method with its interval."""
    scores = sorted(run.scores, key=lambda score: -score.mae.value)
    for row, score in enumerate(scores):
        ours = score.method.startswith("c2lst")
        colour = "#b30000" if ours else "#444444"
        axes.plot([score.mae.low, score.mae.high], [row, row], color=colour, lw=1.5)
        axes.plot(score.mae.value, row, "o", color=colour)
    axes.set_yticks(range(len(scores)), [method_name(s.method).label for s in scores])
    axes.set_title("Error (MAE) at the other spots", loc="left")
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(left=False)


if __name__ == "__main__":
    main()
