"""What a training is, said before it starts: size, batch, cost, and the time it will take."""

from __future__ import annotations

import re

import numpy as np
import torch
from torch import nn

from c2lst.devices import device_name
from c2lst.diffusion.batches import Source
from c2lst.diffusion.draws import Draws
from c2lst.diffusion.gradient import BatchGradient, LossFunction
from c2lst.diffusion.numerics import LOW, autocast, precision_on
from c2lst.diffusion.options import TrainSettings
from c2lst.diffusion.processes import Processes
from c2lst.diffusion.watch import StepReport
from c2lst.progress import logger

# Steps after which the time that is left is told.
TIMED = 6

# Dense TFLOP/s of the tensor cores, by makers' data sheets: at 16 bit, and in TF32, in which
# PyTorch computes convolutions of float32.
PEAKS = {
    "B200": (2250, 1100),
    "H200": (989, 494),
    "H100 PCIe": (756, 378),
    "H100": (989, 494),
    "A100": (312, 156),
    "L40S": (362, 183),
    "L4": (121, 60),
    "A10": (125, 62),
    "A6000": (155, 77),
    "RTX 4090": (165, 83),
    "RTX 3090": (71, 36),
}


class Summary:
    """What is said about a training before it starts and while it runs.

    Parameters
    ----------
    label
        Name of the training.
    settings, gradient, processes
        Of the training.
    """

    def __init__(
        self, label: str, settings: TrainSettings, gradient: BatchGradient, processes: Processes
    ) -> None:
        self._label, self._settings = label, settings
        self._gradient, self._processes = gradient, processes
        self._flops: float | None = None
        self._peak: float | None = None
        self._timed = 0

    def start(self, model: nn.Module, loss: LossFunction, source: Source, step: int) -> None:
        """Say the size of the model and of the batch, the cost of an image, and the device."""
        settings, device = self._settings, self._processes.device
        self._flops = cost_per_image(model, loss, source, settings, device)
        self._peak = peak_flops(settings, device)
        trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
        cost = "not known" if self._flops is None else f"{self._flops / 1e9:.3g} GFLOP"
        logger.info(
            "%s: %.3g M of %.3g M parameters train on %s in %s; an image costs %s",
            self._label,
            trained / 1e6,
            sum(p.numel() for p in model.parameters()) / 1e6,
            device_name(device),
            _precision(settings, device),
            cost,
        )
        steps = settings.steps - step
        logger.info(
            "%s: %s steps of %d images, %s in all; a step is %d × %d × %d images"
            " (micro-batch × accumulation × processes)",
            self._label,
            f"{steps:,}",
            settings.batch_size,
            f"{steps * settings.batch_size:,}",
            self._gradient.micro_batch,
            self._gradient.accumulation,
            self._processes.count,
        )

    def note(self, report: StepReport) -> str:
        """Return what stands beside the progress bar; say once how long it will take."""
        share = self._share(report)
        self._timed += 1
        if self._timed == TIMED and report.step < report.steps and self._processes.is_main:
            left = (report.steps - report.step) * self._settings.batch_size / report.images_per_s
            logger.info(
                "%s: about %s at %s images/s%s",
                self._label,
                describe(left),
                _rate(report.images_per_s),
                "" if share is None else f", {share:.0%} of the device's peak",
            )
        peak = "" if share is None else f" · {share:.0%} of peak"
        return f"loss {report.loss:.4f} · {_rate(report.images_per_s)} images/s{peak}"

    def _share(self, report: StepReport) -> float | None:
        if self._flops is None or self._peak is None:
            return None
        return report.images_per_s * self._flops / (self._peak * self._processes.count)


def cost_per_image(
    model: nn.Module,
    loss: LossFunction,
    source: Source,
    settings: TrainSettings,
    device: torch.device,
) -> float | None:
    """Count the floating-point operations of one sample, forward and backward.

    Two samples are put through, which leaves weights and buffers as they were. Counted are
    matrix products, convolutions and attention, a multiplication with its addition as two. A loss
    whose cost changes from step to step says by ``counted`` which loss to count instead of it, and
    its own mean cost relative to that.

    Returns
    -------
    float or None
        FLOP per sample; ``None`` where they cannot be counted.
    """
    from torch.utils.flop_counter import FlopCounterMode

    n = min(2, len(source))
    loss, relative = getattr(loss, "counted", (loss, 1.0))
    buffers = [buffer.clone() for buffer in model.buffers()]
    try:
        batch = {k: v.to(device) for k, v in source.fetch(np.arange(n)).items()}
        with FlopCounterMode(display=False) as counter:
            with autocast(settings, device):
                summed = loss(model, batch, Draws(settings.seed, 0, range(n), device)).sum()
            summed.backward()
        return relative * counter.get_total_flops() / n or None
    except Exception as error:  # a cost that is not known is no reason not to train
        logger.debug("cost per image: %s", error)
        return None
    finally:
        for parameter in model.parameters():
            parameter.grad = None
        for buffer, before in zip(model.buffers(), buffers, strict=True):
            buffer.copy_(before)


def peak_flops(settings: TrainSettings, device: torch.device) -> float | None:
    """Return the peak FLOP/s of the device in the training's precision, if it is known.

    By the data sheets of accelerators. A CPU has none: what a matrix product reaches on it says
    more about what else it is doing.
    """
    if device.type != "cuda":
        return None
    name = device_name(device)
    # To the end of the word: an L40 is no L4, an A10G no A10, an RTX A1000 no A100.
    found = (v for k, v in PEAKS.items() if re.search(rf"{k}(?!\w)", name))
    low, full = next(found, (None, None))
    peak = low if precision_on(device, settings.precision) in LOW else full
    return None if peak is None else peak * 1e12


def _precision(settings: TrainSettings, device: torch.device) -> str:
    """Name the precision, and say where it is not the one asked for."""
    used = precision_on(device, settings.precision)
    lacking = f" (this device has no {settings.precision})"
    return used if used == settings.precision else used + lacking


def describe(seconds: float) -> str:
    """Return a duration in words: ``3 min``, ``14 h``, ``2.5 days``."""
    for unit, length in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 1.5 * length:
            count = seconds / length
            return f"{count:.2g} {unit}" if count < 100 else f"{count:,.0f} {unit}"
    return f"{seconds:.0f} s"


def _rate(images_per_s: float) -> str:
    """Write a rate with three digits or more: ``3.42``, ``1,510``."""
    return f"{images_per_s:,.0f}" if images_per_s >= 100 else f"{images_per_s:.3g}"
