"""Drawing images from a denoiser: sampler presets and per-image seeds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from c2lst.diffusion.draws import mix_seed, seeded_normal
from c2lst.diffusion.noise import NoiseProcess
from c2lst.diffusion.numerics import inference
from c2lst.errors import InputError
from c2lst.memory import FittingBatches
from c2lst.progress import progress_bar

RHO = 7.0
COARSEST = 20.0

Denoiser = Callable[[Tensor, int, slice], Tensor]
"""Maps (x_t, t, which images of the request) to the network's prediction."""


@dataclass(frozen=True)
class Sampler:
    """A named way to sample: the solver and the number of its steps."""

    name: str
    solver: Literal["ddim", "dpm++2m"]
    steps: int

    def scheduler(self, process: NoiseProcess) -> Any:
        """Return the diffusers scheduler, set to this sampler's steps.

        All clip the predicted x_0 to the data's range: under the cosine schedule the signal at the
        first step is about 1e-5, and an unclipped x_0 there ends in saturated noise.

        DDIM takes even steps, as the paper's code base does. DPM-Solver++ takes the levels of
        :func:`noise_levels`: with few even steps, the last ones are so long that they smooth fine
        detail away.

        Raises
        ------
        InputError
            If the noise levels do not part into the even steps of DDIM.
        """
        from diffusers import DDIMScheduler, DPMSolverMultistepScheduler

        scheduler: Any
        if self.solver == "ddim":
            self._check_even(process)
            scheduler = DDIMScheduler(**process.config(), clip_sample=True)
            scheduler.set_timesteps(self.steps)
        else:
            scheduler = DPMSolverMultistepScheduler(
                **process.config(), thresholding=True, sample_max_value=1.0
            )
            scheduler.set_timesteps(timesteps=noise_levels(process, self.steps))
        return scheduler

    def _check_even(self, process: NoiseProcess) -> None:
        # The scheduler takes every step for ⌊T / steps⌋ levels, and sets out for others: where
        # these differ, each step leaves the image at another level than the network is told.
        if process.steps % self.steps:
            raise InputError(
                "sampler",
                f"{self.name} takes {self.steps} even steps, which the noise process does not have",
                found=f"{process.steps} noise levels",
                expected=f"a multiple of {self.steps}",
                remedy="use sampler faithful or fast",
            )


def noise_levels(process: NoiseProcess, steps: int) -> list[int]:
    """Choose the time steps of a fast solver, from noisy to clean.

    The first is T-1, where images start as pure noise. The others are spaced as Karras et al.
    (NeurIPS 2022, Eq. 5, ρ = 7) space σ/α, from 20, above which hardly anything is decided, down
    to the finest level. Equal levels are kept apart by one step.
    """
    alphas, sigmas = (values.double().numpy() for values in process.alphas_sigmas())
    ratios = sigmas / np.maximum(alphas, 1e-8)
    wanted = np.linspace(COARSEST ** (1 / RHO), ratios[0] ** (1 / RHO), steps - 1) ** RHO
    found = np.interp(np.log(wanted), np.log(ratios), np.arange(process.steps)).round().astype(int)
    # From the clean end, so that the levels that are pushed apart are pushed towards noise.
    levels = np.maximum.accumulate(found[::-1] - np.arange(steps - 1)) + np.arange(steps - 1)
    return [process.steps - 1, *levels[levels < process.steps - 1][::-1].tolist()]


SAMPLERS = {
    sampler.name: sampler
    for sampler in (
        Sampler("paper", "ddim", 250),
        Sampler("faithful", "dpm++2m", 50),
        Sampler("fast", "dpm++2m", 25),
    )
}


def get_sampler(name: str) -> Sampler:
    """Look a sampler preset up.

    Raises
    ------
    InputError
        If there is none of that name.
    """
    if name not in SAMPLERS:
        raise InputError("sampler", "unknown name", found=name, expected=" or ".join(SAMPLERS))
    return SAMPLERS[name]


@torch.no_grad()
def sample_batches(
    denoise: Denoiser,
    seeds: Sequence[int],
    shape: tuple[int, int, int],
    process: NoiseProcess,
    sampler: Sampler,
    *,
    batch_size: int = 32,
    device: torch.device | str = "cpu",
    label: str = "sample",
) -> Iterator[tuple[slice, Tensor]]:
    """Draw one image per seed, a batch at a time.

    Parameters
    ----------
    denoise
        Predicts the target for a slice of the request.
    seeds
        One per image: image *i* depends on ``seeds[i]`` (and its condition) alone, up to the
        rounding of larger and smaller batches.
    shape
        ``(3, H, W)``.
    process
        The noise process that the network was trained on.
    sampler
        Solver and steps.
    batch_size
        Images at a time, or fewer where they do not fit in memory.

    Yields
    ------
    chosen, images
        Which of the request, and they themselves: ``(B, 3, H, W)`` in [-1, 1], on the CPU.

    Raises
    ------
    InputError
        If not even one image fits in memory.
    """

    def draw(chosen: slice) -> Tensor:
        noisy = seeded_normal(seeds[chosen], shape).to(device)
        return _solve(denoise, noisy, chosen, sampler.scheduler(process))

    with progress_bar(label, len(seeds)) as bar:
        for chosen, images in FittingBatches(batch_size).over(len(seeds), draw):
            yield chosen, images
            bar.advance(len(images))


def sample(
    denoise: Denoiser,
    seeds: Sequence[int],
    shape: tuple[int, int, int],
    process: NoiseProcess,
    sampler: Sampler,
    *,
    batch_size: int = 32,
    device: torch.device | str = "cpu",
) -> Tensor:
    """Draw one image per seed: the batches of :func:`sample_batches` as one tensor.

    Returns
    -------
    Tensor
        ``(len(seeds), 3, H, W)`` in [-1, 1], on the CPU.
    """
    batches = sample_batches(
        denoise, seeds, shape, process, sampler, batch_size=batch_size, device=device
    )
    return torch.cat([torch.empty((0, *shape)), *(images for _, images in batches)])


def sample_unconditional(
    model: nn.Module,
    process: NoiseProcess,
    size: int,
    numbers: Sequence[int],
    *,
    seed: int,
    sampler: Sampler,
    batch_size: int = 32,
    device: torch.device | str = "cpu",
) -> Tensor:
    """Draw the images of the given numbers from a denoiser without conditions.

    Parameters
    ----------
    model
        A diffusers U-Net on ``device``, in evaluation mode.
    size
        Side of the images in px.
    numbers
        Image *i* depends on (seed, i) alone, so that processes can share the numbers out.

    Returns
    -------
    Tensor
        ``(len(numbers), 3, size, size)`` in [-1, 1], on the CPU.
    """

    def denoise(noisy: Tensor, timestep: int, _: slice) -> Tensor:
        output: Tensor = model(noisy, timestep).sample
        return output

    seeds = [mix_seed(seed, number) for number in numbers]
    shape = (3, size, size)
    return sample(denoise, seeds, shape, process, sampler, batch_size=batch_size, device=device)


def _solve(denoise: Denoiser, noisy: Tensor, chosen: slice, scheduler: Any) -> Tensor:
    """Take one batch from noise to images; a multistep scheduler serves one batch only."""
    for timestep in scheduler.timesteps:
        # Half the width is enough to denoise; the solver's own sums stay in full width.
        with inference(noisy.device):
            output = denoise(noisy, int(timestep), chosen)
        noisy = scheduler.step(output.float(), timestep, noisy, return_dict=False)[0]
    return noisy.clamp(-1, 1).cpu()
