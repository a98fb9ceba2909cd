"""Checkpoints of a training run: safetensors and JSON, written whole or not at all."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from c2lst.diffusion.averages import Averages
from c2lst.diffusion.weights import read_tensors
from c2lst.errors import InputError
from c2lst.progress import logger
from c2lst.storage import hash_file, read_json, whole_directory, write_json

FORMAT = 2
KEEP = 2
TENSORS, STATE = "state.safetensors", "state.json"


@dataclass
class TrainHistory:
    """What happened: mean loss over each stretch of steps, and updates that were skipped.

    Where a training may stop early, also the steps at which held-out samples were looked at
    (``checked``), and their mean loss (``held_out``).
    """

    steps: list[int] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    pending: list[float] = field(default_factory=list)
    skipped: int = 0
    checked: list[int] = field(default_factory=list)
    held_out: list[float] = field(default_factory=list)

    def add(self, step: int, loss: float, *, close: bool) -> None:
        """Take the loss of a step in; ``close`` ends the stretch."""
        if math.isfinite(loss):
            self.pending.append(loss)
        else:
            self.skipped += 1
        if close:
            self.close(step)

    def close(self, step: int) -> None:
        """End the stretch at ``step``, if it has not ended there."""
        if step not in self.steps[-1:]:
            self.steps.append(step)
            self.losses.append(float(np.mean(self.pending)) if self.pending else math.nan)
            self.pending = []


@dataclass
class Checkpoint:
    """References to all that a training run changes.

    Parameters
    ----------
    step
        Steps done.
    settings
        What a run that continues must have in common with this one.
    weights, buffers
        Of the model, by name; ``weights`` are those that train.
    averages, optimizer, history
        Of the run.
    kept
        Weights that are kept for the end, by name; empty where none are.
    numbers
        What else it goes by, such as the micro-batch that was found.
    """

    step: int
    settings: dict[str, Any]
    weights: dict[str, torch.nn.Parameter]
    buffers: dict[str, Tensor]
    averages: Averages
    kept: dict[str, Tensor]
    optimizer: torch.optim.Optimizer
    history: TrainHistory
    numbers: dict[str, float]

    def tensors(self) -> dict[str, Tensor]:
        """Name every tensor of the state."""
        named = {f"weight/{n}": p.detach() for n, p in self.weights.items()}
        named |= {f"buffer/{n}": b for n, b in self.buffers.items()}
        for average, shadow in self.averages.shadows.items():
            named |= {f"average/{average}/{n}": s for n, s in shadow.items()}
        named |= {f"kept/{n}": b for n, b in self.kept.items()}
        for name, parameter in self.weights.items():
            for key, value in self.optimizer.state.get(parameter, {}).items():
                named[f"optimizer/{key}/{name}"] = torch.as_tensor(value)
        return named

    def save(self, directory: Path) -> Path:
        """Write ``checkpoint-STEP`` under ``directory``, then delete all but the newest two.

        A kill, or a power cut, leaves the one before it.
        """
        from safetensors.torch import save_file

        path = directory / f"checkpoint-{self.step}"
        with whole_directory(path) as partial:
            save_file({k: v.contiguous() for k, v in self.tensors().items()}, partial / TENSORS)
            state = {
                "format": FORMAT,
                "settings": self.settings,
                "history": asdict(self.history),
                "updates": self.averages.updates,
                "numbers": self.numbers,
                "sha256": hash_file(partial / TENSORS),
            }
            write_json(partial / STATE, state)
        for older in list(_checkpoints(directory))[KEEP:]:
            shutil.rmtree(older)
        return path

    def restore(self, path: Path) -> None:
        """Copy the state saved at ``path`` into the run, or leave it untouched.

        Raises
        ------
        InputError
            If the checkpoint was made with other settings, other data or another network, or is
            damaged.
        """
        state, saved = _read_state(path), read_tensors(path / TENSORS)
        self._check_settings(path, state["settings"])
        self._check_tensors(path / TENSORS, saved)
        moments: dict[str, dict[str, Tensor]] = {name: {} for name in self.weights}
        for key, value in saved.items():
            if key.startswith("optimizer/"):
                _, kind, name = key.split("/", 2)
                # AdamW keeps its count of steps on the CPU, unless it is fused.
                on_cpu = kind == "step" and not self.optimizer.defaults["fused"]
                device = "cpu" if on_cpu else self.weights[name].device
                moments[name][kind] = value.to(device, copy=True)
        with torch.no_grad():
            for name, tensor in self.tensors().items():
                if not name.startswith("optimizer/"):
                    tensor.copy_(saved[name])
        for name, parameter in self.weights.items():
            self.optimizer.state[parameter] = moments[name]
        self.averages.updates = state["updates"]
        self.numbers.update(state["numbers"])
        for key, value in state["history"].items():
            setattr(self.history, key, value)

    def _check_tensors(self, path: Path, saved: Mapping[str, Tensor]) -> None:
        # An optimiser has no moments before its first step: the weights vouch for them.
        own, found = (
            {k: v.shape for k, v in tensors.items() if not k.startswith("optimizer/")}
            for tensors in (self.tensors(), saved)
        )
        odd = sorted(k for k in own.keys() | found.keys() if own.get(k) != found.get(k))
        if odd:
            state = "of another shape" if odd[0] in own.keys() & found.keys() else "unexpected"
            raise InputError(
                path,
                f"{odd[0]!r} is {state if odd[0] in found else 'missing'}",
                expected="the state of this network",
                remedy="delete this folder to start afresh, or train the network it was made with",
            )

    def _check_settings(self, path: Path, saved: dict[str, Any]) -> None:
        differing = [k for k, v in self.settings.items() if saved.get(k) != v]
        if differing:
            key = differing[0]
            raise InputError(
                path,
                f"was made with another {key}",
                found=saved.get(key),
                expected=self.settings[key],
                remedy="delete this folder to start afresh, or use the settings it was made with",
            )


class _OtherFormatError(InputError):
    """A checkpoint is whole, but not of this c2lst."""


def tidy(directory: Path) -> int:
    """Remove what killed writes left; return the step of the newest sound checkpoint, or -1.

    The folder is made if it is not there. A checkpoint that is damaged is passed over with a
    warning, and removed.

    Raises
    ------
    InputError
        If the folder cannot be made, or a checkpoint is of another c2lst: days of training may be
        in it, so that it is left as it is.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            directory, f"cannot be made ({error.strerror})", remedy="choose another folder"
        ) from error
    for folder in directory.glob(".checkpoint-*"):
        shutil.rmtree(folder)
    for file in (*directory.glob(".log.*"), *directory.glob("averages/.*")):
        file.unlink()
    for path in _checkpoints(directory):
        try:
            intact = _read_state(path)["sha256"] == hash_file(path / TENSORS)
        except _OtherFormatError:
            raise
        except (InputError, OSError):
            intact = False
        if intact:
            return _step(path)
        logger.warning("%s is damaged; going back to the one before it", path)
        shutil.rmtree(path)
    return -1


