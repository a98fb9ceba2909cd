"""Networks that read expression off a patch: residual or dense, with a linear head."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from c2lst.errors import InputError
from c2lst.memory import FittingBatches
from c2lst.prediction.densenet import DenseNet

ARCHITECTURES: Mapping[str, Mapping[str, Any]] = {
    "resnet-tiny": {
        "layer_type": "basic",
        "embedding_size": 32,
        "hidden_sizes": (32, 64, 128),
        "depths": (1, 1, 1),
    },
    "resnet-10": {
        "layer_type": "basic",
        "embedding_size": 64,
        "hidden_sizes": (64, 128, 256, 512),
        "depths": (1, 1, 1, 1),
    },
    "resnet-18": {
        "layer_type": "basic",
        "embedding_size": 64,
        "hidden_sizes": (64, 128, 256, 512),
        "depths": (2, 2, 2, 2),
    },
    "resnet-50": {
        "layer_type": "bottleneck",
        "embedding_size": 64,
        "hidden_sizes": (256, 512, 1024, 2048),
        "depths": (3, 4, 6, 3),
    },
    "densenet-121": {"growth": 32, "depths": (6, 12, 24, 16), "stem": 64},
}
"""Layouts by name: ``resnet-50`` is C2L-ST's, ``densenet-121`` ST-Net's (He et al., 2020).

``resnet-tiny`` is ours, for 32-64 px on a CPU; ``resnet-10`` has one block a stage.
"""

POOLED_STEM_FROM = 96
"""Smallest patch (px) whose stem pools: below, it would leave one or two px to the last blocks."""

HEAD_SCALE = 0.1
"""Spread of an untrained network's predictions, about, in standard deviations of a gene."""

# One fixed scale for every slide: stain normalisation has already made slides alike, and values
# fitted to some images would be one more thing to carry and to leak.
_PIXEL_MEAN = (0.7, 0.6, 0.7)
_PIXEL_STD = (0.2, 0.2, 0.2)


def small_head(width: int, n_genes: int) -> nn.Linear:
    """Make a linear layer that predicts about zero: in standardised units, the training mean."""
    head = nn.Linear(width, n_genes)
    nn.init.normal_(head.weight, std=HEAD_SCALE / width**0.5)
    nn.init.zeros_(head.bias)
    return head


class PatchRegressor(nn.Module):
    """Global features of a backbone, mapped linearly to standardised genes.

    Make it with :func:`build_network`.
    """

    pixel_mean: Tensor
    pixel_std: Tensor

    def __init__(self, backbone: nn.Module, width: int, n_genes: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = small_head(width, n_genes)
        self.register_buffer("pixel_mean", torch.tensor(_PIXEL_MEAN).view(1, 3, 1, 1))
        self.register_buffer("pixel_std", torch.tensor(_PIXEL_STD).view(1, 3, 1, 1))

    def features(self, images: Tensor) -> Tensor:
        """Global features (B, width) of images (B, 3, H, W) in [0, 1]."""
        output = self.backbone((images - self.pixel_mean) / self.pixel_std)
        pooled: Tensor = output.pooler_output.flatten(1)
        return pooled

    def forward(self, images: Tensor) -> Tensor:
        """Standardised expression (B, G) of images (B, 3, H, W) in [0, 1]."""
        expression: Tensor = self.head(self.features(images))
        return expression


def build_network(kind: str, n_genes: int, size: int) -> PatchRegressor:
    """Build an untrained network; its weights follow torch's global seed.

    Parameters
    ----------
    kind
        A name of :data:`ARCHITECTURES`.
    n_genes
        Number of genes G.
    size
        Width of the patches in px.

    Raises
    ------
    InputError
        If the name is unknown, or the patches are too small.
    """
    if kind not in ARCHITECTURES:
        raise InputError(
            "network", "unknown kind", found=repr(kind), expected=", ".join(ARCHITECTURES)
        )
    if n_genes < 1 or size < 16:
        raise InputError(
            "network",
            "genes and patch size",
            found=(n_genes, size),
            expected="at least 1 gene and 16 px",
        )
    layout, pooled_stem = ARCHITECTURES[kind], size >= POOLED_STEM_FROM
    if "growth" in layout:
        dense = DenseNet(**layout, pooled_stem=pooled_stem)
        return PatchRegressor(dense, dense.width, n_genes)
    from transformers import ResNetConfig, ResNetModel

    backbone = ResNetModel(ResNetConfig(**layout))
    if not pooled_stem:
        backbone.embedder.pooler = nn.Identity()
    return PatchRegressor(backbone, layout["hidden_sizes"][-1], n_genes)


def to_unit(images: Tensor) -> Tensor:
    """Map uint8 RGB images (B, H, W, 3) to floats in [0, 1] of shape (B, 3, H, W)."""
    return images.permute(0, 3, 1, 2).float() / 255


def recalibrate(network: nn.Module, images: np.ndarray, *, batch_size: int = 256) -> None:
    """Set the statistics of batch normalisation to those of real training images.

    During co-training the running statistics are of a mix of real and synthetic images, but the
    network is only ever asked about real ones; and after few steps they still lag.

    Parameters
    ----------
    network
        Changed in place; it ends in evaluation mode.
    images
        uint8 (n, S, S, 3), at least two of them.
    """
    layers = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    if not layers or len(images) < 2:
        network.eval()
        return
    momentum = [layer.momentum for layer in layers]
    network.train()
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # the plain average over batches
    # Batches of equal size, so that every image counts alike.
    parts = np.array_split(np.asarray(images), int(np.ceil(len(images) / batch_size)))
    device = next(network.parameters()).device
    with torch.no_grad():
        for part in parts:
            network(to_unit(torch.from_numpy(part)).to(device))
    for layer, value in zip(layers, momentum, strict=True):
        layer.momentum = value
    network.eval()


@torch.no_grad()
def predict_patches(
    network: nn.Module, images: np.ndarray, *, batch_size: int = 256, average_turns: bool = True
) -> np.ndarray:
    """Predict standardised expression.

    Parameters
    ----------
    images
        uint8 (n, S, S, 3).
    batch_size
        Images at a time, or fewer where they do not fit in memory.
    average_turns
        Whether to average over the eight turns and mirrors of a patch.

    Returns
    -------
    numpy.ndarray
        float32 (n, G).
    """
    network.eval()
    device = next(network.parameters()).device

    def predicted(chosen: slice) -> np.ndarray:
        upright = to_unit(torch.from_numpy(np.asarray(images[chosen]))).to(device)
        sides, turns = ((upright, upright.flip(3)), 4) if average_turns else ((upright,), 1)
        total: Any = 0
        for view in sides:
            for turn in range(turns):
                total = total + network(torch.rot90(view, turn, dims=(2, 3)))
        return np.asarray((total / (len(sides) * turns)).float().cpu())

    batches = FittingBatches(batch_size).over(len(images), predicted)
    return np.concatenate([rows for _, rows in batches])
