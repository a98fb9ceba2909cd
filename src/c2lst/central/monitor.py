"""What is watched while a central model trains: its samples, and how far they are from tissue.

On a schedule, images are drawn from fixed seeds, so that sheets of different steps show the same
patches growing clearer. Where the collection holds patches out, the kernel distance of the samples
to them is told beside the real-vs-real floor: that of as many training patches to the same ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from c2lst.central.pretraining import PatchSet
from c2lst.diffusion.noise import NoiseProcess, to_uint8
from c2lst.diffusion.sampling import get_sampler, sample_unconditional
from c2lst.diffusion.watch import StepReport
from c2lst.evaluation.distribution import KernelDistance, kernel_distance
from c2lst.evaluation.encoders import get_encoder
from c2lst.evaluation.sheets import contact_sheet, write_png
from c2lst.progress import logger
from c2lst.rules import hold, whole
from c2lst.storage import read_json, write_json

FOLDER = "samples"
ON_SHEET = 36
MOST_HELD_OUT = 1000
SEED = 0


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Patches that are not trained on.

    Parameters
    ----------
    patches
        In the colour of the training patches.
    groups
        The slide, patient or field that each is of; ``None`` where that is not known.
    """

    patches: PatchSet
    groups: np.ndarray | None = None


@dataclass(frozen=True)
class WatchSettings:
    """How a training is watched.

    Parameters
    ----------
    times
        How often over the training, evenly and at its end.
    images
        Images drawn each time.
    sampler
        Sampler preset.
    encoder
        Whose features are compared (:data:`c2lst.evaluation.encoders.ENCODERS`).
    """

    times: int = 5
    images: int = 200
    sampler: str = "fast"
    encoder: str = "auto"

    def __post_init__(self) -> None:
        hold(self, "watching", times=whole(1), images=whole(2))


class SampleMonitor:
    """Draws and scores samples during a training (a :class:`~c2lst.diffusion.watch.Watcher`).

    Parameters
    ----------
    process, size
        Noise process and patch size (px) of the model.
    settings
        How often, how many.
    training
        The training patches, for the floor.
    held_out
        Patches to compare with; without them, samples are only shown.
    directory
        Where ``samples/step-STEP.png`` and ``.json`` go, if anywhere.
    """

    def __init__(
        self,
        process: NoiseProcess,
        size: int,
        settings: WatchSettings,
        *,
        training: PatchSet,
        held_out: HeldOut | None = None,
        directory: Path | None = None,
    ) -> None:
        self._process, self._size, self._settings = process, size, settings
        self._training, self._held_out = training, held_out
        self._directory = directory
        self._reference: Reference | None = None

    def due(self, step: int, steps: int) -> bool:
        """Say whether a look is due after ``step`` of ``steps``."""
        times = min(self._settings.times, steps)
        # A look is due wherever the number of looks that the schedule wants by now goes up.
        return step * times // steps > (step - 1) * times // steps

    def watch(self, model: nn.Module, report: StepReport) -> Mapping[str, float | np.ndarray]:
        """Draw, write and score; return what goes to the log and to trackers."""
        images = self._draw(model)
        found = self._compare(images)
        if self._directory is not None:
            name = f"step-{report.step:08d}"
            write_png(self._directory / FOLDER / f"{name}.png", contact_sheet(images[:ON_SHEET]))
            write_json(
                self._directory / FOLDER / f"{name}.json",
                {"step": report.step, "images": len(images), "sampler": self._settings.sampler}
                | {name: distance.to_dict() for name, distance in found.items()}
                | ({"features": self._reference.label} if self._reference else {}),
            )
        for name, distance in found.items():
            logger.info("step %d: %s %s", report.step, name.replace("_", " "), distance)
        values = {name: distance.value for name, distance in found.items()}
        return values | {"samples": images[:ON_SHEET]}

    def _draw(self, model: nn.Module) -> np.ndarray:
        device = next(model.parameters()).device
        images = sample_unconditional(
            model,
            self._process,
            self._size,
            range(self._settings.images),
            seed=SEED,
            sampler=get_sampler(self._settings.sampler),
            device=device,
        )
        return to_uint8(images).numpy()

    def _compare(self, images: np.ndarray) -> dict[str, KernelDistance]:
        if self._held_out is None:
            return {}
        if self._reference is None:
            self._reference = Reference(
                self._training, self._held_out, len(images), self._settings.encoder
            )
        return {
            "kernel_distance": self._reference.distance(images),
            "real_vs_real": self._reference.floor,
        }


class Reference:
    """Features of held-out patches, and the floor: training patches compared with them.

    Parameters
    ----------
    training, held_out
        The patches.
    n
        Images that will be compared; the floor is that of as many training patches.
    encoder
        Name of the encoder.
    """

    def __init__(
        self, training: PatchSet, held_out: HeldOut, n: int, encoder: str = "auto"
    ) -> None:
        self._encoder = get_encoder(encoder)
        self.label = self._encoder.label
        chosen = _evenly(len(held_out.patches), MOST_HELD_OUT)
        self._groups = None if held_out.groups is None else held_out.groups[chosen]
        self._features = self._encoder.encode(held_out.patches.fetch(chosen))
        self.floor = self.distance(training.fetch(_evenly(len(training), n)))

    def distance(self, images: np.ndarray) -> KernelDistance:
        """Kernel distance of uint8 RGB images ``(n, size, size, 3)`` to the held-out patches."""
        return kernel_distance(
            self._encoder.encode(images), self._features, groups=(None, self._groups)
        )


def _evenly(length: int, most: int) -> np.ndarray:
    return np.unique(np.linspace(0, length - 1, min(most, length)).round().astype(np.int64))


def last_look(directory: Path) -> dict[str, Any]:
    """Read what the last look at a training in ``directory`` found; empty without any."""
    found = sorted((directory / FOLDER).glob("step-*.json"))
    return read_json(found[-1]) if found else {}
