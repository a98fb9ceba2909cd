"""The loss: distance of target and prediction, variational term of the learned variance."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from c2lst.diffusion.noise import NoiseProcess
from c2lst.superres.network import Denoised
from c2lst.superres.settings import SuperresSettings

_EPSILON = 1e-6


class SuperresLoss:
    """mean √((target − predicted)² + 10⁻⁶) + w · disentangling + variational term.

    The variational term is that of Nichol and Dhariwal (ICML 2021, Eq. 14 to 16): the network
    gives a fraction between the two bounds of the reverse step's log variance, and the term moves
    the variance alone. Its weight is that paper's L_simple + 0.001·L_vlb at 1000 levels.

    Parameters
    ----------
    settings
        Noise process, distance, weights.
    """

    def __init__(self, settings: SuperresSettings) -> None:
        self.settings, self.process = settings, settings.process
        self.alphas, self.sigmas = settings.process.alphas_sigmas()
        cumulative = self.alphas.double() ** 2
        before = torch.cat([torch.ones(1, dtype=torch.float64), cumulative[:-1]])
        beta = 1 - cumulative / before
        posterior = beta * (1 - before) / (1 - cumulative)
        # At the first level the posterior has no width: the next one's bounds it.
        posterior[0] = posterior[1]
        self.log_low, self.log_high = posterior.log().float(), beta.log().float()
        self.of_clean = (before.sqrt() * beta / (1 - cumulative)).float()
        self.of_noisy = ((cumulative / before).sqrt() * (1 - before) / (1 - cumulative)).float()

    def add_noise(self, clean: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """Return x_t for maps ``(B, G, H, W)`` and time steps ``(B,)``."""
        alpha, sigma = _at(self.alphas, timesteps), _at(self.sigmas, timesteps)
        return alpha * clean + sigma * noise

    def __call__(
        self, said: Denoised, clean: Tensor, noise: Tensor, noisy: Tensor, timesteps: Tensor
    ) -> Tensor:
        """Return the loss per map, shape ``(B,)``."""
        alpha, sigma = _at(self.alphas, timesteps), _at(self.sigmas, timesteps)
        velocity = self.process.prediction == "v_prediction"
        target = alpha * noise - sigma * clean if velocity else noise
        predicted = said.target.float()
        squared = (predicted - target).square()
        distance = squared if self.settings.distance == "squared" else (squared + _EPSILON).sqrt()
        total = distance.mean(dim=(1, 2, 3)) + self.settings.disentangling * said.disentangling
        told = to_clean(self.process, predicted.detach(), noisy, alpha, sigma)
        return total + self._variational(said.variance.float(), told, clean, noisy, timesteps)

    def _variational(
        self, variance: Tensor, told: Tensor, clean: Tensor, noisy: Tensor, timesteps: Tensor
    ) -> Tensor:
        """KL of the true reverse step from the predicted one, in bits, weighted."""
        low, high = _at(self.log_low, timesteps), _at(self.log_high, timesteps)
        log_variance = between(low, high, variance)
        difference = _at(self.of_clean, timesteps) * (clean - told)
        divergence = 0.5 * (
            log_variance - low + (low - log_variance).exp()
            + difference.square() * (-log_variance).exp() - 1
        )  # fmt: skip
        bits = divergence.mean(dim=(1, 2, 3)) / math.log(2)
        return bits * self.process.steps / 1000


def to_clean(
    process: NoiseProcess, predicted: Tensor, noisy: Tensor, alpha: Tensor, sigma: Tensor
) -> Tensor:
    """Return x_0 for what a network predicts."""
    if process.prediction == "v_prediction":
        return alpha * noisy - sigma * predicted
    return (noisy - sigma * predicted) / alpha


def between(low: Tensor, high: Tensor, fraction: Tensor) -> Tensor:
    """Return the log variance for a fraction in [-1, 1] between its bounds."""
    share = (fraction + 1) / 2
    return share * high + (1 - share) * low


def _at(values: Tensor, timesteps: Tensor) -> Tensor:
    return values.to(timesteps.device)[timesteps].view(-1, 1, 1, 1)
