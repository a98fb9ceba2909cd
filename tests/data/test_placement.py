from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from c2lst.data.image import SlideImage
from c2lst.data.placement import Placement, patch_overlap, tissue_positions


@settings(max_examples=40)
@given(st.integers(1, 12), st.integers(1, 30), st.integers(0, 1000))
def test_the_overlap_is_what_painting_the_patches_gives(count, half, seed):
    # Whole numbers, so that the painted area is exact; spots may coincide.
    centres = np.random.default_rng(seed).integers(0, 60, (count, 2))
    shares = patch_overlap(centres, 2.0 * half)
    for spot, share in enumerate(shares):
        painted = np.zeros((140, 140), bool)
        for x, y in np.delete(centres, spot, axis=0) + 40:
            painted[y - half : y + half, x - half : x + half] = True
        x, y = centres[spot] + 40
        own = painted[max(0, y - half) : y + half, max(0, x - half) : x + half]
        assert share == pytest.approx(own.mean())


def test_the_overlap_of_a_selection_is_that_of_its_patches():
    centres = np.random.default_rng(0).uniform(0, 300, (700, 2))
    whole, some = patch_overlap(centres, 20.0), patch_overlap(centres, 20.0, most=100)
    assert len(some) == 100
    assert some == pytest.approx(whole[np.linspace(0, 699, 100).round().astype(int)])
    assert len(patch_overlap(np.empty((0, 2)), 20.0)) == 0


def test_what_is_outside_or_over_the_border_is_counted(stained_image):
    image = SlideImage.from_array(stained_image(500, 600, seed=3))
    centres = np.array([[-1.0, 250], [300, 500], [10, 250], [300, 250], [590, 490]])
    placed = Placement.of(image, centres, 2.0, 112.0)
    assert placed.outside.tolist() == [True, True, False, False, False]
    assert placed.over_border.tolist() == [True, True, True, False, True]
    assert placed.on_tissue[3] and placed.tissue[3] == 1 and placed.tissue[0] < 0.5
    assert placed.tissue_share == placed.on_tissue.mean()
    assert "2 spots lie outside the image" in str(placed)


class Gigapixels(SlideImage):
    """100,000 x 30,000 px that are nowhere: a disc of tissue, made as it is read."""

    def __init__(self):
        self.read_px = 0
        self.largest = 0

    @property
    def sizes(self):
        return tuple((100_000 // f, 30_000 // f) for f in (1, 4, 16, 32))

    def _read(self, x0, y0, w, h, level):
        self.read_px += w * h
        self.largest = max(self.largest, w * h)
        factor = self.levels[level]
        x, y = np.arange(x0, x0 + w) * factor, np.arange(y0, y0 + h)[:, None] * factor
        tissue = (x - 50_000) ** 2 + (y - 15_000) ** 2 < 10_000**2
        return np.where(tissue[..., None], (150, 90, 160), (245, 244, 246)).astype(np.uint8)


def test_a_gigapixel_slide_is_tiled_from_an_overview():
    slide = Gigapixels()
    found = tissue_positions(slide, 0.2518, 56.0, 28.0)
    assert slide.read_px < 1.1 * 3125 * 938
    assert slide.largest <= 2048**2
    area_um2 = np.pi * (10_000 * 0.2518) ** 2
    assert len(found) == pytest.approx(area_um2 / 28.0**2, rel=0.03)
    assert (np.hypot(*(found - [50_000, 15_000]).T) < 10_400).all()
