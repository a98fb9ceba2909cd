"""A training that goes on from another model: what must agree, and what an interruption leaves."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from c2lst.data.stain import StainReference
from c2lst.errors import InputError
from c2lst.storage import read_json, write_json

if TYPE_CHECKING:
    from c2lst.central.model import CentralModel
    from c2lst.central.settings import CentralSettings

START_JSON = "start.json"
OBJECTIVE_JSON = "objective.json"


def check_continues(start: CentralModel, patch_um: float, stain: StainReference) -> None:
    """Refuse patches of another side or colour than those that ``start`` was trained on."""
    if not math.isclose(patch_um, start.patch_um, rel_tol=0.01):
        raise InputError(
            "patches",
            "side in µm is not that of the central model to start from",
            found=f"{patch_um:g} µm",
            expected=f"{start.patch_um:g} µm",
        )
    if not stain.same_as(start.stain):
        raise InputError(
            "patches",
            "have another stain reference than the central model to start from",
            remedy="bring them to that model's reference",
        )


def bind_to_start(directory: Path, start: CentralModel | None) -> None:
    """Refuse to resume a training that started from another model."""
    path, own = directory / START_JSON, {"hash": start.hash if start else None}
    if not path.is_file():
        write_json(path, own)
    elif (found := read_json(path)) != own:
        raise InputError(
            directory,
            "holds an interrupted training that started from another model",
            found=str(found.get("hash"))[:12],
            expected=str(own["hash"])[:12],
            remedy="give the same --from, or --resume never to start afresh",
        )


def bind_to_objective(directory: Path, settings: CentralSettings) -> None:
    """Refuse to resume a training of another network, noise process or augmentation.

    The training itself is held to its own settings by its checkpoints.
    """
    path, own = directory / OBJECTIVE_JSON, _objective(settings)
    # Of a training that broke off before its first checkpoint, nothing is resumed.
    if not path.is_file() or not any(directory.glob("checkpoint-*")):
        write_json(path, own)
        return
    found = read_json(path)
    for key, value in own.items():
        if found.get(key) != value:
            raise InputError(
                directory,
                f"holds an interrupted training with another {key}",
                found=found.get(key),
                expected=value,
                remedy="give the settings it was made with, or delete this folder to start afresh",
            )


def _objective(settings: CentralSettings) -> dict[str, Any]:
    """Return what is learnt, beside the patches, as JSON has it."""
    process, shape = asdict(settings.process), asdict(settings.shape)
    augmentation = ("dihedral", "stain_jitter", "windows")
    return {
        **(shape | {"widths": list(settings.shape.widths)}),
        **{f"process.{name}": value for name, value in process.items()},
        **{name: getattr(settings, name) for name in augmentation},
    }
