"""Draw the pictures of README and documentation from the artefacts of a run.

python benchmarks/figure.py RUN -o docs/demo.png
python benchmarks/figure.py RUN -o docs/section.png --no-tissue
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
from c2lst.report.pictures import restained
from c2lst.report.wording import method_name

COLUMNS = 10
SYNTHETIC_ROWS = 3
MARGIN = 0.06
"""Of the extent of the spots, shown around them."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--gene", help="the best predicted by default")
    parser.add_argument(
        "--no-tissue", action="store_true", help="for slides whose pixels may not be passed on"
    )
    arguments = parser.parse_args()
    run = read_artefacts(arguments.run)
    ours = [score for score in run.gene_scores if score.method == DEFAULT_METHOD]
    best = max(ours, key=lambda score: np.nan_to_num(score.pearson, nan=-1.0)).gene
    drawn = (draw_maps if arguments.no_tissue else draw)(run, arguments.gene or best)
    drawn.savefig(arguments.output, dpi=110)


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
    gene_panels(panels, run, gene)
    methods_panel(panels["methods"], run)
    return figure


def draw_maps(run: RunArtefacts, gene: str) -> Any:
    """Draw one gene as it was sequenced, predicted and observed, and the methods."""
    figure, panels = plt.subplot_mosaic(
        [["sequenced", "predicted", "observed", "methods"]],
        figsize=(15, 4.2),
        width_ratios=[1, 1, 1, 0.9],
        layout="constrained",
    )
    gene_panels(panels, run, gene)
    methods_panel(panels["methods"], run)
    return figure


def gene_panels(panels: dict[str, Any], run: RunArtefacts, gene: str) -> None:
    """Draw a gene on the spots, in each panel of its own name."""
    column, train = run.genes.tolist().index(gene), run.role == "train"
    observed = run.observed[:, column]
    limits = np.nanpercentile(observed, [2, 98])
    values = {
        "sequenced": np.where(train, observed, np.nan),
        "predicted": run.predicted[:, column],
        "observed": observed,
    }
    for name, value in values.items():
        if name in panels:
            map_panel(panels[name], run, value, limits)
            spots = f" at {train.sum()} of {len(train)} spots" if name == "sequenced" else ""
            panels[name].set_title(f"{gene}, {name}{spots}", loc="left")


def slide_panel(axes: Any, run: RunArtefacts) -> None:
    """Show the part of the slide that has spots, the sequenced ones ringed."""
    if run.thumbnail is not None:
        axes.imshow(run.thumbnail.image)
        centres = run.centres * run.thumbnail.scale
        low, high = centres.min(axis=0), centres.max(axis=0)
        margin = MARGIN * (high - low).max()
        axes.set_xlim(low[0] - margin, high[0] + margin)
        axes.set_ylim(high[1] + margin, low[1] - margin)
    else:
        centres = run.centres * [1, -1]
    train = run.role == "train"
    axes.scatter(*centres[train].T, s=26, facecolors="none", edgecolors="#00429d", linewidths=1.5)
    axes.set_title(f"{train.sum()} of {len(train)} spots sequenced", loc="left")
    axes.axis("off")


def patch_panel(axes: Any, run: RunArtefacts) -> None:
    """Show real patches in the model's stain, each above synthetic ones of the same genes."""
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
        real = restained(run, run.patches.read([rows[barcode]]))
        stack = np.concatenate([real, run.synthetic.read(synthetic)])
        for row, image in enumerate(stack):
            top, left = row * (size + 1) + (row > 0), column * (size + 2)
            sheet[top : top + size, left : left + size] = image[: sheet.shape[0] - top]
    axes.imshow(sheet, interpolation="nearest")
    axes.set_title("Real patches (top row); synthetic ones of the same genes (below)", loc="left")
    axes.axis("off")


def map_panel(axes: Any, run: RunArtefacts, values: np.ndarray, limits: np.ndarray) -> None:
    """Draw a gene on the spots."""
    x, y = run.centres.T
    missing = np.isnan(values)
    axes.scatter(x[missing], y[missing], s=44, marker="s", c="#eeeeee")
    drawn = axes.scatter(
        x[~missing],
        y[~missing],
        c=values[~missing],
        s=44,
        marker="s",
        vmin=limits[0],
        vmax=limits[1],
    )
    axes.set_aspect("equal")
    axes.invert_yaxis()
    axes.axis("off")
    plt.colorbar(drawn, ax=axes, shrink=0.6, label="log1p CP10k", location="bottom")


def methods_panel(axes: Any, run: RunArtefacts) -> None:
    """Draw how much more each method errs than the default, spot by spot, with its interval."""
    found = [pair for pair in run.comparisons if pair.method == DEFAULT_METHOD]
    found.sort(key=lambda pair: pair.difference.value)
    for row, pair in enumerate(found):
        low, value, high = -pair.difference.high, -pair.difference.value, -pair.difference.low
        axes.plot([low, high], [row, row], color="#444444", lw=1.5)
        axes.plot(value, row, "o", color="#444444")
    own = next(score.mae.value for score in run.scores if score.method == DEFAULT_METHOD)
    axes.axvline(0, color="#b30000", lw=1.5)
    axes.set_yticks(range(len(found)), [method_name(pair.against).label for pair in found])
    axes.set_title(f"MAE above c2lst's {own:.3f}", loc="left")
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(left=False)


if __name__ == "__main__":
    main()
