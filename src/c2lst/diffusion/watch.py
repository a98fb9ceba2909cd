"""Watching a training: what each step reports, the log, trackers, and work on a schedule."""

from __future__ import annotations

import importlib.util
import json
import math
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from torch import nn

from c2lst.diffusion.options import Tracker, TrainSettings
from c2lst.errors import InputError
from c2lst.storage import whole_file

if TYPE_CHECKING:
    from accelerate.tracking import GeneralTracker

LOG = "log.jsonl"
RECENT = 20


@dataclass(frozen=True)
class StepReport:
    """What is known after a step.

    Parameters
    ----------
    step, steps
        Steps done, and steps in all.
    loss
        Mean loss over the effective batch; NaN where the update was skipped.
    grad_norm
        Norm of the gradient before it is clipped; NaN where the update was skipped.
    learning_rate
        Of this update.
    images_per_s
        Over the last steps, all processes together.
    skipped
        Updates skipped so far, since loss or gradient was not finite.
    time
        Seconds since 1970.
    """

    step: int
    steps: int
    loss: float
    grad_norm: float
    learning_rate: float
    images_per_s: float
    skipped: int
    time: float


class Watcher(Protocol):
    """Work that is done now and then during a training, such as drawing samples."""

    def due(self, step: int, steps: int) -> bool:
        """Say whether there is work after ``step`` (from 1) of ``steps``."""

    def watch(self, model: nn.Module, report: StepReport) -> Mapping[str, float | np.ndarray]:
        """Look at the model; return what goes to the log (numbers) and to trackers (images, too).

        It is called on the main process only, after the step's checkpoint if there is one. The
        model has its averaged weights and is in evaluation mode, without gradients; it must not
        be changed. Whatever random numbers are drawn, the training goes on as if it had not been
        watched. Images are uint8 RGB ``(n, height, width, 3)``.
        """


class Pace:
    """Images per second over the last steps, without the time that other work takes."""

    def __init__(self, batch_size: int) -> None:
        self._batch_size = batch_size
        self._seconds: deque[float] = deque(maxlen=RECENT)
        self._started = time.perf_counter()

    def start(self) -> None:
        """Begin a step."""
        self._started = time.perf_counter()

    def stop(self) -> None:
        """End a step."""
        self._seconds.append(time.perf_counter() - self._started)

    @property
    def images_per_s(self) -> float:
        """Median over the last steps; the first step of all, which warms up, counts least so."""
        return self._batch_size / float(np.median(self._seconds)) if self._seconds else math.nan


class Log:
    """One line of JSON a step in ``log.jsonl``, and a tracker if one is chosen.

    Parameters
    ----------
    directory
        Where the log is, or ``None`` for none.
    label
        Name of the training.
    settings
        Told to the tracker, which they choose.
    step
        Steps done before: what the log holds of later ones is of a run that was interrupted.
    """

    def __init__(
        self, directory: Path | None, label: str, settings: TrainSettings, step: int
    ) -> None:
        self._tracker = _start_tracker(directory, label, settings, step)
        self._file = None
        if directory is not None:
            path = directory / LOG
            _forget_after(path, step)
            self._file = path.open("a", encoding="utf-8")

    def add(self, report: StepReport) -> None:
        """Write what a step reports."""
        self._write(asdict(report))

    def add_watched(self, step: int, found: Mapping[str, float | np.ndarray]) -> None:
        """Write what a watcher found: numbers to the log, and images to the tracker alone."""
        numbers = {k: float(v) for k, v in found.items() if np.ndim(v) == 0}
        if numbers:
            self._write({"step": step} | numbers)
        images = {k: np.asarray(v) for k, v in found.items() if np.ndim(v) == 4}
        if images and self._tracker is not None:
            options = {"dataformats": "NHWC"} if self._tracker.name == "tensorboard" else {}
            if hasattr(self._tracker, "log_images"):
                self._tracker.log_images(images, step=step, **options)

    def _write(self, values: dict[str, Any]) -> None:
        if self._file is not None:
            # JSON has no NaN: a number that is not finite is null.
            plain = {k: None if not math.isfinite(v) else v for k, v in values.items()}
            self._file.write(json.dumps(plain) + "\n")
            self._file.flush()
        if self._tracker is not None:
            rest = {k: v for k, v in values.items() if k not in ("step", "steps", "time")}
            self._tracker.log(rest, step=values["step"])

    def close(self) -> None:
        """End the log and the tracker."""
        if self._file is not None:
            self._file.close()
        if self._tracker is not None:
            self._tracker.finish()


def _forget_after(path: Path, step: int) -> None:
    """Drop the lines of steps that will be done again, and a line that was cut off."""
    if not path.is_file():
        return
    with (
        whole_file(path) as partial,
        path.open(encoding="utf-8") as old,
        partial.open("w", encoding="utf-8") as new,
    ):
        for line in old:
            if line.endswith("\n") and json.loads(line)["step"] <= step:
                new.write(line)


def check_tracker(tracker: Tracker, directory: Path | None, label: str) -> None:
    """See that the chosen tracker is there.

    Raises
    ------
    InputError
        If its package is not installed, or it needs a folder and there is none.
    """
    if tracker != "none" and importlib.util.find_spec(tracker) is None:
        raise InputError(
            label, f"tracker {tracker} is not installed", remedy=f"run: pip install {tracker}"
        )
    if tracker in ("tensorboard", "mlflow") and directory is None:
        raise InputError(label, f"tracker {tracker} needs a folder to write to")


def _start_tracker(
    directory: Path | None, label: str, settings: TrainSettings, step: int
) -> GeneralTracker | None:
    if settings.tracker == "none":
        return None
    from accelerate import tracking

    tracker: GeneralTracker
    if settings.tracker == "wandb":
        tracker = tracking.WandBTracker(label)
    elif settings.tracker == "mlflow":
        tracker = tracking.MLflowTracker(label, logging_dir=f"{directory}/mlflow")
    else:
        tracker = tracking.TensorBoardTracker(label, logging_dir=directory, purge_step=step + 1)
    tracker.start()
    tracker.store_init_configuration({k: str(v) for k, v in asdict(settings).items()})
    return tracker
