"""The device to compute on, and what it is called."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from c2lst.errors import InputError

if TYPE_CHECKING:
    import torch

VARIABLE = "C2LST_DEVICE"
"""Environment variable that names the device, if not the best."""


def best_device() -> torch.device:
    """Return the device that :data:`VARIABLE` names; else the accelerator, if any; else the CPU.

    Raises
    ------
    InputError
        If this machine has no device of that name.
    """
    import torch

    if named := os.environ.get(VARIABLE, "").strip():
        return _named(named)
    # What accelerate computes on, by its own variable, the rest computes on, too.
    if os.environ.get("ACCELERATE_USE_CPU", "").lower() in ("1", "true", "yes"):
        return torch.device("cpu")
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def device_name(device: torch.device) -> str:
    """Return a GPU's name by its maker, or the kind of device."""
    import torch

    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def _named(name: str) -> torch.device:
    import torch

    try:
        device = torch.device(name)
        module = torch.get_device_module(device)
        found = module.is_available() and (device.index or 0) < module.device_count()
    except RuntimeError:
        found = False
    if not found:
        raise InputError(
            VARIABLE, "there is no such device here",
            found=repr(name), expected="cpu, cuda, cuda:1 or mps, as this machine has them",
            remedy="`c2lst doctor` names the one that is taken if it is not set",
        )  # fmt: skip
    return device
