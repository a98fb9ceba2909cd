"""Training speed against the U-Net of denoising-diffusion-pytorch, at matched parameters.

Both make whole updates (loss, backward, clipping, AdamW; ours also its moving average, its data
and its own order of random numbers) on 64 px images with one thread, in turns within one run.
Timed is the processor's time, which is the wall time of an idle machine.

    python benchmarks/training.py --peer-python PEER/bin/python

where PEER is an environment of its own with denoising-diffusion-pytorch.
"""

from __future__ import annotations

import argparse
import platform
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import nn
from versus import Peer, ratio

from c2lst.central.pretraining import DenoisingObjective
from c2lst.diffusion.noise import NoiseProcess
from c2lst.diffusion.trainer import TrainSettings, train
from c2lst.diffusion.unet import UNetShape, build_unet
from c2lst.diffusion.watch import StepReport

WIDTHS = (64, 128, 256, 464)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer-python", type=Path, required=True)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=3, help="timed updates in a round")
    parser.add_argument("--dim", type=int, default=64, help="width of the peer")
    parser.add_argument("--widths", type=int, nargs="*", default=WIDTHS, help="our widths")
    parser.add_argument("--layers", type=int, default=1, help="our residual blocks a scale")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    peer = Peer(arguments.peer_python, "--dim", str(arguments.dim), "--size", str(arguments.size))
    shape = UNetShape(arguments.size, tuple(arguments.widths), arguments.layers, groups=16)
    unet = build_unet(shape)
    count = sum(p.numel() for p in unet.parameters())
    times: dict[tuple[str, str], list[float]] = {}
    for _ in range(arguments.rounds):
        for precision in ("fp32", "bf16"):
            task = {"precision": precision, "steps": arguments.steps, "batch": arguments.batch}
            theirs = peer.seconds(do="train", **task)
            times.setdefault(("peer", precision), []).append(theirs / arguments.batch)
            times.setdefault(("c2lst", precision), []).append(step(unet, **task) / arguments.batch)
    peer.close()
    about = f"{platform.processor() or platform.machine()}, torch {torch.__version__}, 1 thread"
    print(f"{about}; {arguments.size} px, batch {arguments.batch}, {arguments.rounds} rounds")
    print(
        f"c2lst {count / 1e6:.1f} M parameters, denoising-diffusion-pytorch "
        f"{peer.about['version']} {peer.about['parameters'] / 1e6:.1f} M "
        f"({count / peer.about['parameters'] - 1:+.0%})"
    )
    print("| precision | c2lst, ms/image | peer, ms/image | c2lst is faster by |")
    print("|---|---|---|---|")
    for ours, theirs in (("fp32", "fp32"), ("bf16", "bf16"), ("bf16", "fp32")):
        a, b = times["c2lst", ours], times["peer", theirs]
        label = ours if ours == theirs else f"{ours}, the peer as it comes ({theirs})"
        medians = f"{1e3 * np.median(a):.0f} | {1e3 * np.median(b):.0f}"
        print(f"| {label} | {medians} | {ratio(b, a)} |")


class Clock:
    """Watches a training by looking at the time after each step, and at nothing else."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def due(self, step: int, steps: int) -> bool:
        """Take the time; nothing is due."""
        self.times.append(time.process_time())
        return False

    def watch(self, model: nn.Module, report: StepReport) -> Mapping[str, float | np.ndarray]:
        """Never called."""
        return {}


class Images:
    """As many random patches as a batch takes."""

    def __init__(self, n: int, size: int) -> None:
        self._images = torch.randint(0, 256, (n, size, size, 3), dtype=torch.uint8)

    def __len__(self) -> int:
        return len(self._images)

    def fetch(self, indices: np.ndarray) -> dict[str, torch.Tensor]:
        """Return the patches at ``indices``."""
        return {"images": self._images[indices]}


def step(unet: nn.Module, *, precision: str, steps: int, batch: int) -> float:
    """Train by the package's own loop; return the seconds of an update, without the first."""
    clock = Clock()
    train(
        unet,
        DenoisingObjective(NoiseProcess()),
        Images(batch, unet.config.sample_size),
        TrainSettings(steps=steps + 1, batch_size=batch, precision=precision),
        watchers=[clock],
    )
    return (clock.times[-1] - clock.times[0]) / steps


if __name__ == "__main__":
    main()
