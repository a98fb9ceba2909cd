"""Draw the figures of ``docs/science.md`` from a run.

make demo
python docs/figures/draw.py demo/run -o docs/figures
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import torch

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from c2lst.central import CentralModel
from c2lst.diffusion.draws import seeded_normal
from c2lst.diffusion.noise import to_uint8
from c2lst.diffusion.sampling import get_sampler
from c2lst.explorer import Choice, Explorer

SHOWN = (0, 8, 12, 16, 20, 25)
SCALES = (0.0, 1.0, 2.0, 3.0)
SPOTS = 4


def main() -> None:
    """Write ``central.png`` and ``guidance.png``."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    arguments = parser.parse_args()
    from_noise(CentralModel.load(arguments.run / "central"), arguments.output / "central.png")
    with_genes(Explorer.open(arguments.run), arguments.output / "guidance.png")


@torch.no_grad()
def from_noise(central: CentralModel, path: Path) -> None:
    """Show three patches of the central model between noise and image."""
    scheduler = get_sampler("fast").scheduler(central.process)
    noisy = seeded_normal([1, 2, 3], (3, central.size, central.size))
    kept = [noisy]
    for timestep in scheduler.timesteps:
        output = central.unet(noisy, timestep).sample
        noisy = scheduler.step(output, timestep, noisy, return_dict=False)[0]
        kept.append(noisy)
    shown = np.stack([to_uint8(kept[step].clamp(-1, 1)).numpy() for step in SHOWN], axis=1)
    titles = ["noise", *(f"step {step}" for step in SHOWN[1:])]
    grid(shown, titles, [""] * len(shown), path)


def with_genes(explorer: Explorer, path: Path) -> None:
    """Show spots along the first programme, drawn for their genes more and more strongly."""
    order = np.argsort(explorer.score(explorer.handles.names[0]))
    rows = order[(np.linspace(0.05, 0.95, SPOTS) * (len(order) - 1)).astype(int)]
    shown = []
    for row in rows:
        spot = explorer.spots[row]
        views = [explorer.view(Choice(spot, noises=1, guidance=scale)) for scale in SCALES]
        shown.append([views[0].real, *(view.own[0] for view in views)])
    titles = ["real", "without genes", *(f"scale {scale:g}" for scale in SCALES[1:])]
    grid(np.array(shown), titles, [f"spot {explorer.spots[row]}" for row in rows], path)


def grid(images: np.ndarray, titles: list[str], names: list[str], path: Path) -> None:
    """Lay images (rows, columns, S, S, 3) out under titles."""
    count = images.shape[:2]
    figure, axes = plt.subplots(
        *count, figsize=(1.3 * count[1], 1.3 * count[0] + 0.3), layout="constrained", squeeze=False
    )
    for row, name, line in zip(axes, names, images, strict=True):
        for panel, image in zip(row, line, strict=True):
            bare(panel, image)
        row[0].set_ylabel(name, fontsize=9)
    for panel, title in zip(axes[0], titles, strict=True):
        panel.set_title(title, fontsize=9)
    figure.savefig(path, dpi=100)
    plt.close(figure)


def bare(panel: Any, image: np.ndarray) -> None:
    """Show an image without ticks and frame."""
    panel.imshow(image)
    panel.set(xticks=[], yticks=[])
    panel.spines[:].set_visible(False)


if __name__ == "__main__":
    main()
