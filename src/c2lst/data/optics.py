"""Optical density, the scale on which stains add (Beer and Lambert)."""

from __future__ import annotations

import numpy as np

_LEVELS = np.arange(256, dtype=np.float32)


def optical_density(images: np.ndarray, background: np.ndarray | None = None) -> np.ndarray:
    """Optical density, natural logarithm, of 8-bit RGB.

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
