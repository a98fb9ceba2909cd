"""The gradient of one update: as many samples at a time as memory holds, on every process."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from c2lst.diffusion.ahead import ReadAhead, Request
from c2lst.diffusion.batches import Batches, Source
from c2lst.diffusion.draws import Draws, mix_seed
from c2lst.diffusion.numerics import LossScale, autocast, is_of_the_compiler
from c2lst.diffusion.options import TrainSettings
from c2lst.diffusion.order import DataOrder
from c2lst.diffusion.processes import Processes
from c2lst.errors import InputError
from c2lst.memory import free_memory, is_out_of_memory
from c2lst.progress import logger

LossFunction = Callable[[nn.Module, dict[str, Tensor], Draws], Tensor]
"""Maps (model, batch, randomness) to a loss per sample, shape ``(B,)``."""


class BatchGradient:
    """Computes the gradient of the mean loss over an effective batch.

    The batch is split over the processes, and a process's share into micro-batches. If one of
    them does not fit in memory on any process, all processes halve theirs and compute the same
    gradient again, from the same random numbers.

    Parameters
    ----------
    model
        The model, on its device.
    weights
        Its parameters that train.
    loss, source, settings
        Of the training.
    processes
        Those that take part.
    """

    BY_SAMPLE = False
    """Whether randomness goes with a sample, in place of its position in the batch."""

    def __init__(
        self,
        model: nn.Module,
        weights: list[nn.Parameter],
        loss: LossFunction,
        source: Source,
        settings: TrainSettings,
        processes: Processes,
    ) -> None:
        # The compiled model shares its weights with the model itself, under their own names.
        self._bare = self._model = model
        if settings.compile:
            self._model = cast(nn.Module, torch.compile(model))
        self._weights, self._buffers = weights, list(model.buffers())
        self._loss, self._settings = loss, settings
        self._batches = Batches(source, settings, processes.device, by_sample=self.BY_SAMPLE)
        self._ahead = ReadAhead(self._batches.fetch)
        self._processes = processes
        self._order = DataOrder(len(source), settings.seed)
        self._share = processes.share(settings.batch_size)
        # Process 0 has the largest share, and all go by it.
        largest = math.ceil(settings.batch_size / processes.count)
        self.micro_batch = min(settings.micro_batch or largest, largest)
        self.scale = LossScale(settings)

    @property
    def accumulation(self) -> int:
        """Micro-batches of a process in one update."""
        return math.ceil(
            math.ceil(self._settings.batch_size / self._processes.count) / self.micro_batch
        )

    def state(self) -> dict[str, float]:
        """Return what a run that continues goes on with."""
        return {
            "micro_batch_asked": self._settings.micro_batch or 0,
            "micro_batch": self.micro_batch,
            "loss_scale": self.scale.value,
            "loss_scale_good": self.scale.good,
        }

    def restore(self, state: dict[str, float]) -> None:
        """Go on as :meth:`state` said, with the micro-batch that was found if none is asked now."""
        if state["micro_batch_asked"] == (self._settings.micro_batch or 0):
            self.micro_batch = min(self.micro_batch, int(state["micro_batch"]))
        self.scale.value, self.scale.good = state["loss_scale"], int(state["loss_scale_good"])

    def compute(self, step: int) -> tuple[float, float] | None:
        """Leave the clipped gradient of the update after ``step`` in the parameters.

        Returns
        -------
        tuple of float or None
            Mean loss, and norm of the gradient before clipping; ``None`` where either is not
            finite, so that the update must be skipped.

        Raises
        ------
        InputError
            If not even one sample fits in memory.
        """
        buffers, scale = [buffer.clone() for buffer in self._buffers], self.scale.value
        while True:
            loss = self._agree(self._try(step, buffers))
            if loss is None:
                self._halve()
            else:
                norm = self._finish()
                if math.isfinite(loss) and math.isfinite(norm):
                    self.scale.keep()
                    return loss, norm
                if not (math.isfinite(loss) and self.scale.lower()):
                    self._undo(buffers)
                    # No scale was small enough, so that it was not the scale's fault.
                    self.scale.value = scale
                    return None
            self._undo(buffers)

    def _try(self, step: int, buffers: list[Tensor]) -> float | None:
        """Return the summed loss of this process's share; ``None`` if memory was short."""
        try:
            return self._passes(step)
        except Exception as error:
            if is_out_of_memory(error):
                return None
            if self._model is self._bare or not is_of_the_compiler(error):
                raise
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            logger.warning("torch.compile failed (%s); going on without it", reason)
        self._model = self._bare
        self._undo(buffers)
        return self._try(step, buffers)

    def _passes(self, step: int) -> float:
        """Go forward and backward through this process's share, one micro-batch at a time."""
        if not len(self._share):
            return 0.0
        settings, device = self._settings, self._processes.device
        total = torch.zeros((), device=device)
        parts = np.array_split(self._share, math.ceil(len(self._share) / self.micro_batch))
        wanted = [self._request(step, positions) for positions in parts]
        # The next step begins as this one did, if there is one.
        more = step + 1 < settings.steps
        then = [*wanted[1:], self._request(step + 1, parts[0]) if more else None]
        for positions, request, following in zip(parts, wanted, then, strict=True):
            # Layers with randomness of their own (dropout) are a function of the step, too.
            torch.manual_seed(mix_seed(settings.seed, step, int(positions[0])))
            fetched, draws = self._ahead.take(request, following)
            batch = {k: v.to(device) for k, v in fetched.items()}
            with autocast(settings, device):
                summed = self._loss(self._model, batch, draws).float().sum()
            (summed * (self.scale.value / settings.batch_size)).backward()
            total += summed.detach()
            self._batches.foreseen = draws.calls
        return float(total)

    def _request(self, step: int, positions: np.ndarray) -> Request:
        """Return the step, the samples at some positions of its batch, and these."""
        indices = self._order.indices(step * self._settings.batch_size + positions)
        return step, indices, positions

    def _agree(self, total: float | None) -> float | None:
        """Return the mean loss over all processes; ``None`` if memory was short on any."""
        if total is None:
            free_memory()
        missing, summed = self._processes.total([total is None, total or 0.0])
        return None if missing else summed / self._settings.batch_size

    def _finish(self) -> float:
        """Sum the gradient over the processes, unscale and clip it; return its norm."""
        if self._processes.count > 1:
            # A weight without a gradient on any process keeps none, as it would on one process.
            have = self._processes.total([w.grad is not None for w in self._weights])
            for weight, somewhere in zip(self._weights, have, strict=True):
                if somewhere and weight.grad is None:
                    weight.grad = torch.zeros_like(weight)
        gradients = [w.grad for w in self._weights if w.grad is not None]
        self._processes.sum(gradients)
        if self.scale.used:
            torch._foreach_mul_(gradients, 1 / self.scale.value)
        norm = nn.utils.clip_grad_norm_(self._weights, self._settings.grad_clip)
        return float(norm)

    def _undo(self, buffers: list[Tensor]) -> None:
        for weight in self._weights:
            weight.grad = None
        for buffer, before in zip(self._buffers, buffers, strict=True):
            buffer.copy_(before)

    def _halve(self) -> None:
        if self.micro_batch == 1:
            raise InputError(
                "training",
                "not enough memory for one sample at a time",
                remedy="use smaller patches or a smaller network, or close other programs",
            )
        self.micro_batch = math.ceil(self.micro_batch / 2)
        if self._processes.is_main:
            logger.info(
                "not enough memory: going on with micro-batches of %d, %d in each step",
                self.micro_batch,
                self.accumulation,
            )
