"""When to end a training: by how samples do that it does not learn from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from c2lst.diffusion.batches import Source
from c2lst.diffusion.checkpoint import TrainHistory
from c2lst.diffusion.draws import Draws, mix_seed
from c2lst.diffusion.gradient import LossFunction
from c2lst.diffusion.numerics import autocast
from c2lst.diffusion.options import TrainSettings
from c2lst.diffusion.processes import Processes
from c2lst.progress import logger

BATCH = 32
# What the seed of the run is mixed with: no noise of the training's own.
HELD_OUT = 7


class EarlyStopping:
    """Ends a training whose averaged weights are not good enough for held-out samples any more.

    Every check draws the same noise for the same sample, so that the loss differs from check to
    check by the weights alone. The last weights that were good enough are kept, and are what the
    training ends with; buffers, such as statistics of batches, are those of its end. Whether it is
    over follows from the losses in its history, so that a run that was killed comes to the same
    end.

    Parameters
    ----------
    loss
        Loss per sample; it may differ from the one that is trained.
    source
        Samples that are not trained on.
    checks
        How many checks there are in a training of full length, beside the one before its start.
    patience
        Checks in a row that are not good enough after which the training ends.
    tolerance
        Weights are good enough if their loss is at most this share above the lowest so far; 0
        wants a new lowest. Above 0, a training that the loss hardly sees goes on for as long as it
        does no harm.
    """

    def __init__(
        self,
        loss: LossFunction,
        source: Source,
        *,
        checks: int = 20,
        patience: int = 4,
        tolerance: float = 0.0,
    ) -> None:
        self._loss, self._source = loss, source
        self._checks, self._patience, self.tolerance = checks, patience, tolerance
        self.kept: dict[str, Tensor] = {}

    def start(self, weights: Mapping[str, Tensor], settings: TrainSettings) -> None:
        """Prepare for a training of ``weights``."""
        self._settings = settings
        self._every = max(1, settings.steps // self._checks)
        self.kept = {name: weight.detach().clone() for name, weight in weights.items()}

    def binding(self) -> dict[str, float]:
        """Return what a run that continues must have in common with this one."""
        return {
            "samples": len(self._source),
            "checks": self._checks,
            "patience": self._patience,
            "tolerance": self.tolerance,
        }

    def due(self, step: int, history: TrainHistory) -> bool:
        """Say whether to check after ``step`` steps."""
        regular = step % self._every == 0 or step == self._settings.steps
        return regular and step not in history.checked

    def check(
        self,
        model: nn.Module,
        weights: Mapping[str, Tensor],
        step: int,
        history: TrainHistory,
        processes: Processes,
    ) -> float:
        """Return the mean loss of the held-out samples; keep the weights if they are good enough.

        Parameters
        ----------
        model
            With its averaged weights, in evaluation mode.
        weights
            Those of them that train.
        step, history
            Steps done; where the loss is noted.
        processes
            They share the samples out.
        """
        share, total = processes.share(len(self._source)), 0.0
        for indices in np.array_split(share, math.ceil(len(share) / BATCH)) if len(share) else ():
            fetched = self._source.fetch(indices)
            batch = {k: v.to(processes.device) for k, v in fetched.items()}
            draws = Draws(
                mix_seed(self._settings.seed, HELD_OUT), 0, indices.tolist(), processes.device
            )
            with autocast(self._settings, processes.device):
                losses = self._loss(model, batch, draws)
            # On the CPU: Apple's GPUs know no float64.
            total += float(losses.cpu().double().sum())
        found = processes.total([total])[0] / len(self._source)
        history.checked.append(step)
        history.held_out.append(found)
        if kept_check(history, self.tolerance) == len(history.checked) - 1:
            for name, weight in weights.items():
                self.kept[name].copy_(weight)
        return found

    def is_over(self, history: TrainHistory) -> bool:
        """Say whether the training has come to its end."""
        if not history.checked:
            return False
        kept = kept_check(history, self.tolerance)
        return len(history.checked) - 1 - kept >= self._patience

    @torch.no_grad()
    def finish(self, weights: Mapping[str, Tensor], history: TrainHistory, label: str) -> None:
        """Put the weights that were kept into the model, and say which they are."""
        for name, weight in weights.items():
            weight.copy_(self.kept[name])
        kept = kept_check(history, self.tolerance)
        logger.info(
            "%s: ended at step %d with the weights of step %d; held-out loss %.4f → %.4f",
            label,
            history.checked[-1],
            history.checked[kept],
            history.held_out[0],
            history.held_out[kept],
        )


def kept_check(history: TrainHistory, tolerance: float = 0.0) -> int:
    """Return the number of the last check with a loss within ``tolerance`` of the lowest till then.

    With no tolerance, that is the first check with the lowest loss of all.
    """
    kept, lowest = 0, math.inf
    for number, loss in enumerate(history.held_out):
        within = tolerance > 0 and loss <= lowest + tolerance * abs(lowest)
        if loss < lowest or (within and math.isfinite(lowest)):
            kept = number
        # A loss that is not a number is below nothing.
        lowest = loss if loss < lowest else lowest
    return kept


def describe(history: TrainHistory, tolerance: float = 0.0) -> dict[str, Any] | None:
    """Return where a training stopped and what it reached, as plain values."""
    if not history.checked:
        return None
    kept = kept_check(history, tolerance)
    return {
        "stopped_at": history.checked[-1],
        "kept_step": history.checked[kept],
        "loss_at_start": history.held_out[0],
        "loss_kept": history.held_out[kept],
        "lowest_loss": min(loss for loss in history.held_out if math.isfinite(loss)),
        "steps": history.checked,
        "losses": history.held_out,
    }
