"""Weights in half precision: half the bytes on disk, full precision in memory.

Every number of 16 bit is one of 32 bit, too. Rounded once, weights go to disk at 16 bit and come
back as they were, any number of times; and since they are hashed at 32 bit, at which they are used,
their hash does not depend on how they are stored.
"""

from __future__ import annotations

import copy
from typing import TypeVar

import torch
from torch import nn

from c2lst.errors import InputError

Network = TypeVar("Network", bound=nn.Module)


def rounded(network: Network) -> Network:
    """Return a copy whose weights are the nearest that half precision has, at 32 bit.

    Raises
    ------
    InputError
        If a weight is beyond the range of half precision.
    """
    result = copy.deepcopy(network)
    with torch.no_grad():
        for name, weight in result.named_parameters():
            weight.copy_(weight.half())
            if not torch.isfinite(weight).all():
                raise InputError(
                    "weights",
                    f"{name} is beyond the range of half precision",
                    expected=f"at most {torch.finfo(torch.float16).max:g}",
                    remedy="publish without --half",
                )
    return result


def fits_half(network: nn.Module) -> bool:
    """Whether half precision holds all weights as they are."""
    return all(torch.equal(w, w.half().to(w.dtype)) for w in network.parameters())


def as_stored(network: Network) -> Network:
    """Return the network as it is written: at 16 bit where nothing is lost, else itself."""
    return copy.deepcopy(network).half() if fits_half(network) else network
