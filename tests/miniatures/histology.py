"""A small H&E image whose tissue is known, and lies so that no turn or mirroring goes unseen."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

HAEMATOXYLIN = np.array([0.65, 0.70, 0.29])
EOSIN = np.array([0.25, 0.81, 0.53])


def he_image(height: int, width: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Image, uint8 (height, width, 3), and where its tissue is, bool (height, width)."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    u, v = x / width, y / height
    tissue = ((u - 0.42) / 0.38) ** 2 + ((v - 0.5 - 0.15 * (u - 0.5)) / 0.42) ** 2 < 1
    nuclei = ndimage.gaussian_filter(rng.random((height, width)) > 0.985, 1.2, output=float)
    fibres = ndimage.gaussian_filter(rng.standard_normal((height, width)), 6)
    amounts = np.stack([18 * nuclei * (0.3 + u), 0.35 + 3 * np.abs(fibres)], axis=-1)
    density = (amounts * tissue[..., None]) @ np.stack([HAEMATOXYLIN, EOSIN])
    density += 0.04 + 0.01 * rng.standard_normal((height, width, 1))
    return np.clip(255 * np.exp(-density), 0, 255).astype(np.uint8), tissue


def on_tissue(tissue: np.ndarray, centres_px: np.ndarray) -> np.ndarray:
    """Whether each (x, y) lies on tissue; bool (n,)."""
    x, y = np.floor(centres_px).astype(int).T
    height, width = tissue.shape
    inside = (x >= 0) & (y >= 0) & (x < width) & (y < height)
    found = np.zeros(len(x), dtype=bool)
    found[inside] = tissue[y[inside], x[inside]]
    return found
