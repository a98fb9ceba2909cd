"""The one training loop: steps, averages, checkpoints, what is said and watched.

A *step* is one optimiser update on the effective batch, whatever the number of processes or
micro-batches. All randomness is a function of ``(seed, step, position in the effective batch)``
(:mod:`c2lst.diffusion.draws`), and so is the order of the data (:mod:`c2lst.diffusion.order`):
weights, averages, optimiser moments and the number of the step restore a run exactly.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from c2lst.diffusion.averages import Averages
from c2lst.diffusion.batches import Source
from c2lst.diffusion.checkpoint import Checkpoint, TrainHistory, check_space, tidy
from c2lst.diffusion.gradient import BatchGradient, LossFunction
from c2lst.diffusion.numerics import numerics, own_randomness
from c2lst.diffusion.options import TrainSettings
from c2lst.diffusion.processes import Processes
from c2lst.diffusion.stopping import EarlyStopping
from c2lst.diffusion.summary import Summary
from c2lst.diffusion.watch import Log, Pace, StepReport, Watcher, check_tracker
from c2lst.errors import InputError
from c2lst.memory import free_memory
from c2lst.progress import Bar, logger, progress_bar

__all__ = ["EarlyStopping", "LossFunction", "Source", "TrainHistory", "TrainSettings", "train"]

MAX_BAD_STEPS = 5
HISTORY_EVERY = 10


def train(
    model: nn.Module,
    loss: LossFunction,
    source: Source,
    settings: TrainSettings,
    *,
    directory: Path | None = None,
    label: str = "train",
    watchers: Sequence[Watcher] = (),
    stopping: EarlyStopping | None = None,
    gradient: Callable[..., BatchGradient] = BatchGradient,
    about: Mapping[str, Any] | None = None,
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
        Where checkpoints, ``log.jsonl`` and snapshots of averages go; one folder for all
        processes. A run that was interrupted there continues, and ends bit for bit as if it had
        not been interrupted (one process, same machine; on accelerators if ``deterministic``).
    label
        What the progress bar says.
    watchers
        Work on a schedule, such as drawing samples; the weights come out the same without.
    stopping
        Ends the training before its last step where held-out samples say so, with the averaged
        weights that it kept.
    gradient
        What computes the gradient of an update.
    about
        What else, as JSON has it, a run must have in common with one that it continues.

    Raises
    ------
    InputError
        If there are no samples, the disk has too little room, the checkpoint is of other
        settings, one sample alone does not fit in memory, or the loss stays non-finite.
    """
    if len(source) == 0:
        raise InputError(label, "no training samples")
    check_tracker(settings.tracker, directory, label)
    processes = Processes()
    with own_randomness(processes.device), numerics(settings, processes.device):
        return _Run(
            model,
            loss,
            source,
            settings,
            processes,
            directory=directory,
            label=label,
            watchers=watchers,
            stopping=stopping,
            gradient=gradient,
            about=about or {},
        ).finish()