def check_space(directory: Path, checkpoint: Checkpoint, snapshots: int) -> None:
    """See that the disk holds what a training will write, before it starts.

    Raises
    ------
    InputError
        If there is too little room, with the figures.
    """
    needed = needed_bytes(checkpoint, snapshots)
    present = sum(p.stat().st_size for p in directory.rglob("*.safetensors"))
    free = shutil.disk_usage(directory).free + present
    if free < needed:
        kept = f"{KEEP + 1} checkpoints" + (f" and {snapshots} snapshots" if snapshots else "")
        raise InputError(
            directory,
            "the disk has too little room for this training",
            found=_size(free),
            expected=f"{_size(needed)} for {kept}",
            remedy="free some space or choose another folder",
        )


def needed_bytes(checkpoint: Checkpoint, snapshots: int) -> int:
    """Return the most that a training keeps on the disk at one time, in bytes."""

    def size(tensors: Mapping[str, Tensor]) -> int:
        return sum(t.numel() * t.element_size() for t in tensors.values())

    averages = sum(size(shadow) for shadow in checkpoint.averages.shadows.values())
    # With the weights go AdamW's two moments. One checkpoint is written before another goes.
    one = 3 * size(checkpoint.weights) + averages + size(checkpoint.kept) + size(checkpoint.buffers)
    return (KEEP + 1) * one + snapshots * size(checkpoint.weights)


def _size(number: float) -> str:
    units = ["bytes", "kB", "MB", "GB"]
    power = min(int(math.log10(max(1, number)) / 3), len(units) - 1)
    return f"{number / 1000**power:.1f} {units[power]}"


def _checkpoints(directory: Path) -> Iterator[Path]:
    """Yield the checkpoints under ``directory``, the newest first."""
    found = [p for p in directory.glob("checkpoint-*") if p.name.rsplit("-", 1)[1].isdigit()]
    yield from sorted(found, key=_step, reverse=True)


def _step(path: Path) -> int:
    return int(path.name.rsplit("-", 1)[1])


def _read_state(path: Path) -> dict[str, Any]:
    # The format first: another one may have other keys.
    found = read_json(path / STATE, required=("format",))["format"]
    if found != FORMAT:
        raise _OtherFormatError(
            path / STATE,
            "format",
            found=found,
            expected=FORMAT,
            remedy="go on with the c2lst that wrote it, or delete this folder to start afresh",
        )
    keys = ("settings", "history", "updates", "numbers", "sha256")
    return read_json(path / STATE, required=keys)
