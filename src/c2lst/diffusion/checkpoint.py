"""Checkpoints of a training run: safetensors and JSON, written whole or not at all."""

from __future__ import annotations

import math
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from c2lst.errors import InputError
from c2lst.storage import read_json, whole_directory, write_json


@dataclass
class TrainHistory:
    """What happened: mean loss over each stretch of steps, and updates that were skipped."""

    steps: list[int] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    pending: list[float] = field(default_factory=list)
    skipped: int = 0

    def add(self, step: int, loss: float, *, close: bool) -> None:
        """Take the loss of a step in; ``close`` ends the stretch."""
        if math.isfinite(loss):
            self.pending.append(loss)
        else:
            self.skipped += 1
        if close:
            self.steps.append(step)
            self.losses.append(float(np.mean(self.pending)) if self.pending else math.nan)
            self.pending = []


@dataclass
class Checkpoint:
    """References to all that a training run changes."""

    step: int
    settings: dict[str, Any]
    weights: dict[str, torch.nn.Parameter]
    buffers: dict[str, Tensor]
    average: Any
    optimizer: torch.optim.Optimizer
    history: TrainHistory

    def tensors(self) -> dict[str, Tensor]:
        """Name every tensor of the state."""
        named = {f"weight/{n}": p.detach() for n, p in self.weights.items()}
        named |= {f"buffer/{n}": b for n, b in self.buffers.items()}
        if self.average is not None:
            shadows = self.average.shadow_params
            named |= {f"average/{n}": s for n, s in zip(self.weights, shadows, strict=True)}
        for name, parameter in self.weights.items():
            for key, value in self.optimizer.state.get(parameter, {}).items():
                named[f"optimizer/{key}/{name}"] = torch.as_tensor(value)
        return named

    def restore(self, path: Path) -> None:
        """Copy the state saved at ``path`` into the run.

        Raises
        ------
        InputError
            If the checkpoint was made with other settings or other data.
        """
        from safetensors.torch import load_file

        state = read_json(path / "state.json", required=("settings", "history", "average_step"))
        differing = [k for k, v in self.settings.items() if state["settings"].get(k) != v]
        if differing:
            key = differing[0]
            raise InputError(
                path,
                f"was made with another {key}",
                found=state["settings"].get(key),
                expected=self.settings[key],
                remedy="delete this folder to start afresh, or use the settings it was made with",
            )
        saved = load_file(path / "state.safetensors")
        with torch.no_grad():
            for name, parameter in self.weights.items():
                parameter.copy_(saved[f"weight/{name}"])
                prefix = "optimizer/"
                self.optimizer.state[parameter] = {
                    key.split("/", 2)[1]: value.clone()
                    if key.startswith("optimizer/step/")
                    else value.to(parameter.device, copy=True)
                    for key, value in saved.items()
                    if key.startswith(prefix) and key.split("/", 2)[2] == name
                }
            for name, buffer in self.buffers.items():
                buffer.copy_(saved[f"buffer/{name}"])
            if self.average is not None:
                for name, shadow in zip(self.weights, self.average.shadow_params, strict=True):
                    shadow.copy_(saved[f"average/{name}"])
                self.average.optimization_step = state["average_step"]
        for key, value in state["history"].items():
            setattr(self.history, key, value)


def save_checkpoint(directory: Path, checkpoint: Checkpoint) -> Path:
    """Write ``checkpoint-STEP`` under ``directory``, then delete the older ones."""
    from safetensors.torch import save_file

    path = directory / f"checkpoint-{checkpoint.step}"
    with whole_directory(path) as partial:
        tensors = {k: v.contiguous() for k, v in checkpoint.tensors().items()}
        save_file(tensors, partial / "state.safetensors")
        write_json(
            partial / "state.json",
            {
                "format": 1,
                "settings": checkpoint.settings,
                "history": asdict(checkpoint.history),
                "average_step": getattr(checkpoint.average, "optimization_step", 0),
            },
        )
    for older in directory.glob("checkpoint-*"):
        if older != path:
            shutil.rmtree(older)
    return path


def latest_checkpoint(directory: Path) -> Path | None:
    """Find the checkpoint with the highest step, if there is one."""
    found = [p for p in directory.glob("checkpoint-*") if p.name.rsplit("-", 1)[1].isdigit()]
    return max(found, key=lambda p: int(p.name.rsplit("-", 1)[1]), default=None)
