"""Whole sections by overlapping tiles, whose answers are blended at every step."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from c2lst.diffusion.noise import to_unit_range
from c2lst.memory import FittingBatches
from c2lst.superres.crops import cell_view
from c2lst.superres.network import Condition
from c2lst.superres.scaling import ExpressionScale
from c2lst.superres.settings import SuperresSettings
from c2lst.superres.windows import Field

OVERLAP = 2
_LEAST_WEIGHT = 1e-2


class Tiles:
    """Tiles of an area, ``OVERLAP`` spots over one another where there are several.

    A map is kept whole and only a batch of tiles is computed at a time, so that neighbouring
    tiles agree and memory is bounded by the map and the batch. Tiles without tissue are left out.

    Parameters
    ----------
    area
        The area.
    scale
        Of the expression.
    settings
        Of the network.
    batch_size
        Tiles at a time, or fewer where they do not fit in memory.
    device
        Where tiles are computed.

    Attributes
    ----------
    base
        What interpolation makes of the area's spots, ``(1, G, H, W)`` on the CPU, if the scale has
        one: the map that answers are to be added to.
    """

    def __init__(
        self,
        area: Field,
        scale: ExpressionScale,
        settings: SuperresSettings,
        *,
        batch_size: int = 16,
        device: torch.device | str = "cpu",
    ) -> None:
        self.area, self.scale, self.settings = area, scale, settings
        self.batches, self.device = FittingBatches(batch_size), device
        stride = max(1, settings.lr_size - OVERLAP)
        s, side = settings.scale, settings.hr_size
        self.places = [
            (row, column)
            for row, column in area.places(stride)
            if area.tissue[row * s : row * s + side, column * s : column * s + side].any()
        ]
        spots = torch.from_numpy(np.ascontiguousarray(area.spots))[None]
        self.base = scale.base(spots, settings.scale, area.shape)
        cells = self.batches.over(len(self.places), self._cells_of)
        self._cells = torch.cat([part for _, part in cells])
        ramp = np.minimum(np.arange(side) + 0.5, side - np.arange(side) - 0.5) / (side / 2)
        weight = np.maximum(np.outer(ramp, ramp), _LEAST_WEIGHT)
        self._weight = torch.from_numpy(weight.astype(np.float32))
        self._total = torch.zeros(area.shape)
        for where in map(self._where, self.places):
            self._total[where] += self._weight

    def blend(
        self,
        compute: Callable[[Tensor, Condition], tuple[Tensor, ...]],
        values: Tensor,
    ) -> tuple[Tensor, ...]:
        """Apply ``compute`` to each tile of maps and blend what it gives into maps.

        Parameters
        ----------
        compute
            Maps tiles ``(B, G, S, S)`` and their conditions to one or more tensors of that shape.
        values
            ``(G, H, W)``, the whole area.

        Returns
        -------
        tuple of Tensor
            Each ``(G, H, W)``; zero where there is no tile.
        """

        def computed(chosen: slice) -> list[Tensor]:
            places = map(self._where, self.places[chosen])
            tiles = torch.stack([values[:, *where] for where in places])
            found = compute(tiles.to(self.device), self._condition(chosen))
            return [part.float().cpu() for part in found]

        sums: list[Tensor] = []
        for chosen, found in self.batches.over(len(self.places), computed):
            if not sums:
                sums = [torch.zeros(part.shape[1], *self.area.shape) for part in found]
            for total, part in zip(sums, found, strict=True):
                for place, tile in zip(self.places[chosen], part, strict=True):
                    total[:, *self._where(place)] += self._weight * tile
        if not sums:
            return (torch.zeros_like(values),)
        return tuple(total / self._total.clamp(min=1e-12) for total in sums)

    def _where(self, place: tuple[int, int]) -> tuple[slice, slice]:
        side = self.settings.hr_size
        top, left = (first * self.settings.scale for first in place)
        return slice(top, top + side), slice(left, left + side)

    def _images(self, chosen: slice) -> Tensor:
        stacked = np.stack([self.area.window(*place)["image"] for place in self.places[chosen]])
        return to_unit_range(torch.from_numpy(stacked))

    def _cells_of(self, chosen: slice) -> Tensor:
        return cell_view(self._images(chosen), self.settings.crop_px)

    def _condition(self, chosen: slice) -> Condition:
        spots = np.stack([self.area.window(*place)["spots"] for place in self.places[chosen]])
        scaled = self.scale.encode_spots(torch.from_numpy(spots))
        parts = (scaled, self._images(chosen), self._cells[chosen])
        return Condition(*(part.to(self.device) for part in parts))
