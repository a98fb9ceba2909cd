"""The denoising U-Net: diffusers' ``UNet2DModel`` with scale-shift time conditioning."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from c2lst.errors import InputError
from c2lst.rules import hold, multiple_of, whole
from c2lst.storage import read_json

if TYPE_CHECKING:
    from diffusers import UNet2DModel


@dataclass(frozen=True)
class UNetShape:
    """Size of a U-Net.

    Parameters
    ----------
    size
        Side of the square patches in px. The paper leaves the model's pixel size open.
    widths
        Channels at each scale, fine to coarse (paper: initial width 64, four scales).
    layers
        Residual blocks per scale.
    groups
        Groups of the group normalisation; divides every width.
    """

    size: int
    widths: tuple[int, ...]
    layers: int = 2
    groups: int = 32

    def __post_init__(self) -> None:
        where = "model settings"
        hold(self, where, layers=whole(1), groups=whole(1))
        hold(self, where, widths=multiple_of(self.groups).each(least=1))
        hold(self, where, size=multiple_of(2 ** (len(self.widths) - 1)))


def build_unet(shape: UNetShape) -> UNet2DModel:
    """Build a U-Net that maps ``(B, 3, size, size)`` and time steps to the predicted target.

    Block types are explicit, with attention at the coarsest scale only: diffusers' defaults put it
    at high resolution and double the cost. ``scale_shift`` makes every residual block compute
    Norm(h)·(1 + s) + b from the time embedding, which is where the genes come in later.
    """
    from diffusers import UNet2DModel

    plain = len(shape.widths) - 1
    return UNet2DModel(
        sample_size=shape.size,
        in_channels=3,
        out_channels=3,
        block_out_channels=shape.widths,
        layers_per_block=shape.layers,
        down_block_types=("DownBlock2D",) * plain + ("AttnDownBlock2D",),
        up_block_types=("AttnUpBlock2D",) + ("UpBlock2D",) * plain,
        attention_head_dim=min(64, shape.widths[-1]),
        norm_num_groups=shape.groups,
        # Left out, it becomes None under scale_shift and takes the middle attention's norm away.
        attn_norm_num_groups=shape.groups,
        resnet_time_scale_shift="scale_shift",
    )


def shape_of(unet: UNet2DModel) -> UNetShape:
    """Return the shape that :func:`build_unet` made a U-Net from."""
    config = unet.config
    return UNetShape(
        int(config.sample_size),
        tuple(config.block_out_channels),
        int(config.layers_per_block),
        int(config.norm_num_groups),
    )


def unet_of_config(path: Path) -> UNet2DModel:
    """Build the U-Net that a ``config.json`` of diffusers describes, with weights still untrained.

    Raises
    ------
    InputError
        If the file is missing or describes no such network.
    """
    from diffusers import UNet2DModel

    config = read_json(path, required=("sample_size", "block_out_channels"))
    try:
        return UNet2DModel.from_config(config)
    except (TypeError, ValueError, AttributeError) as error:
        raise InputError(
            path, f"describes no U-Net ({error})", expected="the config.json of a central model"
        ) from error
