"""Super-resolution at the published shapes: parameters, time and memory of one update.

Run: python benchmarks/superres.py [--batch 1] [--genes 25] [--precision bf16] [--plain]
"""

from __future__ import annotations

import argparse
import resource
import time
from dataclasses import replace

import torch

from c2lst.devices import best_device
from c2lst.superres.loss import SuperresLoss
from c2lst.superres.network import Condition, SuperresNetwork, count_parameters
from c2lst.superres.presets import load_settings


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", default="paper")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--genes", type=int, default=25)
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--plain", action="store_true", help="keep activations in memory")
    parser.add_argument("--repeats", type=int, default=2)
    options = parser.parse_args()
    settings = replace(load_settings(options.preset), checkpointing=not options.plain)
    device = best_device()
    network = SuperresNetwork(options.genes, settings).to(device)
    loss = SuperresLoss(settings)
    print(
        f"{options.preset}: {count_parameters(network) / 1e6:.2f} M parameters at "
        f"{options.genes} genes; maps of {settings.hr_size} px, {settings.lr_size} spots, "
        f"{settings.crops} crops; batch {options.batch}, {options.precision}, {device.type}, "
        f"{'without' if options.plain else 'with'} checkpointing"
    )
    for repeat in range(options.repeats):
        forward, backward = _step(network, loss, options, device)
        print(f"update {repeat}: forward {forward:.2f} s, backward {backward:.2f} s")
    print(f"memory at most: {_memory(device):.2f} GB")


def _step(
    network: SuperresNetwork,
    loss: SuperresLoss,
    options: argparse.Namespace,
    device: torch.device,
) -> tuple[float, float]:
    settings, batch = loss.settings, options.batch
    side = settings.hr_size

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(batch, *shape, device=device)

    clean, noise = draw(options.genes, side, side), draw(options.genes, side, side)
    told = Condition(
        draw(options.genes, settings.lr_size, settings.lr_size),
        draw(3, side * settings.image_px, side * settings.image_px),
        draw(3, settings.crop_px, settings.crop_px),
    )
    times = torch.randint(settings.process.steps, (batch,), device=device)
    noisy = loss.add_noise(clean, noise, times)
    started = _now(device)
    with torch.autocast(device.type, torch.bfloat16, enabled=options.precision == "bf16"):
        said = network(noisy, times, told)
    total = loss(said, clean, noise, noisy, times).mean()
    middle = _now(device)
    total.backward()
    network.zero_grad(set_to_none=True)
    return middle - started, _now(device) - middle


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def _memory(device: torch.device) -> float:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated() / 1e9
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


if __name__ == "__main__":
    main()
