"""Low-rank updates of frozen weights: W ← W + B·A (Hu et al., ICLR 2022)."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize


class LowRank(nn.Module):
    """The update of one weight, as a parametrization: added wherever the weight is read.

    B starts at zero, so that the weight starts as it was, bit for bit.

    Parameters
    ----------
    weight
        The frozen weight ``(out, ...)``: of a linear layer, or of a convolution, whose input
        channels and kernel are taken as one axis.
    rank
        Rank of the update.
    """

    def __init__(self, weight: Tensor, rank: int) -> None:
        super().__init__()
        fan_in = weight[0].numel()
        self.down = nn.Parameter(torch.randn(rank, fan_in) / math.sqrt(fan_in))
        self.up = nn.Parameter(torch.zeros(len(weight), rank))

    def forward(self, weight: Tensor) -> Tensor:
        """Return the updated weight."""
        return weight + (self.up @ self.down).view_as(weight).to(weight.dtype)


def add_updates(block: nn.Module, rank: int) -> Iterator[tuple[str, LowRank]]:
    """Update the convolutions and linear layers of a block; yield the name and update of each.

    The time projection of a residual block is left out: the gene modulation composes with it.
    """
    for name, layer in list(block.named_modules()):
        if isinstance(layer, nn.Conv2d | nn.Linear) and not name.startswith("time_emb_proj"):
            update = LowRank(layer.weight, rank)
            parametrize.register_parametrization(layer, "weight", update)
            yield name, update
