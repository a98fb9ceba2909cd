"""A training that goes on from another model: what must agree, and what an interruption leaves."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

from c2lst.data.stain import StainReference
from c2lst.errors import InputError
from c2lst.storage import read_json, write_json

if TYPE_CHECKING:
    from c2lst.central.model import CentralModel

START_JSON = "start.json"


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
