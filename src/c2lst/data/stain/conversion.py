"""Scales of colour: optical density, on which stains add, and CIELAB, on which eyes compare."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor
    from torch import device as Device  # noqa: N812

TISSUE_SCORE = 0.15
"""Least :func:`staining` of a pixel that counts as tissue."""

_LEVELS = np.arange(256, dtype=np.float32)
_GREY = 0.1
# sRGB of illuminant D65 (IEC 61966-2-1) to CIE XYZ, each over that of white.
_WHITE = np.array([0.95047, 1.0, 1.08883])
_XYZ = (
    np.array(
        [
            [0.412453, 0.357580, 0.180423],
            [0.212671, 0.715160, 0.072169],
            [0.019334, 0.119193, 0.950227],
        ]
    )
    / _WHITE[:, None]
)
# CIELAB is linear in the compressed XYZ, but for 16 that are taken off L.
_LAB = np.array([[0.0, 116.0, 0.0], [500.0, -500.0, 0.0], [0.0, 200.0, -200.0]])
_CUBIC_FROM, _CUBE_FROM = 0.008856, 0.2068966


def optical_density(images: np.ndarray, background: np.ndarray | None = None) -> np.ndarray:
    """Optical density, natural logarithm, of 8-bit RGB (Beer and Lambert).

    Parameters
    ----------
    images
        uint8 of shape (..., 3).
    background
        Intensity of the empty slide in each channel, shape (3,); white (255) by default.

    Returns
    -------
    float32 of the same shape, at least 0: ln(background / max(intensity, 1)).
    """
    levels = np.full(3, 255.0) if background is None else np.asarray(background, dtype=float)
    channels = [
        np.clip(np.log(level / np.maximum(_LEVELS, 1)), 0, None).astype(np.float32)[
            images[..., channel]
        ]
        for channel, level in enumerate(levels)
    ]
    return np.stack(channels, axis=-1)


def intensity(density: np.ndarray) -> np.ndarray:
    """uint8 intensity over a white background of an optical density; clipped to 0..255."""
    return np.rint(255.0 * np.exp(-np.clip(density, 0, 12))).astype(np.uint8)


def density_table(device: Device) -> Tensor:
    """Optical density over white of the levels 0..255, float64 (256,)."""
    return (255.0 / _levels(device).clamp(min=1)).log()


def staining(red: Any, green: Any, blue: Any) -> Any:
    """How much a pixel looks stained: geometric mean of optical density and its colour spread.

    Grey shadows, bubbles and dust are dense but colourless; a colour cast of the background is
    coloured but thin. Stained tissue is both. A tenth of the density is taken off the spread,
    which a small error in the background's colour gives to a shadow.

    Parameters
    ----------
    red, green, blue
        Optical densities: arrays or tensors of any one shape, which the result has too.
    """
    mean = (red + green + blue) / 3
    # Half the sum of the three differences: the largest density less the smallest.
    spread = (abs(red - green) + abs(green - blue) + abs(blue - red)) / 2 - _GREY * mean
    return (mean * spread.clip(0)) ** 0.5


def linear_table(device: Device) -> Tensor:
    """Linear light in 0..1 of the sRGB levels 0..255, float64 (256,)."""
    level = _levels(device) / 255
    return level.div(12.92).where(level <= 0.04045, ((level + 0.055) / 1.055) ** 2.4)


def lab_of_linear(linear: Tensor) -> Tensor:
    """CIELAB (b, 3, P) of linear sRGB light (b, 3, P)."""
    xyz = _like(_XYZ, linear) @ linear
    compressed = (7.787 * xyz + 16 / 116).where(
        xyz <= _CUBIC_FROM, xyz.clamp(min=_CUBIC_FROM) ** (1 / 3)
    )
    lab = _like(_LAB, linear) @ compressed
    lab[:, 0] -= 16
    return lab


def srgb_of_lab(lab: Tensor) -> Tensor:
    """Return sRGB (b, 3, P) in 0..255, unrounded, of CIELAB (b, 3, P); cut off at the gamut."""
    shifted = lab.clone()
    shifted[:, 0] += 16
    compressed = _like(np.linalg.inv(_LAB), lab) @ shifted
    xyz = ((compressed - 16 / 116) / 7.787).where(compressed <= _CUBE_FROM, compressed**3)
    linear = (_like(np.linalg.inv(_XYZ), lab) @ xyz).clamp_(0, 1)
    curve = 1.055 * linear.clamp(min=0.0031308) ** (1 / 2.4) - 0.055
    return (12.92 * linear).where(linear <= 0.0031308, curve) * 255


def _levels(device: Device) -> Tensor:
    import torch

    return torch.arange(256, dtype=torch.float64, device=device)


def _like(matrix: np.ndarray, tensor: Tensor) -> Tensor:
    import torch

    return torch.as_tensor(matrix, dtype=tensor.dtype, device=tensor.device)
