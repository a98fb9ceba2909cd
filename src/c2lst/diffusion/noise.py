"""The noise process and the loss of a denoiser.

Forward process (paper Eq. 1-2): x_t = α_t x_0 + σ_t ε with α_t² + σ_t² = 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from c2lst.errors import InputError
from c2lst.rules import above, hold, one_of, whole

if TYPE_CHECKING:
    from diffusers import DDPMScheduler

Prediction = Literal["epsilon", "v_prediction"]
Weight = Literal["min_snr", "min_snr_plus_one"]
SCHEDULES = ("linear", "scaled_linear", "squaredcos_cap_v2", "sigmoid")
"""Names of diffusers' β schedules, but for ``laplace``: it neither begins nor ends near the clean
image and the noise, and what is sampled from it lacks nearly all fine detail."""
_OF_TRAINING_ALONE = ("sigmoid",)
"""Those that its schedulers for training know by name, and its solvers do not."""

_WHERE = "noise process"


@dataclass(frozen=True)
class NoiseProcess:
    """Noise schedule, prediction target and loss weight.

    Parameters
    ----------
    steps
        Number of noise levels T. The paper leaves T open; 1000 is ours.
    schedule
        Name of diffusers' β schedule; ``squaredcos_cap_v2`` is the cosine schedule. Open in the
        paper.
    prediction
        What the network predicts: ``epsilon`` (the paper, Eq. 6) or ``v_prediction``
        (v = α ε - σ x_0), which has no singularity at the first sampling step.
    min_snr_gamma
        γ of the min-SNR loss weight (5 in the paper; Hang et al., ICCV 2023).
    zero_snr
        Rescale the schedule so that nothing of the image is left at t = T-1 (Lin et al., WACV
        2024), where sampling starts. Needs velocity prediction: from pure noise, the noise says
        nothing about the image.
    weight
        ``min_snr`` weighs the error of x_0 by min(SNR, γ), which vanishes where sampling starts;
        ``min_snr_plus_one`` by min(SNR + 1, γ), which doesn't, and needs velocity prediction.

    Raises
    ------
    InputError
        If a value is out of range, or noise prediction is asked for with what needs velocity
        prediction.
    """

    steps: int = 1000
    schedule: str = "squaredcos_cap_v2"
    prediction: Prediction = "epsilon"
    min_snr_gamma: float = 5.0
    zero_snr: bool = False
    weight: Weight = "min_snr"

    def __post_init__(self) -> None:
        hold(
            self,
            _WHERE,
            steps=whole(2),
            schedule=one_of(SCHEDULES),
            prediction=one_of(Prediction),
            min_snr_gamma=above(0),
            weight=one_of(Weight),
        )
        for field, needs_velocity in (
            ("zero_snr", self.zero_snr),
            ("weight", self.weight == "min_snr_plus_one"),
        ):
            if needs_velocity and self.prediction != "v_prediction":
                raise InputError(
                    _WHERE,
                    f"{field} {getattr(self, field)} with {self.prediction} prediction",
                    expected="v_prediction",
                    remedy="from pure noise, the predicted noise does not determine an image",
                )

    def scheduler(self) -> DDPMScheduler:
        """Return the process as a diffusers scheduler, clipping the predicted x_0 to the data."""
        from diffusers import DDPMScheduler

        return DDPMScheduler(**self.config(), clip_sample=True)

    def config(self) -> dict[str, Any]:
        """Return what every diffusers scheduler of this process is made with."""
        from diffusers import DDPMScheduler

        schedule: dict[str, Any] = {
            "num_train_timesteps": self.steps,
            "beta_schedule": self.schedule,
        }
        if self.schedule in _OF_TRAINING_ALONE:
            schedule["trained_betas"] = DDPMScheduler(**schedule).betas.tolist()
        return schedule | {
            "prediction_type": self.prediction,
            "timestep_spacing": "trailing",
            "rescale_betas_zero_snr": self.zero_snr,
        }

    def alphas_sigmas(self) -> tuple[Tensor, Tensor]:
        """Return α_t and σ_t for t = 0 … T-1, each of shape ``(T,)``."""
        cumulative = self.scheduler().alphas_cumprod
        return cumulative.sqrt(), (1 - cumulative).sqrt()


class DenoisingLoss:
    """Draw noise levels and noise for clean images; score a network's prediction.

    The loss per image is the mean squared error of the predicted target times the min-SNR weight
    min(SNR, γ)/SNR for noise prediction, which is min(SNR, γ)/(SNR + 1) for velocity: the same
    weight on the error of x_0, since ε - ε' = -(x_0 - x_0')·√SNR and v - v' = -(x_0 - x_0')/σ.
    """

    def __init__(self, process: NoiseProcess) -> None:
        self.process = process
        self.alphas, self.sigmas = process.alphas_sigmas()
        snr = (self.alphas / self.sigmas) ** 2
        on_clean = snr + 1 if process.weight == "min_snr_plus_one" else snr
        to_target = snr + 1 if process.prediction == "v_prediction" else snr
        self.weights = on_clean.clamp(max=process.min_snr_gamma) / to_target

    def add_noise(self, clean: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """Return x_t for images of shape ``(B, C, H, W)`` and time steps ``(B,)``."""
        alpha, sigma = self._at(timesteps, clean)
        return alpha * clean + sigma * noise

    def __call__(self, output: Tensor, clean: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """Return the weighted squared error per image, shape ``(B,)``."""
        if self.process.prediction == "v_prediction":
            alpha, sigma = self._at(timesteps, clean)
            target = alpha * noise - sigma * clean
        else:
            target = noise
        error = (output.float() - target).square().mean(dim=(1, 2, 3))
        self.weights = self.weights.to(error.device)
        return error * self.weights[timesteps]

    def _at(self, timesteps: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        shape = (-1, 1, 1, 1)
        # There they stay: a copy from the CPU waits for all that the device has still to compute.
        self.alphas, self.sigmas = (t.to(like.device) for t in (self.alphas, self.sigmas))
        return self.alphas[timesteps].view(shape), self.sigmas[timesteps].view(shape)


def to_unit_range(images: Tensor) -> Tensor:
    """Map uint8 RGB images ``(B, H, W, 3)`` to floats in [-1, 1] of shape ``(B, 3, H, W)``."""
    # Contiguous: in the strides of the file, convolutions and norms convert back and forth.
    return images.permute(0, 3, 1, 2).contiguous().float() / 127.5 - 1


def to_uint8(images: Tensor) -> Tensor:
    """Map floats in [-1, 1] of shape ``(B, 3, H, W)`` to uint8 RGB images ``(B, H, W, 3)``."""
    scaled = ((images.float().clamp(-1, 1) + 1) * 127.5).round()
    return scaled.to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def windows(images: Tensor, side: int, top: Tensor, left: Tensor) -> Tensor:
    """Cut ``side`` px square out of each image ``(B, C, H, W)``, starting at ``(top, left)``."""
    steps = torch.arange(side, device=images.device)
    rows, columns = (first.to(images.device)[:, None] + steps for first in (top, left))
    return _px(images, rows[:, :, None] * images.shape[3] + columns[:, None])


def dihedral(images: Tensor, choice: Tensor) -> Tensor:
    """Turn and mirror each square image ``(B, C, H, W)`` by one of eight ways, ``choice`` (B,)."""
    upright = torch.arange(images.shape[2:].numel(), device=images.device).view(images.shape[2:])
    turned = [torch.rot90(upright, way) for way in range(4)]
    ways = torch.stack([*turned, *(way.flip(1) for way in turned)])
    # In the strides that the images had.
    return torch.empty_like(images).copy_(_px(images, ways[choice.to(images.device)]))


def _px(images: Tensor, places: Tensor) -> Tensor:
    """Return the px of each image ``(B, C, H, W)`` at ``places`` (B, h, w), numbered by row.

    No number is read back on the way: the CPU would wait for all that the device has to compute.
    """
    flat = images.flatten(2)
    chosen = places.flatten(1)[:, None].expand(-1, flat.shape[1], -1)
    return flat.gather(2, chosen).unflatten(2, places.shape[1:])
