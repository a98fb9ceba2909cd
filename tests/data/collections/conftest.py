from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage


def textures(count: int, size: int = 64, seed: int = 0) -> np.ndarray:
    """Patches that differ in their coarse structure, uint8 (count, size, size, 3)."""
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal((count, size, size))
    smooth = ndimage.gaussian_filter(noise, (0, size / 16, size / 16), mode="wrap")
    stain = np.array([30, 50, 20]) / smooth.std()
    return np.clip(150 + smooth[..., None] * stain, 0, 255).astype(np.uint8)


def encoded(pixels: np.ndarray, kind: str = "PNG", **options: object) -> bytes:
    target = io.BytesIO()
    Image.fromarray(pixels).save(target, kind, **options)
    return target.getvalue()


@pytest.fixture(scope="session")
def make_textures():
    return textures


@pytest.fixture(scope="session")
def encode_image():
    return encoded


@pytest.fixture
def tiles(tmp_path):
    """Forty tiles of four slides: ``<class>/<slide>_<number>.png``, and their groups."""
    folder = tmp_path / "tiles"
    lines = ["file,group"]
    for number, pixels in enumerate(textures(40, 40)):
        name = f"{'ab'[number % 2]}/s{number % 4}_{number:02d}.png"
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(pixels))
        lines.append(f"{name},s{number % 4}")
    (tmp_path / "groups.csv").write_text("\n".join(lines) + "\n")
    return folder
