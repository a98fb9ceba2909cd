"""What a training step costs as the collection grows: steps per second and memory.

A small U-Net is trained on collections of 1 k to 1 M patches that are made when they are fetched,
so that what grows can only be the engine's own cost: the order of the data and what it stores. The
sizes take turns, up and down, in one process. A step's time is the lower quartile of all steps at
that size, so that other work on the machine counts little; ratios are to the smallest collection.

    python benchmarks/scaling.py --steps 60 --rounds 3
"""

from __future__ import annotations

import argparse
import platform
import resource
import time

import numpy as np
import torch
from torch import Tensor

from c2lst.central.pretraining import DenoisingObjective
from c2lst.diffusion.noise import NoiseProcess
from c2lst.diffusion.options import TrainSettings
from c2lst.diffusion.trainer import train
from c2lst.diffusion.unet import UNetShape, build_unet

SHAPE = UNetShape(size=16, widths=(16, 32), layers=1, groups=8)
SIZES = (1_000, 10_000, 100_000, 1_000_000)


class Patches:
    """Random patches, each made from its index."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.fetched_at: list[float] = []

    def __len__(self) -> int:
        return self.count

    def fetch(self, indices: np.ndarray) -> dict[str, Tensor]:
        """Return uint8 patches (n, size, size, 3)."""
        self.fetched_at.append(time.perf_counter())
        shape = (SHAPE.size, SHAPE.size, 3)
        images = [np.random.default_rng(i).integers(0, 256, shape, np.uint8) for i in indices]
        return {"images": torch.from_numpy(np.stack(images))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=16)
    arguments = parser.parse_args()
    settings = TrainSettings(steps=arguments.steps, batch_size=arguments.batch_size)
    step_seconds(1_000, settings)  # the first pays for imports and caches
    seconds: dict[int, list[float]] = {size: [] for size in SIZES}
    memory: dict[int, float] = {}
    for number in range(arguments.rounds):
        for size in SIZES if number % 2 == 0 else SIZES[::-1]:
            seconds[size] += step_seconds(size, settings)
            memory.setdefault(size, peak_memory())
    print(f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    print("patches\tsteps/s\tratio\tpeak memory MB\tratio")
    typical = {size: float(np.quantile(seconds[size], 0.25)) for size in SIZES}
    for size in SIZES:
        print(
            f"{size}\t{1 / typical[size]:.2f}\t{typical[SIZES[0]] / typical[size]:.3f}"
            f"\t{memory[size]:.0f}\t{memory[size] / memory[SIZES[0]]:.3f}"
        )


def step_seconds(size: int, settings: TrainSettings) -> list[float]:
    """Train on ``size`` patches; return the seconds from each batch to the next."""
    torch.manual_seed(0)
    source = Patches(size)
    objective = DenoisingObjective(NoiseProcess())
    train(build_unet(SHAPE), objective, source, settings, label=f"{size}")
    return np.diff(source.fetched_at[2:]).tolist()


def peak_memory() -> float:
    """Return the most memory this process has had so far, in MB; the first round rises in size."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e3 if platform.system() == "Linux" else peak / 1e6


if __name__ == "__main__":
    main()
