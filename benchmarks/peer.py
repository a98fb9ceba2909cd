"""The peer of the benchmarks, run by its own Python: denoising-diffusion-pytorch.

Reads one JSON object a line, does what it says, answers with the seconds of processor time
that it took, on one thread. Its own U-Net with classifier-free guidance, its own diffusion, as its
README uses them.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import time
from importlib.metadata import version
from unittest.mock import MagicMock

import torch

# Its package imports torchvision for reading images, which is not needed here.
for name in ("torchvision", "torchvision.transforms", "torchvision.utils"):
    sys.modules[name] = MagicMock()

from denoising_diffusion_pytorch.classifier_free_guidance import (  # noqa: E402
    GaussianDiffusion,
    Unet,
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--sampling-steps", type=int, default=250)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    unet = Unet(dim=arguments.dim, dim_mults=(1, 2, 4, 8), num_classes=2, cond_drop_prob=0.5)
    diffusion = GaussianDiffusion(
        unet,
        image_size=arguments.size,
        timesteps=1000,
        sampling_timesteps=arguments.sampling_steps,
    )
    optimizer = torch.optim.AdamW(unet.parameters(), lr=1e-4)
    answer(
        parameters=sum(p.numel() for p in unet.parameters()),
        version=version("denoising-diffusion-pytorch"),
    )
    for line in sys.stdin:
        task = json.loads(line)
        precision = (
            torch.autocast("cpu", torch.bfloat16)
            if task["precision"] == "bf16"
            else contextlib.nullcontext()
        )
        if task["do"] == "train":
            images = torch.rand(task["batch"], 3, arguments.size, arguments.size)
            seconds = train(diffusion, optimizer, images, task["steps"], precision)
        else:
            seconds = sample(diffusion, task["images"], precision)
        answer(seconds=seconds)


def train(
    diffusion: GaussianDiffusion,
    optimizer: torch.optim.Optimizer,
    images: torch.Tensor,
    steps: int,
    precision: contextlib.AbstractContextManager,
) -> float:
    """Make ``steps`` updates after one that warms up; return the seconds of one."""
    classes = torch.zeros(len(images), dtype=torch.long)
    started = 0.0
    for step in range(steps + 1):
        if step == 1:
            started = time.process_time()
        with precision:
            loss = diffusion(images, classes=classes)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(diffusion.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    return (time.process_time() - started) / steps


def sample(
    diffusion: GaussianDiffusion, images: int, precision: contextlib.AbstractContextManager
) -> float:
    """Draw images by DDIM with guidance (without, the package fails); return the seconds of one."""
    classes = torch.zeros(images, dtype=torch.long)
    started = time.process_time()
    with precision:
        diffusion.sample(classes=classes, cond_scale=3.0)
    return (time.process_time() - started) / images


def answer(**values: object) -> None:
    sys.__stdout__.write(json.dumps(values) + "\n")
    sys.__stdout__.flush()


if __name__ == "__main__":
    main()
