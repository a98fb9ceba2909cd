"""Drawing maps of whole sections: respaced ancestral steps, or DPM-Solver++."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from c2lst.diffusion.draws import mix_seed
from c2lst.diffusion.noise import NoiseProcess
from c2lst.errors import InputError
from c2lst.superres.loss import between, to_clean
from c2lst.superres.network import Condition, SuperresNetwork
from c2lst.superres.scaling import ExpressionScale
from c2lst.superres.tiles import Tiles

Solver = Literal["ancestral", "dpm++"]
SOLVERS: tuple[Solver, ...] = ("ancestral", "dpm++")
STEPS = 20
"""Sampling steps of the paper."""

Denoise = Callable[[Tensor, int], tuple[Tensor, Tensor]]
"""Maps (x_t, t) of a whole map to x_0 within the data's range, and the variance fraction."""


def draw_map(
    network: SuperresNetwork,
    tiles: Tiles,
    scale: ExpressionScale,
    process: NoiseProcess,
    *,
    genes: int,
    seed: int,
    solver: Solver = "ancestral",
    steps: int = STEPS,
) -> np.ndarray:
    """Draw one map of an area.

    Parameters
    ----------
    network
        In evaluation mode, on the device of the tiles.
    tiles
        Of the area.
    scale
        Of the expression.
    process
        Noise levels that the network was trained on.
    genes
        Number of genes.
    seed
        The map depends on it alone, up to rounding.
    solver
        ``ancestral``, the paper's, with the learned variance; or ``dpm++``, which has none but
        its start.
    steps
        Number of network evaluations.

    Returns
    -------
    numpy.ndarray
        Counts, float32 ``(G, H, W)``.

    Raises
    ------
    InputError
        If the solver is unknown or the steps are none.
    """
    if solver not in SOLVERS or not 2 <= steps <= process.steps:
        raise InputError(
            "sampler", "solver or steps", found=(solver, steps),
            expected=f"{' or '.join(SOLVERS)}, 2 to {process.steps} steps",
        )  # fmt: skip
    alphas, sigmas = process.alphas_sigmas()

    def denoise(noisy: Tensor, timestep: int) -> tuple[Tensor, Tensor]:
        def tile(part: Tensor, condition: Condition) -> tuple[Tensor, Tensor]:
            times = torch.full((len(part),), timestep, device=part.device)
            said = network(part, times, condition)
            clean = to_clean(process, said.target.float(), part, alphas[timestep], sigmas[timestep])
            return clean, said.variance.float()

        clean, variance = tiles.blend(tile, noisy)
        return scale.clamp(clean[None], tiles.base)[0], variance

    generator = torch.Generator().manual_seed(mix_seed(seed, 7))
    start = torch.randn((genes, *tiles.area.shape), generator=generator)
    solve = _ancestral if solver == "ancestral" else _dpm
    with torch.no_grad():
        drawn = solve(denoise, start, process, steps, generator)
    return scale.decode(drawn[None], tiles.base)[0].numpy()


def respaced(process: NoiseProcess, steps: int) -> list[int]:
    """Return the time steps of ``steps`` even strides, from the noisiest to the cleanest."""
    return [int(t) for t in np.linspace(process.steps - 1, 0, steps).round()]


def _ancestral(
    denoise: Denoise, noisy: Tensor, process: NoiseProcess, steps: int, generator: torch.Generator
) -> Tensor:
    """Reverse steps of the respaced process (Nichol and Dhariwal, ICML 2021).

    Bounds of the learned variance are those of the strides that are taken. (diffusers' scheduler
    bounds it by β of the single step.)
    """
    cumulative = process.alphas_sigmas()[0].double() ** 2
    times = respaced(process, steps)
    for number, timestep in enumerate(times):
        clean, fraction = denoise(noisy, timestep)
        if number == len(times) - 1:
            return clean
        here, before = cumulative[timestep], cumulative[times[number + 1]]
        beta = 1 - here / before
        posterior = beta * (1 - before) / (1 - here)
        mean = float(before.sqrt() * beta / (1 - here)) * clean
        mean = mean + float((here / before).sqrt() * (1 - before) / (1 - here)) * noisy
        variance = between(posterior.log().float(), beta.log().float(), fraction.clamp(-1, 1))
        noise = torch.randn(noisy.shape, generator=generator)
        noisy = mean + (0.5 * variance).exp() * noise
    return noisy


def _dpm(
    denoise: Denoise, noisy: Tensor, process: NoiseProcess, steps: int, _: torch.Generator
) -> Tensor:
    from diffusers import DPMSolverMultistepScheduler

    config: dict[str, Any] = process.config() | {"prediction_type": "sample"}
    scheduler = DPMSolverMultistepScheduler(**config)
    scheduler.set_timesteps(steps)
    for timestep in scheduler.timesteps:
        clean, _fraction = denoise(noisy, int(timestep))
        noisy = scheduler.step(clean, timestep, noisy, return_dict=False)[0]
    return noisy
