"""Weights on disk: strict loading, content hash."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from c2lst.errors import InputError
from c2lst.storage import hash_arrays

PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")


def weights_hash(model: nn.Module) -> str:
    """SHA-256 of all weights of a model: names, shapes and values."""
    return hash_arrays({k: v.detach().cpu().numpy() for k, v in model.state_dict().items()})


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """Read a safetensors file.

    Raises
    ------
    InputError
        If it is missing or is no safetensors file.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not path.is_file():
        pickles = sorted(p.name for p in path.parent.glob("*") if p.suffix in PICKLES)
        raise InputError(
            path,
            "no such file",
            found=f"{', '.join(pickles)}, which is not read: a pickle can run any code"
            if pickles
            else None,
            expected="weights in safetensors format",
            remedy="ask for the safetensors, or convert them where that is safe"
            if pickles
            else None,
        )
    try:
        return load_file(path)
    except (SafetensorError, ValueError) as error:
        raise InputError(path, f"is no safetensors file ({error})") from error


def load_weights(model: nn.Module, path: Path) -> None:
    """Load weights and refuse any that is missing, unexpected or of another shape."""
    saved, own = read_tensors(path), model.state_dict()
    odd = sorted(set(saved) ^ set(own))
    odd += [k for k in own if k in saved and own[k].shape != saved[k].shape]
    if odd:
        state = "unexpected" if odd[0] not in own else "missing"
        state = "of another shape" if odd[0] in own and odd[0] in saved else state
        raise InputError(
            path, f"weight {odd[0]!r} is {state}", remedy="use the config.json it was saved with"
        )
    model.load_state_dict(saved)
