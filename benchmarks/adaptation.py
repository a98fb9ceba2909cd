"""Adaptation against full fine-tuning of the same U-Net: speed, and held-out loss at equal steps.

All see the same images, genes and noise, in turns within one run, with one thread. Timed is the
processor's time of an update, which is the wall time of an idle machine.

    c2lst run SLIDE -o RUN --preset tiny
    python benchmarks/adaptation.py RUN

where SLIDE is a simulated tissue (``c2lst simulate``) or any other.
"""

from __future__ import annotations

import argparse
import copy
import platform
from pathlib import Path

import numpy as np
import torch
from torch import nn
from training import Clock

from c2lst.central import CentralModel
from c2lst.data.preprocessing import Preprocessing
from c2lst.data.section import Section
from c2lst.data.split import SpotSplit
from c2lst.diffusion.film import GeneModulatedUNet
from c2lst.diffusion.stopping import EarlyStopping
from c2lst.diffusion.trainer import TrainSettings, train
from c2lst.local.pairs import (
    ConditionalObjective,
    HeldOutObjective,
    HeldOutPairs,
    Pairs,
    held_out_spots,
)

FULL = "full fine-tuning"
UP = "up_blocks.*"
LATE = "mid_block.*, up_blocks.*"
KINDS: dict[str, dict[str, object]] = {
    FULL: {},
    "film, all blocks": {},
    "film, mid and up": {"blocks": LATE},
    "film, up": {"blocks": UP},
    "film, up, null base": {"blocks": UP, "null": "base"},
    "lora 4, all blocks": {"rank": 4},
    "lora 4, up": {"rank": 4, "blocks": UP},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="folder of a finished run")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--precision", default="bf16")
    parser.add_argument("--kinds", nargs="*", choices=KINDS, default=list(KINDS))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    central = CentralModel.load(arguments.run / "central")
    learnt, held_out = _spots(arguments.run)
    about = f"{platform.processor() or platform.machine()}, torch {torch.__version__}, 1 thread"
    print(f"{about}; {central.size} px, batch {arguments.batch}, {arguments.precision}")
    print(f"{len(learnt)} spots learnt from, {len(held_out)} held out, {arguments.steps} steps")
    print("| what trains | weights | ms/image | faster by | held-out loss: start | end | change |")
    print("|---|---|---|---|---|---|---|")
    peer = None
    for name in arguments.kinds:
        network = _network(central, name, learnt.expression.shape[1], arguments.width)
        seconds, losses = _train(network, central, learnt, held_out, arguments, name)
        peer = seconds if name == FULL else peer
        trained = sum(p.numel() for p in network.parameters() if p.requires_grad)
        faster = "" if peer is None else f"{peer / seconds:.2f}×"
        print(
            f"| {name} | {trained / 1e6:.2f} M | {1e3 * seconds / arguments.batch:.1f} | {faster} "
            f"| {losses[0]:.5f} | {losses[-1]:.5f} | {losses[-1] / losses[0] - 1:+.2%} |",
            flush=True,
        )


def _spots(run: Path) -> tuple[Pairs, Pairs]:
    section, split = Section.load(run / "section"), SpotSplit.load(run / "split.json")
    preprocessing = Preprocessing.load(run / "preprocessing.json")
    held_out = held_out_spots(split, 0)
    learnt = [barcode for barcode in split.train if barcode not in held_out]
    return Pairs(section.subset(learnt), preprocessing), Pairs(
        section.subset(held_out), preprocessing
    )


def _network(central: CentralModel, name: str, genes: int, width: int) -> GeneModulatedUNet:
    torch.manual_seed(0)
    if name != FULL:
        return GeneModulatedUNet(central.unet, genes, width, **KINDS[name])
    network = GeneModulatedUNet(copy.deepcopy(central.unet), genes, width)
    # All but the time embedding, whose gradient the modulation leaves out.
    for part, parameter in network.unet.named_parameters():
        parameter.requires_grad_("time_embedding" not in part)
    return network


def _train(
    network: nn.Module,
    central: CentralModel,
    learnt: Pairs,
    held_out: Pairs,
    arguments: argparse.Namespace,
    name: str,
) -> tuple[float, list[float]]:
    """Return the median seconds of an update, and the held-out losses."""
    clock = Clock()
    settings = TrainSettings(
        steps=arguments.steps,
        batch_size=arguments.batch,
        # What a whole network bears is less than what an adapter does.
        learning_rate=1e-4 if name == FULL else 1e-3,
        schedule="cosine",
        ema_decay=0.9,
        precision=arguments.precision,
    )
    history = train(
        network,
        ConditionalObjective(central.process, 0 if "base" in name else 0.2),
        learnt,
        settings,
        watchers=[clock],
        stopping=EarlyStopping(
            HeldOutObjective(central.process),
            HeldOutPairs(held_out, central.process.steps),
            checks=1,
        ),
    )
    return float(np.median(np.diff(clock.times))), history.held_out


if __name__ == "__main__":
    main()