class _Run:
    """One training run: its optimiser, its averages, its place in the data."""

    def __init__(
        self,
        model: nn.Module,
        loss: LossFunction,
        source: Source,
        settings: TrainSettings,
        processes: Processes,
        *,
        directory: Path | None,
        label: str,
        watchers: Sequence[Watcher],
        stopping: EarlyStopping | None,
        gradient: Callable[..., BatchGradient],
        about: Mapping[str, Any],
    ) -> None:
        self.settings, self.directory, self.label = settings, directory, label
        self.processes, self.watchers = processes, watchers
        self.model = model.to(processes.device).train()
        processes.broadcast([*model.parameters(), *model.buffers()])
        self.weights = {n: p for n, p in model.named_parameters() if p.requires_grad}
        self.optimizer = _adamw(list(self.weights.values()), settings)
        self.averages = Averages(self.weights, settings)
        self.gradient = gradient(
            model, list(self.weights.values()), loss, source, settings, processes
        )
        self.history = TrainHistory()
        self.binding = settings.binding() | {"samples": len(source)} | dict(about)
        self.stopping = stopping
        if stopping is not None:
            stopping.start(self.weights, settings)
            self.binding["stopping"] = stopping.binding()
        self.step = 0
        self._resume()
        self.bad = 0
        self.pace = Pace(settings.batch_size)
        self.summary = Summary(label, settings, self.gradient, processes)
        if processes.is_main and not self._is_over():
            self.summary.start(model, loss, source, self.step)

    # -- state ---------------------------------------------------------------------------------

    def _checkpoint(self) -> Checkpoint:
        return Checkpoint(
            step=self.step,
            settings=self.binding,
            weights=self.weights,
            buffers=dict(self.model.named_buffers()),
            averages=self.averages,
            kept=self.stopping.kept if self.stopping else {},
            optimizer=self.optimizer,
            history=self.history,
            numbers=self.gradient.state(),
        )

    def _resume(self) -> None:
        """Go on from the newest sound checkpoint; see first that there is room for more."""
        if self.directory is None:
            return
        directory, checkpoint = self.directory, self._checkpoint()

        def prepare() -> int:
            found = tidy(directory)
            check_space(directory, checkpoint, self.averages.snapshots_after(max(0, found)))
            return found

        found = self.processes.main_first(prepare)
        if found < 0:
            return
        checkpoint.restore(directory / f"checkpoint-{found}")
        self.gradient.restore(checkpoint.numbers)
        self.step = found
        if self.processes.is_main:
            logger.info("%s: continuing at step %d of %d", self.label, found, self.settings.steps)

    def _save(self) -> None:
        """Write snapshots and a checkpoint, where they are due."""
        if self.directory is None or not self.processes.is_main:
            return
        if self.averages.snapshot_due(self.step):
            self.averages.save_snapshot(self.directory)
        # The last one too: a caller with several trainings resumes after those that ended.
        if self.step % self.settings.checkpoint_every == 0 or self._is_over():
            self._checkpoint().save(self.directory)

    # -- steps ---------------------------------------------------------------------------------

    def finish(self) -> TrainHistory:
        """Do the steps that are left; leave the averaged weights in the model."""
        with self._shown() as (bar, log):
            self._hold_against(log)
            while not self._is_over():
                report = self._take_step()
                log.add(report)
                self._hold_against(log)
                bar.advance(note=self.summary.note(report))
                self._save()
                self._watch(report, log)
        self.history.close(self.step)
        self.averages.apply()
        if self.stopping is not None:
            self.stopping.finish(self.weights, self.history, self.label)
        # Statistics of batches are each process's own until here.
        self.processes.broadcast(self.model.buffers())
        self.model.eval()
        return self.history

    @contextlib.contextmanager
    def _shown(self) -> Iterator[tuple[Bar, Log]]:
        """Open the progress bar, and the log of the main process."""
        settings, directory = self.settings, self.directory
        if not self.processes.is_main:
            settings, directory = dataclasses.replace(settings, tracker="none"), None
        with (
            contextlib.closing(Log(directory, self.label, settings, self.step)) as log,
            progress_bar(self.label, settings.steps, completed=self.step) as bar,
        ):
            yield bar, log

    def _take_step(self) -> StepReport:
        """Make one optimiser update, or skip it where loss or gradient is not finite."""
        rate = self.settings.learning_rate_at(self.step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.pace.start()
        gradient = self.gradient.compute(self.step)
        if gradient is None:
            self._stop_if_hopeless()
        else:
            self.bad = 0
            self.optimizer.step()
            self.averages.update()
        self.optimizer.zero_grad(set_to_none=True)
        self.pace.stop()
        loss, norm = gradient or (math.nan, math.nan)
        self.step += 1
        ends = self.step % HISTORY_EVERY == 0 or self.step == self.settings.steps
        self.history.add(self.step, loss, close=ends)
        return StepReport(
            step=self.step,
            steps=self.settings.steps,
            loss=loss,
            grad_norm=norm,
            learning_rate=rate,
            images_per_s=self.pace.images_per_s,
            skipped=self.history.skipped,
            time=time.time(),
        )

    def _is_over(self) -> bool:
        stopped = self.stopping is not None and self.stopping.is_over(self.history)
        return stopped or self.step >= self.settings.steps

    def _hold_against(self, log: Log) -> None:
        """See how well the averaged weights do on held-out samples, where that is due."""
        stopping, history = self.stopping, self.history
        if stopping is None or not stopping.due(self.step, history):
            return
        device = self.processes.device
        with self.averages.applied(), own_randomness(device), torch.no_grad():
            self.model.eval()
            found = stopping.check(self.model, self.weights, self.step, history, self.processes)
            self.model.train()
        if self.step:
            log.add_watched(self.step, {"held_out_loss": found})

    def _stop_if_hopeless(self) -> None:
        self.bad += 1
        if self.bad >= MAX_BAD_STEPS:
            raise InputError(
                self.label,
                f"loss or gradient was not finite {self.bad} steps in a row (step {self.step})",
                remedy="lower the learning rate or use precision fp32, then start again",
            )

    def _watch(self, report: StepReport, log: Log) -> None:
        """Let watchers see the averaged weights; what they meet with does not stop the run."""
        if not self.processes.is_main:
            return
        due = [w for w in self.watchers if w.due(report.step, report.steps)]
        if not due:
            return
        device = self.processes.device
        with self.averages.applied(), own_randomness(device), torch.no_grad():
            self.model.eval()
            for watcher in due:
                try:
                    log.add_watched(report.step, watcher.watch(self.model, report))
                except Exception as error:  # days of training outweigh one picture
                    logger.warning("%s: %s failed: %s", self.label, type(watcher).__name__, error)
                    free_memory()
            self.model.train()


def _adamw(weights: list[nn.Parameter], settings: TrainSettings) -> torch.optim.AdamW:
    """Return the optimiser, in one kernel for all weights where the device has that."""
    options: dict[str, Any] = {
        "lr": settings.learning_rate,
        "betas": (0.9, settings.beta2),
        "weight_decay": settings.weight_decay,
    }
    try:
        return torch.optim.AdamW(weights, fused=True, **options)
    except RuntimeError:
        return torch.optim.AdamW(weights, fused=False, **options)
