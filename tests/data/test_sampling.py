from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from c2lst.data.sampling import reach, sample

steps = st.sampled_from([0.3, 0.9, 1.0, 1.0018, 1.7, 2.0, 3.3, 7.0])
fractions = st.floats(0, 1)


def _rows(pixels):
    return np.ascontiguousarray(pixels.transpose(0, 2, 1))


@settings(max_examples=40)
@given(steps, fractions, fractions)
def test_the_filter_is_pillow_s(step, x, y):
    rng = np.random.default_rng(0)
    margin, side = int(np.ceil(reach(step))), 24
    length = int(np.ceil(side * step)) + 2 * margin + 2
    noise = rng.integers(100, 156, (length, length, 3)).astype(np.uint8)  # nothing overshoots
    found = sample(_rows(noise), np.array([x, y]) + margin, step, side)
    whole = np.array([x, y, x + side * step, y + side * step]) + margin
    rim = int(np.ceil(margin / step))
    # Pillow stops at its box, so that it is given a wider one where there is room.
    box = whole + np.array([-1, -1, 1, 1]) * rim * step
    inside = box.min() >= 0 and box.max() <= length
    box, cut = (box, rim) if inside else (whole, 0)
    wide = side + 2 * cut
    image = Image.fromarray(noise).resize((wide, wide), Image.Resampling.LANCZOS, box=tuple(box))
    theirs = np.asarray(image)[cut : wide - cut, cut : wide - cut].astype(int)
    edge = 0 if inside else rim + 1
    apart = np.abs(found - theirs)[edge : side - edge, edge : side - edge]
    assert apart.size == 0 or apart.max() <= 1


@given(steps, fractions, st.integers(0, 255))
def test_a_plain_colour_stays(step, x, level):
    pixels = np.full((60, 60, 3), level, np.uint8)
    assert (sample(_rows(pixels), np.array([x, x]), step, 8) == level).all()


@pytest.mark.parametrize("step", [0.5, 1.0, 2.5])
def test_the_axes_are_not_exchanged(step):
    pixels = np.zeros((120, 120, 3), np.uint8)
    pixels[..., 0] = np.arange(120)
    pixels[..., 1] = np.arange(120)[:, None]
    found = sample(_rows(pixels), np.array([20.0, 40.0]), step, 20).astype(float)
    centres = (np.arange(20) + 0.5) * step - 0.5
    assert np.abs(found[..., 0] - (20 + centres)).max() <= 0.51
    assert np.abs(found[..., 1] - (40 + centres)[:, None]).max() <= 0.51
