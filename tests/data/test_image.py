from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from c2lst.data.image import SlideImage, decode_rgb
from c2lst.errors import InputError


def _random(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".tiff", ".PNG"])
def test_lossless_files_decode_exactly(tmp_path, suffix):
    pixels = _random(40, 50)
    Image.fromarray(pixels).save(tmp_path / f"a{suffix}")
    image = SlideImage.open(tmp_path / f"a{suffix}")
    assert (image.width, image.height) == (50, 40)
    assert np.array_equal(image.read(0, 0, 50, 40), pixels)
    assert np.array_equal(image.read(10, 5, 7, 3), pixels[5:8, 10:17])


@pytest.mark.parametrize("region", [(-1, 0, 5, 5), (0, -1, 5, 5), (46, 0, 5, 5), (0, 0, 5, 41)])
def test_a_region_outside_is_refused(region):
    with pytest.raises(ValueError, match="leaves the image"):
        SlideImage.from_array(_random(40, 50)).read(*region)


@given(st.integers(1, 90), st.integers(1, 90), st.integers(4, 100))
def test_a_thumbnail_fits_and_keeps_the_mean_colour(height, width, longest):
    image = SlideImage.from_array(np.full((height, width, 3), (200, 100, 50), np.uint8))
    small = image.thumbnail(longest)
    assert max(small.shape[:2]) == min(longest, max(height, width))
    assert (small == (200, 100, 50)).all()


def test_a_thumbnail_shows_things_where_they_are():
    pixels = np.full((4000, 3000, 3), 255, np.uint8)
    pixels[3000:3400, 600:900] = 0
    small = SlideImage.from_array(pixels).thumbnail(400)
    rows, columns = np.nonzero(small[..., 0] < 128)
    assert abs(rows.mean() - 319.5) < 0.6
    assert abs(columns.mean() - 74.5) < 0.6


def test_transparent_pixels_are_white(tmp_path):
    pixels = np.zeros((4, 4, 4), np.uint8)
    pixels[:2] = (10, 20, 30, 255)
    Image.fromarray(pixels, "RGBA").save(tmp_path / "a.png")
    decoded = decode_rgb(tmp_path / "a.png")
    assert (decoded[:2] == (10, 20, 30)).all()
    assert (decoded[2:] == 255).all()


def _not_an_image(path):
    path.write_bytes(b"\x00\x01 this is no picture" * 20)


def _cut_short(path):
    Image.fromarray(_random(200, 200)).save(path)
    path.write_bytes(path.read_bytes()[:3000])


def _sixteen_bit(path):
    Image.fromarray(np.zeros((8, 8), np.uint16)).save(path, format="PNG")


def _cmyk(path):
    Image.new("CMYK", (8, 8)).save(path, format="TIFF")


def _grey(path):
    Image.new("L", (8, 8)).save(path)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: None, "no such image"),
        (lambda path: path.touch(), "empty"),
        (lambda path: path.mkdir(), "no such image"),
        (_not_an_image, "not an image"),
        (_cut_short, "cannot be decoded"),
        (_sixteen_bit, "8-bit colour"),
        (_cmyk, "8-bit colour"),
        (_grey, "8-bit colour"),
    ],
)
def test_what_is_no_colour_image_is_refused_by_name(tmp_path, make, words):
    path = tmp_path / "slide.png"
    make(path)
    with pytest.raises(InputError, match=words) as caught:
        SlideImage.open(path)
    assert "slide.png" in str(caught.value)


@pytest.mark.parametrize("limit", [99, 40])  # Pillow itself refuses at twice the limit
def test_a_bomb_is_refused_before_it_is_decoded(tmp_path, limit):
    before = Image.MAX_IMAGE_PIXELS
    Image.fromarray(_random(10, 10)).save(tmp_path / "a.png")
    with pytest.raises(InputError, match="too large"):
        decode_rgb(tmp_path / "a.png", max_pixels=limit)
    assert decode_rgb(tmp_path / "a.png", max_pixels=100).shape == (10, 10, 3)
    assert before == Image.MAX_IMAGE_PIXELS


def test_only_8_bit_rgb_arrays_are_slides():
    with pytest.raises(InputError, match="8-bit RGB"):
        SlideImage.from_array(np.zeros((4, 4, 3)))
