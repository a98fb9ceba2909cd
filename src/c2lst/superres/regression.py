"""A plain U-Net that regresses the bins on spots and image: the baseline of one answer."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from c2lst.diffusion.draws import Draws, mix_seed
from c2lst.diffusion.options import TrainSettings
from c2lst.diffusion.trainer import train
from c2lst.superres.blocks import resized
from c2lst.superres.maps import SuperresMaps
from c2lst.superres.scaling import ExpressionScale
from c2lst.superres.settings import SuperresSettings
from c2lst.superres.tiles import Tiles
from c2lst.superres.training import Views
from c2lst.superres.windows import WindowSource


class PlainUNet(nn.Module):
    """diffusers' U-Net on the upsampled spots beside the image, without noise levels.

    Parameters
    ----------
    genes
        Number of genes G.
    settings
        Sizes of the diffusion model, which it shares.
    """

    def __init__(self, genes: int, settings: SuperresSettings) -> None:
        super().__init__()
        from diffusers import UNet2DModel

        self.unshuffle = nn.PixelUnshuffle(settings.image_px)
        self.unet = UNet2DModel(
            in_channels=genes + 3 * settings.image_px**2,
            out_channels=genes,
            layers_per_block=1,
            block_out_channels=(settings.width, settings.width, 2 * settings.width),
            down_block_types=("DownBlock2D",) * 3,
            up_block_types=("UpBlock2D",) * 3,
            norm_num_groups=settings.groups,
            add_attention=False,
        )

    def forward(self, spots: Tensor, image: Tensor) -> Tensor:
        """Return scaled bins ``(B, G, H, W)`` for scaled spots and the image in [-1, 1]."""
        image = self.unshuffle(image)
        inputs = torch.cat([resized(spots, image), image], dim=1)
        predicted: Tensor = self.unet(inputs, 0).sample
        return predicted


class _Objective:
    def __init__(self, scale: ExpressionScale, settings: SuperresSettings) -> None:
        self.views = Views(scale, settings)

    def __call__(self, model: nn.Module, batch: dict[str, Tensor], draws: Draws) -> Tensor:
        bins, spots, image = self.views(batch, draws)
        error = model(spots, image).float() - bins
        return error.square().mean(dim=(1, 2, 3))


def train_regression(
    maps: SuperresMaps,
    scale: ExpressionScale,
    settings: SuperresSettings,
    training: TrainSettings,
    *,
    directory: Path | None = None,
    about: Mapping[str, Any] | None = None,
) -> PlainUNet:
    """Train the baseline by squared error of scaled bins."""
    torch.manual_seed(mix_seed(training.seed, 2))
    network = PlainUNet(len(maps.genes), settings)
    train(
        network, _Objective(scale, settings), WindowSource(maps, settings), training,
        directory=directory, label="regression", about=about,
    )  # fmt: skip
    return network


def regress(network: PlainUNet, tiles: Tiles, scale: ExpressionScale, genes: int) -> np.ndarray:
    """Predict the counts of an area, float32 ``(G, H, W)``."""
    with torch.no_grad():
        (scaled,) = tiles.blend(
            lambda _, told: (network(told.spots, told.image),),
            torch.zeros(genes, *tiles.area.shape),
        )
    whole = scale.clamp(scaled[None], tiles.base)
    return scale.decode(whole, tiles.base)[0].numpy()
