from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from c2lst.data.image import SlideImage
from c2lst.data.stain.conversion import intensity, optical_density
from c2lst.data.tissue import TissueMask, background_colour, stain_score, tissue_fraction

PURPLE = (120, 90, 160)
images = hnp.arrays(np.uint8, st.tuples(st.integers(1, 3), st.just(4), st.just(4), st.just(3)))


@given(images)
def test_optical_density_and_intensity_are_inverse(batch):
    back = intensity(optical_density(batch)).astype(int)
    assert np.abs(back - np.maximum(batch, 1)).max() == 0


@given(images)
def test_the_share_of_tissue_is_a_share(batch):
    share = tissue_fraction(batch)
    assert share.shape == (len(batch),)
    assert ((share >= 0) & (share <= 1)).all()


@given(st.integers(1, 255))
def test_grey_is_never_stained(level):
    assert stain_score(np.full((1, 3), level, np.uint8)) == 0


def test_the_share_counts_pixels():
    patch = np.full((1, 8, 8, 3), 255, np.uint8)
    patch[0, :2] = PURPLE
    assert tissue_fraction(patch) == pytest.approx(0.25)


def _slide(background):
    """Half a slide of textured tissue, x below 400."""
    rng = np.random.default_rng(0)
    pixels = np.full((600, 800, 3), background, float) + rng.normal(0, 2, (600, 800, 1))
    pixels[:, :400] = np.array(PURPLE) + rng.normal(0, 25, (600, 400, 1))
    return np.clip(pixels, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("background", [(255, 255, 255), (235, 220, 235), (240, 240, 252)])
def test_the_mask_is_the_tissue_whatever_the_background(background):
    mask = TissueMask.of(SlideImage.from_array(_slide(background)), mpp=8.0)
    assert mask.mask.mean() == pytest.approx(0.5, abs=0.02)
    inside, outside = [[200, 300]], [[600, 300]]
    assert mask.at(np.array(inside)).all() and not mask.at(np.array(outside)).any()


def test_shadows_and_a_diffuse_cast_are_no_tissue():
    pixels = _slide((235, 220, 235))
    shadow = pixels[100:200, 500:700]  # something out of focus
    shadow[:] = (shadow * 0.4).astype(np.uint8)
    pixels[300:500, 500:750] = (250, 205, 225)  # eosin that has run
    assert TissueMask.of(SlideImage.from_array(pixels), 8.0).mask.mean() == pytest.approx(
        0.5, abs=0.03
    )


@pytest.mark.parametrize(
    ("colour", "share"), [((255, 255, 255), 0), ((238, 225, 236), 0), (PURPLE, 1)]
)
def test_an_empty_slide_is_empty_and_a_full_one_full(colour, share):
    rng = np.random.default_rng(1)
    pixels = np.clip(np.array(colour) + rng.normal(0, 3, (400, 400, 1)), 0, 255).astype(np.uint8)
    assert TissueMask.of(SlideImage.from_array(pixels), 8.0).mask.mean() == share


def test_fat_is_tissue_though_most_of_it_is_empty():
    """Walls of 4 µm around cells of 100 µm, at 2 µm/px, on the left half of a slide."""
    pixels = np.full((900, 1200, 3), (250, 248, 250), np.uint8)
    for start in range(20, 580, 50):
        pixels[20:880, start : start + 2] = (190, 110, 160)
    for start in range(20, 880, 50):
        pixels[start : start + 2, 20:572] = (190, 110, 160)
    mask = TissueMask.of(SlideImage.from_array(pixels), 2.0)
    fat = np.random.default_rng(0).uniform([60, 60], [530, 840], (200, 2))
    empty = np.random.default_rng(0).uniform([640, 60], [1180, 840], (200, 2))
    assert mask.at(fat).mean() > 0.95
    assert not mask.at(empty).any()
    assert (tissue_fraction(pixels[None, 100:156, 100:156]) < 0.2).all()


def test_specks_of_dust_are_no_tissue():
    rng = np.random.default_rng(0)
    pixels = np.full((900, 1200, 3), (250, 248, 250), np.uint8)
    for x, y in rng.integers(10, 880, (60, 2)):
        pixels[y : y + 8, x : x + 8] = PURPLE
    assert TissueMask.of(SlideImage.from_array(pixels), 2.0).mask.mean() < 0.01


def test_outside_the_slide_there_is_no_tissue():
    mask = TissueMask(np.ones((10, 20), bool), 1.0, np.full(3, 255.0))
    assert mask.at(np.array([[-1, 5], [5, -0.5], [20, 5], [5, 10], [19.9, 9.9]])).tolist() == [
        False, False, False, False, True,
    ]  # fmt: skip
    assert mask.share(np.array([[0, 5], [10, 5]]), 4) == pytest.approx([0.5, 1.0])


@given(st.floats(-30, 50), st.floats(-30, 50), st.floats(0.5, 60))
def test_the_share_of_a_square_is_the_mean_of_the_mask(x, y, side):
    rng = np.random.default_rng(0)
    mask = TissueMask(rng.random((20, 25)) > 0.5, 1.0, np.full(3, 255.0))
    share = mask.share(np.array([[x, y]]), side)[0]
    width = max(1, round(side))
    x0, y0 = np.rint(np.array([x, y]) - width / 2).astype(int)
    padded = np.pad(mask.mask, 100)
    square = padded[100 + y0 : 100 + y0 + width, 100 + x0 : 100 + x0 + width]
    assert share == pytest.approx(square.mean())


def test_the_background_is_the_pale_colour():
    assert background_colour(_slide((235, 220, 235))) == pytest.approx((235, 220, 235), abs=3)
    assert (background_colour(np.full((5, 5, 3), PURPLE, np.uint8)) == 255).all()
