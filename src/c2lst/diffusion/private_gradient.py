"""The gradient of differentially private training (DP-SGD; Abadi et al. 2016, algorithm 1).

In each step every sample takes part by a coin of its own; the gradient of each is cut to a norm of
at most C, and noise of standard deviation σ·C is added to their sum. Coins and noise come from a
secret key: whoever could draw the noise again could take it off the weights. SHAKE-256 of key and
step gives them, so that a run that is resumed, with the key of its checkpoint, repeats to the bit.
"""

from __future__ import annotations

import hashlib
import math
import secrets
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from c2lst.diffusion.ahead import Request
from c2lst.diffusion.batches import Source
from c2lst.diffusion.gradient import BatchGradient, LossFunction
from c2lst.diffusion.numerics import autocast
from c2lst.diffusion.options import TrainSettings
from c2lst.diffusion.private import Mechanism, PrivacySettings, calibrate
from c2lst.diffusion.processes import Processes
from c2lst.errors import InputError

# A checkpoint's numbers are floats, which hold words of 32 bits exactly.
KEY_WORDS = 8


class PrivateGradient(BatchGradient):
    """Computes a noisy gradient to which no sample contributes more than the clipping norm.

    A sample's contribution depends on its own data, the step and the run's seed alone: what is
    drawn for it (turn, noise level, noise) does not change with the samples beside it.

    Parameters
    ----------
    model, weights, loss, source, settings, processes
        As for :class:`BatchGradient`; ``settings.batch_size`` is the mean size of a batch.
    privacy
        What is promised.
    mechanism
        The noise; by default the least that keeps the promise.

    Raises
    ------
    InputError
        If several processes train together, or in fp16: neither is supported.
    """

    BY_SAMPLE = True

    def __init__(
        self,
        model: nn.Module,
        weights: list[nn.Parameter],
        loss: LossFunction,
        source: Source,
        settings: TrainSettings,
        processes: Processes,
        *,
        privacy: PrivacySettings,
        mechanism: Mechanism | None = None,
    ) -> None:
        settings = replace(
            settings, batch_size=min(settings.batch_size, len(source)), compile=False
        )
        super().__init__(model, weights, loss, source, settings, processes)
        if processes.count > 1 or self.scale.used:
            found = "several processes" if processes.count > 1 else "precision fp16"
            raise InputError(
                "differential privacy",
                f"does not work with {found}",
                remedy="adapt in one process, in fp32 or bf16",
            )
        self._samples = len(source)
        self.mechanism = mechanism or calibrate(
            privacy, self._samples, settings.batch_size, settings.steps
        )
        self._bare = self._model = self._copied = _PerSample(model, weights)
        self._key = secrets.token_bytes(4 * KEY_WORDS)

    def state(self) -> dict[str, float]:
        """Return what a run that continues goes on with, the secret key among it."""
        words = np.frombuffer(self._key, dtype="<u4")
        return super().state() | {f"key_{i}": float(word) for i, word in enumerate(words)}

    def restore(self, state: dict[str, float]) -> None:
        """Go on as :meth:`state` said."""
        super().restore(state)
        words = [int(state[f"key_{i}"]) for i in range(KEY_WORDS)]
        self._key = np.array(words, dtype="<u4").tobytes()

    def sampled(self, step: int) -> np.ndarray:
        """Return the samples that take part in a step, each by a coin of its own; int64."""
        coins = _uniform(self._key, f"samples {step}", self._samples)
        return np.flatnonzero(coins < self.mechanism.sampling_rate)

    def compute(self, step: int) -> tuple[float, float] | None:
        """Leave the private gradient of the update after ``step`` in the parameters.

        Returns
        -------
        tuple of float or None
            Mean loss, which is not private and stays where the training data is, and norm of the
            noisy gradient.
        """
        self._step = step
        return super().compute(step)

    def _passes(self, step: int) -> float:
        """Sum the clipped gradients of the samples that take part, a micro-batch at a time."""
        total, chosen = 0.0, self.sampled(step)
        for weight in self._weights:
            weight.grad = torch.zeros_like(weight)
        parts = max(1, math.ceil(len(chosen) / self.micro_batch))
        for positions in np.array_split(np.arange(len(chosen)), parts):
            if len(positions):
                losses, gradients = self._per_sample((step, chosen[positions], positions))
                _add_clipped(self._weights, gradients, self.mechanism.clip)
                # A mean over few samples that is not finite must not stop the noise from coming.
                total += float(losses.nan_to_num(0, 0, 0).sum())
        return total

    def _per_sample(self, request: Request) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Return losses ``(B,)`` and the gradient of each, ``(B, *shape)`` for each weight."""
        device = self._processes.device
        fetched, draws = self._ahead.take(request, None)
        batch = {k: v.to(device) for k, v in fetched.items()}
        with self._copied.copies(len(draws)) as copies:
            with autocast(self._settings, device):
                losses = self._loss(self._model, batch, draws).float()
            gradients = torch.autograd.grad(losses.sum(), copies, materialize_grads=True)
        return losses.detach(), gradients

    def _finish(self) -> float:
        """Add the noise and divide by the mean size of a batch; return the norm."""
        mechanism = self.mechanism
        deviation = mechanism.noise_multiplier * mechanism.clip
        count = sum(weight.numel() for weight in self._weights)
        noise = torch.from_numpy(_normal(self._key, f"noise {self._step}", count))
        parts = noise.split([weight.numel() for weight in self._weights])
        for weight, part in zip(self._weights, parts, strict=True):
            assert weight.grad is not None
            weight.grad += deviation * part.view_as(weight).to(weight)
            weight.grad /= mechanism.sampling_rate * self._samples
        return super()._finish()


class _PerSample(nn.Module):
    """A model that computes each sample of a batch with weights of its own.

    Their gradients are the gradients of each sample, whatever the loss does around the model and
    however the model uses a weight.
    """

    def __init__(self, model: nn.Module, weights: Sequence[nn.Parameter]) -> None:
        super().__init__()
        self.model = model
        names = {id(weight): name for name, weight in model.named_parameters()}
        self._weights = {names[id(weight)]: weight for weight in weights}
        self._copies: tuple[Tensor, ...] = ()

    @contextmanager
    def copies(self, count: int) -> Iterator[tuple[Tensor, ...]]:
        """Give the weights ``count`` times each, ``(count, *shape)``, while the block runs."""
        self._copies = tuple(
            weight.detach().expand(count, *weight.shape).requires_grad_()
            for weight in self._weights.values()
        )
        try:
            yield self._copies
        finally:
            self._copies = ()

    def forward(self, *inputs: object) -> Tensor:
        def single(copies: tuple[Tensor, ...], *row: object) -> Tensor:
            alone = tuple(x.unsqueeze(0) if isinstance(x, Tensor) else x for x in row)
            weights = dict(zip(self._weights, copies, strict=True))
            # Where one module stands in two places, tying its weights would put them in twice.
            output: Tensor = functional_call(self.model, weights, alone, tie_weights=False)
            return output.squeeze(0)

        dims = tuple(0 if isinstance(x, Tensor) else None for x in inputs)
        with warnings.catch_warnings():
            # Attention goes one sample at a time here; the convolutions, which cost most, do not.
            warnings.filterwarnings("ignore", "There is a performance drop")
            output: Tensor = vmap(single, in_dims=(0, *dims))(self._copies, *inputs)
        return output


def _add_clipped(weights: Sequence[nn.Parameter], gradients: Sequence[Tensor], clip: float) -> None:
    """Add each sample's gradient, cut to norm ``clip``; one that is not finite counts nothing."""
    # Apple's GPUs know no float64.
    exact = torch.float32 if gradients[0].device.type == "mps" else torch.float64
    squares = sum(g.flatten(1).to(exact).square().sum(1) for g in gradients)
    norms = torch.as_tensor(squares).sqrt()
    factors = (clip / norms.clamp(min=1e-12)).clamp(max=1.0)
    factors = torch.where(norms.isfinite(), factors, 0.0)
    for weight, gradient in zip(weights, gradients, strict=True):
        assert weight.grad is not None
        finite = gradient.nan_to_num(0, 0, 0)
        weight.grad += torch.tensordot(factors.to(finite), finite, dims=1)


def _uniform(key: bytes, use: str, count: int) -> np.ndarray:
    """Return secret numbers, uniform in (0, 1), float64 ``(count,)``."""
    stream = hashlib.shake_256(key + use.encode()).digest(8 * count)
    # 53 bits and a half: never 0, whose logarithm is not finite, and never 1.
    return ((np.frombuffer(stream, dtype="<u8") >> np.uint64(11)) + 0.5) * 2.0**-53


def _normal(key: bytes, use: str, count: int) -> np.ndarray:
    """Return secret standard normal numbers, float64 ``(count,)`` (Box & Muller 1958)."""
    first, second = np.split(_uniform(key, use, count + count % 2), 2)
    radius, angle = np.sqrt(-2 * np.log(first)), 2 * np.pi * second
    return np.concatenate([radius * np.cos(angle), radius * np.sin(angle)])[:count]
