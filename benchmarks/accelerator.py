r"""What training and sampling cost on this device, for every preset, and what that adds up to.

On a GPU, ten minutes:

    python benchmarks/accelerator.py -o OUT

Written are OUT/accelerator.json and OUT/accelerator.md, the tables of docs/scaling.md, which are
printed, too. Interrupted, the same command goes on behind the last preset that is done. On a GPU
each preset trains as it is and through torch.compile, and draws, uncompiled, by every sampler; on a
processor (one thread, processor time) it trains as it is and draws by the fastest.
The peer is a loop of the kind that diffusers' example for unconditional training has (noise, mean
squared error, clipping, AdamW, its EMAModel) on a network of the same shape, in the same precision;
all else is left as PyTorch has it, where ours has cuDNN try its algorithms and AdamW fused.
Patches come from memory; timed is the lower quartile of the updates; ours and the peer take turns
over some rounds, of which the median and the extremes of the ratio are told.

    python benchmarks/accelerator.py -o OUT --presets tiny small builtin base   # on a processor
    python benchmarks/accelerator.py -o OUT --toy                               # seconds
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import logging
import platform
import resource
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from training import Clock, Images

from c2lst.central import CentralSettings
from c2lst.central.pretraining import DenoisingObjective
from c2lst.devices import best_device, device_name
from c2lst.diffusion.noise import NoiseProcess
from c2lst.diffusion.numerics import autocast, precision_on
from c2lst.diffusion.options import TrainSettings
from c2lst.diffusion.sampling import SAMPLERS, sample_unconditional
from c2lst.diffusion.summary import cost_per_image, describe, peak_flops
from c2lst.diffusion.trainer import train
from c2lst.diffusion.unet import UNetShape, build_unet
from c2lst.errors import InputError
from c2lst.memory import free_memory, is_out_of_memory
from c2lst.progress import logger
from c2lst.settings import load_settings
from c2lst.storage import read_json, whole_file, write_json

PRESETS = ("tiny", "small", "builtin", "base", "paper")
BUILTIN = Path(__file__).with_name("builtin.toml")
WARM_UP = 3
FALLBACKS = ("torch.compile failed", "not enough memory", "too little memory")
UPDATES = {"built-in": 6_200 * 16, "base": 50_000 * 256, "paper": 200_000 * 256}
SPIDER = 400_000
"""Images of whole trainings, where a window of half the side counts as a quarter of one; patches of
the largest collection that the paper trains on."""


def main(words: Sequence[str] | None = None) -> None:
    arguments = parser().parse_args(words)
    device = best_device()
    on_gpu = device.type != "cpu"
    if not on_gpu:
        torch.set_num_threads(1)
    batch = arguments.batch or (256 if on_gpu else 8)
    asked = {name: getattr(arguments, name) for name in ("steps", "rounds", "images")}
    found = begun(
        arguments.output / "accelerator.json", {"machine": machine(device), "batch": batch, **asked}
    )
    done = {(row["preset"], row["compiled"]) for row in found["rows"]}
    for name, compiled in itertools.product(
        ["toy"] if arguments.toy else arguments.presets, [False, True] if on_gpu else [False]
    ):
        if (name, compiled) in done:
            continue
        settings = settings_of(name, compiled)
        row: dict[str, Any] = {"preset": name, "compiled": compiled}
        with fallbacks() as told:
            row |= measured(settings, device, batch, arguments)
        row["fallbacks"] = told
        found["rows"].append(row)
        logger.info("%s", row)
        write_json(arguments.output / "accelerator.json", found)
    text = "\n".join(tables(found)) + "\n"
    with whole_file(arguments.output / "accelerator.md") as partial:
        partial.write_text(text, encoding="utf-8")
    print(text, end="")


def parser() -> argparse.ArgumentParser:
    parsed = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parsed.add_argument("-o", "--output", type=Path, required=True)
    parsed.add_argument("--presets", nargs="+", choices=PRESETS, default=list(PRESETS))
    parsed.add_argument("--batch", type=int, help="images an update; 256 on a GPU, else 8")
    parsed.add_argument("--steps", type=int, default=12, help="timed updates of each")
    parsed.add_argument("--rounds", type=int, default=3, help="in turns with the peer")
    parsed.add_argument("--images", type=int, help="drawn by each sampler; as the batch by default")
    parsed.add_argument("--toy", action="store_true", help="a network of nothing, in seconds")
    return parsed


def begun(path: Path, asked: dict[str, Any]) -> dict[str, Any]:
    """Return what was found so far, with its rows; refuse what was measured in another way."""
    if not path.is_file():
        return {**asked, "rows": []}
    found = read_json(path, required=("rows",))
    for name, expected in asked.items():
        if found.get(name) != expected:
            raise InputError(
                path, f"was measured with another {name}", found=found.get(name),
                expected=expected, remedy="choose a new folder with -o",
            )  # fmt: skip
    return found


@contextmanager
def fallbacks() -> Iterator[list[str]]:
    """Collect what was said of another way than the one that a row is headed by, each once."""
    told: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said = record.getMessage()
            if any(sign in said for sign in FALLBACKS) and said not in told:
                told.append(said)

    listener, level = Listener(), logger.level
    logger.addHandler(listener)
    logger.setLevel(logging.INFO)
    try:
        yield told
    finally:
        logger.removeHandler(listener)
        logger.setLevel(level)


def settings_of(name: str, compiled: bool) -> CentralSettings:
    """Return the settings of a preset, of the built-in model, or of a toy."""
    if name == "toy":
        training = TrainSettings(steps=1)
        return CentralSettings(UNetShape(16, (8, 16), 1, 4), NoiseProcess(), training)
    builtin = name == "builtin"
    central = load_settings("base" if builtin else name, BUILTIN if builtin else None).central
    training = dataclasses.replace(central.training, compile=compiled)
    return dataclasses.replace(central, training=training)


def measured(
    settings: CentralSettings, device: torch.device, batch: int, arguments: argparse.Namespace
) -> dict[str, Any]:
    """Train and draw with one preset; return what it cost."""
    free_memory()  # what the preset before has left is no memory of this one
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    if settings.training.compile:
        # Else a second size of images is compiled for any size, which no training of its own is.
        torch.compiler.reset()
    size, process = settings.shape.size, settings.process
    training = dataclasses.replace(
        settings.training, steps=arguments.steps + WARM_UP, batch_size=batch, tracker="none"
    )
    unet, objective = build_unet(settings.shape).to(device), DenoisingObjective(process)
    flops = cost_per_image(unet, objective, Images(2, size), training, device)
    times: list[float] = []
    ratios: list[float] = []
    memory = 0.0
    for _ in range(arguments.rounds):
        clock = DeviceClock(device)
        train(unet, objective, Images(batch, size), training, watchers=[clock])
        times.append(typical(clock.times))
        memory = memory or memory_gb(device)  # before the peer takes its own
        if not training.compile:
            ratios += peer_ratio(settings, training, device, batch, times[-1])
    ours, peak = float(np.median(times)) / batch, peak_flops(training, device)
    row: dict[str, Any] = {
        "precision": precision_on(device, training.precision),
        "parameters": sum(p.numel() for p in unet.parameters()),
        "windows": settings.windows,
        "train_flop": flops,
        "train_images_s": 1 / ours,
        "sustained_flops": None if flops is None else flops / ours,
        "share_of_peak": None if peak is None or flops is None else flops / ours / peak,
        "memory_gb": memory,
    }
    row |= {"faster_than_peer": sorted(ratios)}
    # The network that draws is the bare one, whatever it was trained through.
    images = 0 if training.compile else arguments.images or batch
    return row | drawn(unet, process, size, device, images)


class DeviceClock(Clock):
    """Takes the time after each update, when the device is done with it."""

    def __init__(self, device: torch.device) -> None:
        super().__init__()
        self._now = now(device)

    def due(self, step: int, steps: int) -> bool:
        """Take the time; nothing is due."""
        self.times.append(self._now())
        return False


def now(device: torch.device) -> Callable[[], float]:
    """Return a clock: wall time of a GPU that is waited for, or time of the processor."""
    if device.type == "cpu":
        return time.process_time

    def waited() -> float:
        torch.get_device_module(device).synchronize()
        return time.perf_counter()

    return waited


def typical(times: Sequence[float]) -> float:
    """Lower quartile of the seconds of an update, without the first ones."""
    return float(np.quantile(np.diff(times)[WARM_UP - 1 :], 0.25))


def drawn(
    unet: nn.Module, process: NoiseProcess, size: int, device: torch.device, images: int
) -> dict[str, Any]:
    """Draw by each sampler, if any images; return images/s, and the cost of one pass."""
    from torch.utils.flop_counter import FlopCounterMode

    unet.eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        unet(torch.zeros(1, 3, size, size, device=device), 0)
    clock, rates, on_gpu = now(device), {}, device.type != "cpu"
    for name in (SAMPLERS if on_gpu else ("fast",)) if images else ():
        for _ in range(2 if on_gpu else 1):  # the first warms up
            started = clock()
            sample_unconditional(
                unet, process, size, range(images), seed=0, sampler=SAMPLERS[name],
                batch_size=images, device=device,
            )  # fmt: skip
            rates[name] = images / (clock() - started)
    return {"pass_flop": float(counter.get_total_flops()), "sample_images_s": rates}


def peer_ratio(
    settings: CentralSettings, training: TrainSettings, device: torch.device, batch: int, own: float
) -> list[float]:
    """Return how much longer the plain loop takes; nothing where its batch does not fit."""
    try:
        return [reference(settings, training, device, batch) / own]
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        logger.info("the plain loop has too little memory for a batch of %d", batch)
        return []


def reference(
    settings: CentralSettings, training: TrainSettings, device: torch.device, batch: int
) -> float:
    """Train by a plain loop over diffusers' parts; return the seconds of an update."""
    from diffusers import DDPMScheduler
    from diffusers.training_utils import EMAModel

    unet = build_unet(settings.shape).to(device).train()
    scheduler = DDPMScheduler(**settings.process.config())
    optimizer = torch.optim.AdamW(unet.parameters(), lr=training.learning_rate)
    average = EMAModel(unet.parameters(), decay=0.999)
    images = Images(batch, settings.shape.size).fetch(np.arange(batch))["images"]
    clock = now(device)
    times = [clock()]
    for _ in range(training.steps):
        clean = (images.to(device).permute(0, 3, 1, 2).float() / 127.5 - 1).contiguous()
        noise = torch.randn_like(clean)
        steps = torch.randint(0, settings.process.steps, (batch,), device=device)
        noisy = scheduler.add_noise(clean, noise, steps)
        velocity = settings.process.prediction == "v_prediction"
        target = scheduler.get_velocity(clean, noise, steps) if velocity else noise
        with autocast(training, device):
            output = unet(noisy, steps).sample
        nn.functional.mse_loss(output.float(), target).backward()
        nn.utils.clip_grad_norm_(unet.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        average.step(unet.parameters())
        times.append(clock())
    return typical(times[1:])


def memory_gb(device: torch.device) -> float:
    """Return the most memory in use so far: of the GPU for this preset, else of the process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated() / 1e9
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if platform.system() == "Linux" else peak / 1e9


def machine(device: torch.device) -> str:
    """Say what was measured on."""
    on_gpu = device.type != "cpu"
    name = device_name(device) if on_gpu else f"{platform.machine()} processor, one thread"
    return f"{name}, torch {torch.__version__.split('+')[0]}"


def tables(found: dict[str, Any]) -> Iterator[str]:
    """Write the tables of docs/scaling.md."""
    yield f"{found['machine']}; batches of {found['batch']}."
    yield ""
    names = list(dict.fromkeys(n for row in found["rows"] for n in row["sample_images_s"]))
    yield (
        "| preset | parameters | precision | GFLOP/image, training | images/s | GFLOP/s | of peak "
        "| memory | against a plain loop | " + " | ".join(f"{n}, images/s" for n in names) + " |"
    )
    yield "|---|" + "---|" * (8 + len(names))
    for row in found["rows"]:
        peer = row["faster_than_peer"]
        cells = [
            row["preset"],
            f"{row['parameters'] / 1e6:.1f} M",
            row["precision"] + (", compiled" if row["compiled"] else ""),
            number(row["train_flop"], 1e9),
            number(row["train_images_s"]),
            number(row["sustained_flops"], 1e9),
            "" if row["share_of_peak"] is None else f"{row['share_of_peak']:.0%}",
            f"{row['memory_gb']:.1f} GB",
            f"{np.median(peer):.2f}× ({peer[0]:.2f} to {peer[-1]:.2f})" if peer else "",
            *(number(row["sample_images_s"].get(name)) for name in names),
        ]
        yield f"| {' | '.join(cells)} |"
    yield ""
    for row in found["rows"]:
        for said in row.get("fallbacks", ()):
            yield f"- {row['preset']}{', compiled' if row['compiled'] else ''}: {said}"
    yield ""
    yield "What that adds up to, by arithmetic:"
    yield ""
    yield (
        "| network | "
        + " | ".join(f"{n}, {i / 1e6:.3g} M images" for n, i in UPDATES.items())
        + (f" | one pass over {SPIDER:,} patches |")
    )
    yield "|---|" + "---|" * (len(UPDATES) + 1)
    for row in found["rows"]:
        rate = row["train_images_s"]
        times = [describe(images / rate) for images in (*UPDATES.values(), SPIDER)]
        how = row["precision"] + (", compiled" if row["compiled"] else "")
        yield f"| {row['preset']}, {how} | {' | '.join(times)} |"


def number(value: float | None, unit: float = 1.0) -> str:
    """Write a number with three digits, or nothing."""
    return "" if value is None else f"{value / unit:,.3g}"


if __name__ == "__main__":
    main()
