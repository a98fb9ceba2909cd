"""A network on a device that holds few images at a time."""

from __future__ import annotations

import torch
from torch import nn


def hold_at_most(network: nn.Module, most: int) -> list[int]:
    """Let a network run out of memory above ``most`` images; return the sizes that are asked."""
    asked: list[int] = []

    def refuse(module, inputs):
        asked.append(len(inputs[0]))
        if asked[-1] > most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    network.register_forward_pre_hook(refuse)
    return asked
