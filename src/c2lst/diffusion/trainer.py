"""The one training loop: optimiser steps, effective batch, EMA, warm-up, exact resume.

A *step* is one optimiser update on the effective batch, whatever the number of processes or
micro-batches. All randomness is a function of ``(seed, step, position in the effective batch)``
(:mod:`c2lst.diffusion.draws`), so a checkpoint needs no random state: weights, averaged weights,
optimiser moments and the number of the step restore a run exactly.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from c2lst.diffusion.checkpoint import (
    Checkpoint,
    TrainHistory,
    latest_checkpoint,
    save_checkpoint,
)
from c2lst.diffusion.draws import Draws, mix_seed
from c2lst.errors import InputError
from c2lst.progress import logger, progress_bar

MAX_BAD_STEPS = 5
LOG_EVERY = 10


class Source(Protocol):
    """Samples that can be fetched by index, in any order."""

    def __len__(self) -> int:
        """Return the number of samples."""

    def fetch(self, indices: np.ndarray) -> dict[str, Tensor]:
        """Return the samples at ``indices``; the first axis of each tensor is the sample."""


LossFunction = Callable[[nn.Module, dict[str, Tensor], Draws], Tensor]
"""Maps (model, batch, randomness) to a loss per sample, shape ``(B,)``."""


@dataclass(frozen=True)
class TrainSettings:
    """How to train.

    Parameters
    ----------
    steps
        Optimiser updates.
    batch_size
        Effective batch: samples per optimiser update over all processes and micro-batches.
    micro_batch
        Most samples in one forward pass; ``None`` for the whole share of a process.
    learning_rate, weight_decay, beta2
        Of AdamW.
    warmup
        Share of the steps with linearly rising learning rate.
    schedule
        After the warm-up: ``constant``, or ``cosine`` down to a hundredth.
    ema_decay
        Decay of the exponential moving average of the weights, which ramps up as in diffusers;
        ``None`` for no average.
    grad_clip
        Largest norm of the gradient.
    precision
        ``fp32``, or ``bf16`` autocast.
    checkpoint_every
        Steps between checkpoints.
    seed
        Of data order and all noise.
    """

    steps: int
    batch_size: int = 32
    micro_batch: int | None = None
    learning_rate: float = 1e-4
    weight_decay: float = 1e-2
    beta2: float = 0.999
    warmup: float = 0.03
    schedule: Literal["constant", "cosine"] = "constant"
    ema_decay: float | None = 0.999
    grad_clip: float = 1.0
    precision: Literal["fp32", "bf16"] = "fp32"
    checkpoint_every: int = 250
    seed: int = 0

    def __post_init__(self) -> None:
        if self.steps < 1 or self.batch_size < 1 or self.checkpoint_every < 1:
            raise InputError(
                "training settings",
                "steps, batch_size and checkpoint_every",
                found=(self.steps, self.batch_size, self.checkpoint_every),
                expected="positive numbers",
            )
        if not 0 <= self.warmup < 1:
            raise InputError(
                "training settings", "warmup", found=self.warmup, expected="a share in [0, 1)"
            )

    def learning_rate_at(self, step: int) -> float:
        """Learning rate of the update with number ``step`` (from 0)."""
        rising = max(1, round(self.warmup * self.steps)) if self.warmup else 0
        if step < rising:
            return self.learning_rate * (step + 1) / rising
        if self.schedule == "constant":
            return self.learning_rate
        done = (step - rising) / max(1, self.steps - rising)
        return self.learning_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done)))


def batch_indices(length: int, settings: TrainSettings, step: int) -> np.ndarray:
    """Return the samples of one effective batch: each epoch is a fresh seeded permutation."""
    first = step * settings.batch_size
    positions = np.arange(first, first + settings.batch_size)
    epochs = positions // length
    indices = np.empty(settings.batch_size, dtype=np.int64)
    for epoch in np.unique(epochs):
        order = np.random.default_rng((settings.seed, int(epoch))).permutation(length)
        chosen = epochs == epoch
        indices[chosen] = order[positions[chosen] % length]
    return indices


def train(
    model: nn.Module,
    loss: LossFunction,
    source: Source,
    settings: TrainSettings,
    *,
    directory: Path | None = None,
    label: str = "train",
) -> TrainHistory:
    """Train the parameters of ``model`` that require gradients; it ends with the averaged weights.

    Parameters
    ----------
    model
        Trained in place, and moved to the device in use.
    loss
        Loss per sample.
    source
        The training samples.
    settings
        Steps, batch, rates.
    directory
        Where checkpoints go. A run that was interrupted there continues, and ends bit for bit as
        if it had not been interrupted (one process, same machine).
    label
        What the progress bar says.

    Raises
    ------
    InputError
        If there are no samples, the checkpoint is of other settings, or the loss stays non-finite.
    """
    if len(source) == 0:
        raise InputError(label, "no training samples")
    with torch.random.fork_rng():
        return _Run(model, loss, source, settings, directory, label).finish()


class _Run:
    """One training run: its optimiser, its average, its place in the data."""

    def __init__(
        self,
        model: nn.Module,
        loss: LossFunction,
        source: Source,
        settings: TrainSettings,
        directory: Path | None,
        label: str,
    ) -> None:
        from accelerate import Accelerator
        from diffusers.training_utils import EMAModel

        self.settings, self.source, self.loss = settings, source, loss
        self.directory, self.label = directory, label
        self.accelerator = Accelerator()
        self.bare = model.to(self.accelerator.device)
        self.trainable = {n: p for n, p in self.bare.named_parameters() if p.requires_grad}
        optimizer = torch.optim.AdamW(
            self.trainable.values(),
            lr=settings.learning_rate,
            betas=(0.9, settings.beta2),
            weight_decay=settings.weight_decay,
            fused=True,
        )
        self.average = (
            None
            if settings.ema_decay is None
            else EMAModel(self.trainable.values(), decay=settings.ema_decay, foreach=True)
        )
        self.optimizer = optimizer
        self.history = TrainHistory()
        self.step = self._resume()
        # The optimiser is used as it is: it holds the parameters of the bare model, on its device.
        self.model = self.accelerator.prepare(self.bare)

    # -- state ---------------------------------------------------------------------------------

    def _checkpoint(self) -> Checkpoint:
        return Checkpoint(
            step=self.step,
            settings=asdict(self.settings) | {"samples": len(self.source)},
            weights=self.trainable,
            buffers=dict(self.bare.named_buffers()),
            average=self.average,
            optimizer=self.optimizer,
            history=self.history,
        )

    def _resume(self) -> int:
        self.step = 0
        found = latest_checkpoint(self.directory) if self.directory else None
        if found is None:
            return 0
        self._checkpoint().restore(found)
        step = int(found.name.rsplit("-", 1)[1])
        logger.info("%s: continuing at step %d of %d", self.label, step, self.settings.steps)
        return step

    # -- steps ---------------------------------------------------------------------------------

    def finish(self) -> TrainHistory:
        settings = self.settings
        self.model.train()
        bad = 0
        with progress_bar(self.label, settings.steps, completed=self.step) as bar:
            while self.step < settings.steps:
                value = self._update()
                bad = 0 if math.isfinite(value) else bad + 1
                self._stop_if_hopeless(bad)
                self.step += 1
                ends = self.step % LOG_EVERY == 0 or self.step == settings.steps
                self.history.add(self.step, value, close=ends)
                bar.advance(note=f"loss {value:.4f}")
                # The last one too: a caller with several trainings resumes after those that ended.
                if self.step % settings.checkpoint_every == 0 or self.step == settings.steps:
                    self._save()
        if self.average is not None:
            self.average.copy_to(self.trainable.values())
        self.bare.eval()
        return self.history

    def _save(self) -> None:
        if self.directory is not None and self.accelerator.is_main_process:
            save_checkpoint(self.directory, self._checkpoint())
        self.accelerator.wait_for_everyone()

    def _stop_if_hopeless(self, bad: int) -> None:
        if bad >= MAX_BAD_STEPS:
            raise InputError(
                self.label,
                f"loss or gradient was not finite {bad} steps in a row (step {self.step})",
                remedy="lower the learning rate or use precision fp32, then start again",
            )

    def _update(self) -> float:
        """Make one optimiser update; return its mean loss, NaN where it was skipped."""
        settings, accelerator = self.settings, self.accelerator
        rate = settings.learning_rate_at(self.step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        # Layers with randomness of their own (dropout) are a function of the step, too.
        torch.manual_seed(mix_seed(settings.seed, self.step, accelerator.process_index))
        total = torch.zeros((), device=accelerator.device)
        chunks = list(self._chunks())
        for number, positions in enumerate(chunks):
            last = number == len(chunks) - 1
            with contextlib.nullcontext() if last else accelerator.no_sync(self.model):
                summed = self._chunk_loss(positions)
                # DDP averages gradients over processes; the effective batch wants their sum.
                accelerator.backward(summed * accelerator.num_processes / settings.batch_size)
            total += summed.detach()
        norm = accelerator.clip_grad_norm_(list(self.trainable.values()), settings.grad_clip)
        mean = float(accelerator.reduce(total, "sum")) / settings.batch_size
        if not (math.isfinite(mean) and math.isfinite(float(norm))):
            self.optimizer.zero_grad(set_to_none=True)
            return math.nan
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if self.average is not None:
            self.average.step(self.trainable.values())
        return mean

    def _chunks(self) -> Iterator[np.ndarray]:
        """Split this process's share of the effective batch into micro-batches."""
        accelerator, size = self.accelerator, self.settings.batch_size
        share = np.arange(size)[accelerator.process_index :: accelerator.num_processes]
        most = self.settings.micro_batch or max(1, len(share))
        for start in range(0, len(share), most):
            yield share[start : start + most]

    def _chunk_loss(self, positions: np.ndarray) -> Tensor:
        indices = batch_indices(len(self.source), self.settings, self.step)[positions]
        device = self.accelerator.device
        batch = {k: v.to(device) for k, v in self.source.fetch(indices).items()}
        draws = Draws(self.settings.seed, self.step, positions.tolist(), device)
        enabled = self.settings.precision == "bf16"
        with torch.autocast(device.type, torch.bfloat16, enabled=enabled):
            return self.loss(self.model, batch, draws).float().sum()
