"""Small H&E-like patches as the files that data sets hold."""

from __future__ import annotations

import io

import numpy as np


def patch_bytes(seed: int, size: int = 16, kind: str = "PNG") -> bytes:
    """An encoded patch; another seed, another patch."""
    from PIL import Image

    rng = np.random.default_rng(seed)
    pixels = rng.integers(120, 255, (size, size, 3), dtype=np.uint8)
    written = io.BytesIO()
    Image.fromarray(pixels).save(written, kind)
    return written.getvalue()
