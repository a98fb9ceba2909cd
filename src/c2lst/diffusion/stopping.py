"""When to end a training: once samples that it does not learn from stop gaining by it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from c2lst.diffusion.checkpoint import TrainHistory
from c2lst.diffusion.draws import Draws, mix_seed
from c2lst.diffusion.gradient import LossFunction, Source
from c2lst.diffusion.numerics import autocast
from c2lst.diffusion.options import TrainSettings
from c2lst.diffusion.processes import Processes
from c2lst.progress import logger

BATCH = 32
# What the seed of the run is mixed with: no noise of the training's own.
HELD_OUT = 7


class EarlyStopping:
    """Ends a training whose averaged weights do no better on held-out samples any more.

    Every check draws the same noise for the same sample, so that the loss differs from check to
    check by the weights alone. The best weights are kept, and are what the training ends with;
    buffers, such as statistics of batches, are those of its end. Whether it is over follows from
    the losses in its history, so that a run that was killed comes to the same end.

    Parameters
    ----------
    loss
        Loss per sample; it may differ from the one that is trained.
    source
        Samples that are not trained on.
    checks
        How many checks there are in a training of full length, beside the one before its start.
    patience
        Checks in a row without a new best after which the training ends.
    """

    def __init__(
        self, loss: LossFunction, source: Source, *, checks: int = 20, patience: int = 4
    ) -> None:
        self._loss, self._source = loss, source
        self._checks, self._patience = checks, patience
        self.best: dict[str, Tensor] = {}

    def start(self, weights: Mapping[str, Tensor], settings: TrainSettings) -> None:
        """Prepare for a training of ``weights``."""
        self._settings = settings
        self._every = max(1, settings.steps // self._checks)
        self.best = {name: weight.detach().clone() for name, weight in weights.items()}

    def binding(self) -> dict[str, int]:
        """Return what a run that continues must have in common with this one."""
        return {
            "samples": len(self._source),
            "checks": self._checks,
            "patience": self._patience,
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
        """Return the mean loss of the held-out samples; keep the weights if they are the best.

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
                total += float(self._loss(model, batch, draws).double().sum())
        found = processes.total([total])[0] / len(self._source)
        history.checked.append(step)
        history.held_out.append(found)
        if best_check(history) == len(history.checked) - 1:
            for name, weight in weights.items():
                self.best[name].copy_(weight)
        return found

    def is_over(self, history: TrainHistory) -> bool:
        """Say whether the training has come to its end."""
        if not history.checked:
            return False
        return len(history.checked) - 1 - best_check(history) >= self._patience

    @torch.no_grad()
    def finish(self, weights: Mapping[str, Tensor], history: TrainHistory, label: str) -> None:
        """Put the best weights into the model, and say which they are."""
        for name, weight in weights.items():
            weight.copy_(self.best[name])
        best = best_check(history)
        logger.info(
            "%s: ended at step %d with the weights of step %d; held-out loss %.4f → %.4f",
            label,
            history.checked[-1],
            history.checked[best],
            history.held_out[0],
            history.held_out[best],
        )


def best_check(history: TrainHistory) -> int:
    """Return the number of the first check with the lowest held-out loss."""
    return int(np.argmin([x if math.isfinite(x) else math.inf for x in history.held_out]))


def describe(history: TrainHistory) -> dict[str, Any] | None:
    """Return where a training stopped and what it reached, as plain values."""
    if not history.checked:
        return None
    best = best_check(history)
    return {
        "stopped_at": history.checked[-1],
        "best_step": history.checked[best],
        "loss_at_start": history.held_out[0],
        "loss_at_best": history.held_out[best],
        "steps": history.checked,
        "losses": history.held_out,
    }
