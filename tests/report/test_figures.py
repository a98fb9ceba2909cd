from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from c2lst.report import figures
from c2lst.report.artefacts import Thumbnail

GRID = 100.0 * np.stack(np.meshgrid(np.arange(5), np.arange(4)), axis=-1).reshape(-1, 2)


def decoded(uri: str) -> Image.Image:
    head, data = uri.split(",", 1)
    assert head in ("data:image/png;base64", "data:image/jpeg;base64")
    return Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB")


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def test_noisiest_patches_can_be_encoded() -> None:
    sheet = decoded(figures.mosaic(noise(48, 64, 64, 3), 8))
    assert sheet.size == (8 * 66 - 2, 6 * 66 - 2)


@pytest.mark.parametrize("size", [16, 32, 64])
def test_small_patch_is_enlarged_without_a_new_colour(size: int) -> None:
    pixels = noise(size, size, 3)
    image = np.asarray(decoded(figures.patch(pixels)))
    factor = image.shape[0] // size
    assert factor > 1
    np.testing.assert_array_equal(image[::factor, ::factor], pixels)
    np.testing.assert_array_equal(image, np.kron(pixels, np.ones((factor, factor, 1), np.uint8)))


def test_map_puts_values_where_the_spots_are() -> None:
    frame = figures.Frame.around(GRID, None, fill=0.9)
    values = np.where(GRID[:, 0] == 0, 1.0, 0.0)
    values[-1] = np.nan
    none = np.zeros(len(GRID), bool)
    image = np.asarray(decoded(figures.spot_map(frame, values, none, "viridis", (0, 1))))
    left, right, top, bottom = frame.bounds

    def colour(spot: np.ndarray) -> np.ndarray:
        x = (spot[0] - left) / (right - left) * image.shape[1]
        y = (spot[1] - top) / (bottom - top) * image.shape[0]
        return image[int(y), int(x)].astype(int)

    assert np.abs(colour(GRID[0]) - (253, 231, 37)).max() < 12  # viridis at its end
    assert np.abs(colour(GRID[1]) - (68, 1, 84)).max() < 12  # and at its start
    assert colour(GRID[-1]).min() > 240  # unmeasured: no value is invented


def test_y_runs_downwards_with_the_thumbnail() -> None:
    picture = np.full((50, 60, 3), 255, np.uint8)
    picture[:25] = (200, 0, 0)
    frame = figures.Frame.around(GRID, Thumbnail(picture, 0.1), fill=0.5)
    image = np.asarray(decoded(figures.slide_crop(frame))).astype(int)
    _, _, top, bottom = frame.bounds

    def green(y: float) -> int:
        return int(image[int((y - top) / (bottom - top) * len(image)), image.shape[1] // 2, 1])

    assert green(100) < 40
    assert green(350) > 200


@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_spots_off_the_thumbnail_still_draw(offset: float) -> None:
    frame = figures.Frame.around(GRID + offset, Thumbnail(noise(20, 20, 3), 0.1), fill=0.5)
    role = np.array(["train", "test", "val", "buffer", "test"] * 4)
    assert decoded(figures.split_overlay(frame, role, 0.5)).width > 100


def test_one_spot_is_enough() -> None:
    frame = figures.Frame.around(GRID[:1], None, fill=0.9)
    one = np.array([True])
    assert decoded(figures.spot_map(frame, np.array([0.5]), one, "cividis", (0, 1))).width > 100
