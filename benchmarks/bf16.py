"""What bf16 costs on processors that have no instructions for it, against float32.

    OMP_NUM_THREADS=1 python benchmarks/bf16.py [--rounds 5]

oneDNN, which computes PyTorch's convolutions, is held to fewer instructions than the processor has
(``ONEDNN_MAX_CPU_ISA``), each set in a process of its own. Updates of the preset ``tiny`` on eight
images, bf16 and float32 in turns, processor time; the ratio's median and extremes over the rounds.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time

import numpy as np

LIMITS = {"DEFAULT": "all it has", "AVX512_CORE": "AVX-512, no bf16", "AVX2": "AVX2"}
BATCH = 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        print(json.dumps([update(low=True) / update(low=False) for _ in range(arguments.rounds)]))
        return
    print("| instructions | bf16 takes, of float32's time |\n|---|---|")
    for limit, name in LIMITS.items():
        ratios = sorted(held_to(limit, arguments.rounds))
        print(f"| {name} | {np.median(ratios):.2f}× ({ratios[0]:.2f} to {ratios[-1]:.2f}) |")


def held_to(limit: str, rounds: int) -> list[float]:
    """Measure in a process that is held to a set of instructions."""
    done = subprocess.run(
        [sys.executable, __file__, "--worker", "--rounds", str(rounds)],
        env=os.environ | {"ONEDNN_MAX_CPU_ISA": limit},
        check=True, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    found: list[float] = json.loads(done.stdout)
    return found


def update(*, low: bool) -> float:
    """Return the processor time of a forward and backward pass, the second of two."""
    import torch

    from c2lst.diffusion.unet import build_unet
    from c2lst.settings import load_settings

    torch.manual_seed(0)
    shape = load_settings("tiny").central.shape
    unet = build_unet(shape)
    images = torch.randn(BATCH, 3, shape.size, shape.size)
    timesteps = torch.arange(BATCH) * 100
    seconds = 0.0
    for _ in range(2):
        started = time.process_time()
        with torch.autocast("cpu", torch.bfloat16, enabled=low):
            loss = (unet(images, timesteps).sample - images).square().mean()
        loss.backward()
        seconds = time.process_time() - started
    return seconds


if __name__ == "__main__":
    main()
