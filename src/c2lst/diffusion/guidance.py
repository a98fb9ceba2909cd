"""Classifier-free guidance: how the conditional and the null prediction make one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from c2lst.diffusion.noise import NoiseProcess
from c2lst.diffusion.sampling import Denoiser
from c2lst.errors import InputError
from c2lst.rules import at_least, hold

Branches = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
"""Maps (x_t, t, which images of the request, whether each has its condition) to predictions.

All four have the same length; an image may come twice, with its condition and without.
"""


@dataclass(frozen=True)
class Guidance:
    """How strongly a sampler follows its condition, and at which noise levels.

    Parameters
    ----------
    scale
        s in null + s·(conditional - null) (paper §2.2: 3); 1 is the conditional model, 0 the null
        model.
    interval
        Noise levels σ/α, both ends included, at which to guide; at others the conditional model
        is used as it is (Kynkäänniemi et al., NeurIPS 2024). None guides at all of them.

    Raises
    ------
    InputError
        If the scale is negative or not finite, or the interval is empty.
    """

    scale: float = 3.0
    interval: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        hold(self, "guidance", scale=at_least(0))
        if self.interval is None:
            return
        if len(self.interval) != 2 or not 0 <= self.interval[0] < self.interval[1]:
            raise InputError(
                "guidance",
                "interval",
                found=" to ".join(map(str, self.interval)),
                expected="two noise levels σ/α, LO below HI and neither below 0",
            )

    def scales(self, process: NoiseProcess) -> list[float]:
        """Scale at each time step t = 0 … T-1: ``scale`` inside the interval, 1 outside."""
        if self.interval is None:
            return [self.scale] * process.steps
        alphas, sigmas = process.alphas_sigmas()
        low, high = self.interval
        # Without a signal (α = 0) the level is infinite.
        return [self.scale if low <= level <= high else 1.0 for level in (sigmas / alphas).tolist()]


def guided(conditional: Tensor, null: Tensor, scale: float) -> Tensor:
    """Combine both branches: null + s·(conditional - null).

    Classifier-free guidance as printed in the paper's method; 1 is the conditional model, 0 the
    null model. Being linear, it is the same for noise and for velocity prediction.
    """
    return null + scale * (conditional - null)


def guided_denoiser(branches: Branches, guidance: Guidance, process: NoiseProcess) -> Denoiser:
    """Return a denoiser that evaluates both branches in one batch, and only where both count.

    A step at scale 1 or 0 takes one branch, at half the cost.
    """
    scales = guidance.scales(process)

    def denoise(noisy: Tensor, timestep: int, chosen: slice) -> Tensor:
        scale, count = scales[timestep], len(noisy)
        copies = 1 if scale in (0, 1) else 2
        # A tensor, since a compiled network is compiled again for each new number.
        timesteps = torch.full((copies * count,), timestep, device=noisy.device)
        rows = torch.arange(chosen.start, chosen.stop, device=noisy.device).repeat(copies)
        position = torch.arange(copies * count, device=noisy.device)
        given = position < (0 if scale == 0 else count)
        output = branches(noisy.repeat(copies, 1, 1, 1), timesteps, rows, given).float()
        if copies == 1:
            return output
        conditional, null = output.chunk(2)
        return guided(conditional, null, scale)

    return denoise
