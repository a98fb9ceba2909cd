"""DenseNet (Huang et al., CVPR 2017), the image network of ST-Net (He et al., 2020)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class DenseFeatures:
    """What a backbone returns.

    Parameters
    ----------
    last_hidden_state
        Maps (B, width, h, w).
    pooler_output
        Their means (B, width, 1, 1).
    """

    last_hidden_state: Tensor
    pooler_output: Tensor


class DenseLayer(nn.Module):
    """BN-ReLU-1×1, BN-ReLU-3×3: ``growth`` new maps, set beside those that came in."""

    def __init__(self, width: int, growth: int, bottleneck: int) -> None:
        super().__init__()
        inner = bottleneck * growth
        self.new_maps = nn.Sequential(
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, inner, 1, bias=False),
            nn.BatchNorm2d(inner),
            nn.ReLU(),
            nn.Conv2d(inner, growth, 3, padding=1, bias=False),
        )

    def forward(self, maps: Tensor) -> Tensor:
        """(B, width, h, w) to (B, width + growth, h, w)."""
        return torch.cat([maps, self.new_maps(maps)], dim=1)


class DenseNet(nn.Module):
    """Stem, dense blocks, and between two blocks a transition that halves width and size.

    Parameters
    ----------
    growth
        New maps of each layer.
    depths
        Layers of each block.
    stem
        Width of the stem.
    bottleneck
        Width of a layer's 1×1 convolution, in ``growth``.
    pooled_stem
        Whether the stem pools, as it was published; without, small patches keep more pixels.
    """

    def __init__(
        self,
        growth: int,
        depths: tuple[int, ...],
        stem: int,
        *,
        bottleneck: int = 4,
        pooled_stem: bool = True,
    ) -> None:
        super().__init__()
        parts: list[nn.Module] = [
            nn.Conv2d(3, stem, 7, stride=2, padding=3, bias=False),
            nn.BatchNorm2d(stem),
            nn.ReLU(),
        ]
        if pooled_stem:
            parts.append(nn.MaxPool2d(3, stride=2, padding=1))
        width = stem
        for number, depth in enumerate(depths):
            if number:
                parts.append(_transition(width))
                width //= 2
            for _ in range(depth):
                parts.append(DenseLayer(width, growth, bottleneck))
                width += growth
        parts += [nn.BatchNorm2d(width), nn.ReLU()]
        self.layers = nn.Sequential(*parts)
        self.width = width
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)

    def forward(self, images: Tensor) -> DenseFeatures:
        """Features of images (B, 3, H, W)."""
        maps = self.layers(images)
        return DenseFeatures(maps, maps.mean(dim=(2, 3), keepdim=True))


def _transition(width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.Conv2d(width, width // 2, 1, bias=False),
        nn.AvgPool2d(2),
    )
