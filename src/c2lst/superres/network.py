"""The network of Diff-ST: noise levels of maps, denoised given spots, tissue and cells."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from c2lst.superres.blocks import (
    CellAttention,
    CrossAttention,
    Disentangling,
    Modulation,
    NoiseLevel,
    ResBlock,
    disentangling_loss,
    remembered,
    resized,
    zeroed,
)
from c2lst.superres.graph import GraphLayer
from c2lst.superres.settings import SuperresSettings

LEVELS = 3


class Condition(NamedTuple):
    """What a window is predicted from.

    Attributes
    ----------
    spots
        Scaled expression of the spots, ``(B, G, h, w)``.
    image
        RGB in [-1, 1], ``(B, 3, k·H, k·W)``.
    cells
        Mean of the cell crops shown, ``(B, 3, p, p)``.
    """

    spots: Tensor
    image: Tensor
    cells: Tensor


class Denoised(NamedTuple):
    """What the network says: target ``(B, G, H, W)``, variance fraction alike, and a loss (B,)."""

    target: Tensor
    variance: Tensor
    disentangling: Tensor


class Encoder(nn.Module):
    """conv, Res, Down, Res, Down, Res; what all six give goes to the decoder."""

    def __init__(self, channels: int, settings: SuperresSettings) -> None:
        super().__init__()
        width, groups = settings.width, settings.groups
        self.conv = nn.Conv2d(channels, width, 3, padding=1)
        self.downs = nn.ModuleList(
            ResBlock(width, width, 4 * width, groups, "down") for _ in range(LEVELS - 1)
        )
        self.again = settings.checkpointing

    def forward(self, x: Tensor, time: Tensor, blocks: nn.ModuleList) -> list[Tensor]:
        """Return features of 1, 1, ½, ½, ¼ and ¼ of the resolution.

        The blocks at each resolution are handed in, since streams share them.
        """
        features = [self.conv(x)]
        for level, block in enumerate(blocks):
            if level:
                features.append(remembered(self.downs[level - 1], self.again, features[-1], time))
            features.append(remembered(block, self.again, features[-1], time))
        return features


class SuperresNetwork(nn.Module):
    """Predict the target of a noisy map and the fraction of its variance.

    Streams of the noisy map and of the tissue share their blocks at each resolution, not those
    that halve it; the spots have their own. The middle works on the noisy map's features beside
    what they read in the condition.

    Parameters
    ----------
    genes
        Number of genes G.
    settings
        Sizes and components.
    """

    def __init__(self, genes: int, settings: SuperresSettings) -> None:
        super().__init__()
        width, groups, parts = settings.width, settings.groups, settings.components
        self.parts, self.again = parts, settings.checkpointing
        time = 4 * width

        def blocks() -> nn.ModuleList:
            return nn.ModuleList(ResBlock(width, width, time, groups) for _ in range(LEVELS))

        self.time = NoiseLevel(width)
        self.shared = blocks()
        self.noisy = Encoder(genes, settings)
        conditions = 0
        if parts.use_image:
            conditions += 1
            self.unshuffle = nn.PixelUnshuffle(settings.image_px)
            self.tissue = Encoder(3 * settings.image_px**2, settings)
            if parts.cell_attention:
                self.cells = CellAttention(width)
        if parts.use_spots:
            conditions += 1
            self.spots, self.of_spots = Encoder(genes, settings), blocks()
            if parts.graph_layer:
                self.graph = GraphLayer(genes)
        if conditions == 2 and parts.modulation:
            self.modulation = Modulation(settings.window)
        told = conditions * width
        if parts.disentangle:
            self.disentangling = Disentangling(width)
            told = (1 + conditions) * (width // 2)
        self.fusion = CrossAttention(width, told)
        self.middle = nn.ModuleList(ResBlock(2 * width, 2 * width, time, groups) for _ in range(2))
        self.decoder = nn.ModuleList()
        inside = 2 * width
        for level in range(LEVELS):
            for _ in range(2):
                self.decoder.append(ResBlock(inside + width, width, time, groups))
                inside = width
            if level < LEVELS - 1:
                self.decoder.append(ResBlock(width, width, time, groups, "up"))
        self.out = nn.Sequential(
            nn.GroupNorm(groups, width),
            nn.SiLU(),
            zeroed(nn.Conv2d(width, 2 * genes, 3, padding=1)),
        )

    def forward(self, noisy: Tensor, timesteps: Tensor, condition: Condition) -> Denoised:
        """Denoise maps ``(B, G, H, W)`` at time steps ``(B,)``."""
        parts, time = self.parts, self.time(timesteps)
        streams = [self.noisy(noisy, time, self.shared)]
        if parts.use_spots:
            spots = self.graph(condition.spots) if parts.graph_layer else condition.spots
            told = self.spots(spots, time, self.of_spots)
            streams.append([resized(h, like) for h, like in zip(told, streams[0], strict=True)])
        if parts.use_image:
            tissue = self.tissue(self.unshuffle(condition.image), time, self.shared)
            if parts.cell_attention:
                tissue[-1] = self.cells(tissue[-1], condition.cells)
            streams.append(tissue)
        skips = [torch.stack(level).mean(dim=0) for level in zip(*streams, strict=True)]
        condition_map, loss = self._condition([stream[-1] for stream in streams[1:]])
        asking = streams[0][-1]
        h = torch.cat([asking, self.fusion(asking, condition_map)], dim=1)
        for block in self.middle:
            h = remembered(block, self.again, h, time)
        for block in self.decoder:
            if block.resample is None:
                h = torch.cat([h, skips.pop()], dim=1)
            h = remembered(block, self.again, h, time)
        target, variance = self.out(h).chunk(2, dim=1)
        return Denoised(target, variance, loss)

    def _condition(self, streams: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Put the conditions together; spots come before the image."""
        parts, loss = self.parts, streams[0].new_zeros(len(streams[0]), dtype=torch.float32)
        if not parts.disentangle:
            return torch.cat(self._modulated(streams), dim=1), loss
        pairs = [self.disentangling(stream) for stream in streams]
        if len(pairs) == 2:
            loss = disentangling_loss(pairs[1], pairs[0])
        common = torch.stack([common for common, _ in pairs]).mean(dim=0)
        distinct = self._modulated([distinct for _, distinct in pairs])
        return torch.cat([common, *distinct], dim=1), loss

    def _modulated(self, streams: list[Tensor]) -> list[Tensor]:
        if len(streams) < 2 or not self.parts.modulation:
            return streams
        image, spots = self.modulation(streams[1], streams[0])
        return [spots, image]


def count_parameters(network: nn.Module) -> int:
    """Count the parameters of a network."""
    return sum(p.numel() for p in network.parameters())
