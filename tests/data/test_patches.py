from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from c2lst.data.image import SlideImage
from c2lst.data.patches import Patches, extract_patches, patch_overlap, tissue_positions
from c2lst.errors import InputError


def _ramp(height=300, width=400):
    """Red encodes x, green encodes y, both in steps of half a level a pixel."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[..., 0] = np.arange(width)[None] // 2
    pixels[..., 1] = np.arange(height)[:, None] // 2
    pixels[..., 2] = 200
    return SlideImage.from_array(pixels)


@settings(max_examples=25)
@given(st.floats(80, 320), st.floats(80, 220), st.sampled_from([0.5, 1.0, 1.7]))
def test_a_patch_is_centred_on_its_spot_and_as_wide_as_asked(x, y, mpp):
    patch = extract_patches(_ramp(), np.array([[x, y]]), mpp, 50.0, 16)[0].astype(float)
    # Pixel 0 covers 0..1, so that the centre at x lies between the pixels x - 1 and x.
    assert patch[..., 0].mean() * 2 == pytest.approx(x - 1, abs=1.2)
    assert patch[..., 1].mean() * 2 == pytest.approx(y - 1, abs=1.2)
    step = (patch[:, -1, 0] - patch[:, 0, 0]).mean() * 2 / 15 * 16
    assert step == pytest.approx(50.0 / mpp, abs=2.3)


def test_sampling_is_antialiased():
    stripes = np.zeros((256, 256, 3), np.uint8)
    stripes[:, ::2] = 255
    patch = extract_patches(SlideImage.from_array(stripes), np.array([[128, 128]]), 1.0, 128, 16)
    assert np.abs(patch.astype(int) - 128).max() <= 3


def test_beyond_the_border_is_the_background():
    pixels = np.full((200, 200, 3), (230, 220, 235), np.uint8)
    pixels[:20, :20] = (100, 50, 120)
    patch = extract_patches(SlideImage.from_array(pixels), np.array([[0.0, 0.0]]), 1.0, 40, 20)[0]
    assert np.abs(patch[13:17, 13:17].astype(int) - (100, 50, 120)).max() <= 4
    assert np.abs(patch[:6, :6].astype(int) - (230, 220, 235)).max() <= 1
    far = extract_patches(SlideImage.from_array(pixels), np.array([[900.0, -900]]), 1.0, 40, 20)
    assert np.abs(far.astype(int) - (230, 220, 235)).max() <= 1


def test_the_order_is_that_of_the_centres():
    centres = np.random.default_rng(0).uniform(60, 240, (20, 2))
    together = extract_patches(_ramp(), centres, 1.0, 30, 8)
    alone = [extract_patches(_ramp(), centre[None], 1.0, 30, 8)[0] for centre in centres]
    assert np.array_equal(together, np.stack(alone))
    assert extract_patches(_ramp(), np.empty((0, 2)), 1.0, 30, 8).shape == (0, 8, 8, 3)


def test_patches_know_their_scale():
    patches = Patches(np.zeros((5, 32, 32, 3), np.uint8), 112.0)
    assert (len(patches), patches.size, patches.mpp) == (5, 32, 3.5)
    assert patches[2].shape == (32, 32, 3)
    assert patches.subset(np.array([3, 1])).images.shape == (2, 32, 32, 3)


@pytest.mark.parametrize(
    ("images", "patch_um"),
    [
        (np.zeros((2, 8, 9, 3), np.uint8), 112),
        (np.zeros((2, 8, 8, 4), np.uint8), 112),
        (np.zeros((2, 8, 8, 3)), 112),
        (np.zeros((2, 8, 8, 3), np.uint8), 0),
        (np.zeros((2, 8, 8, 3), np.uint8), np.nan),
    ],
)
def test_what_is_no_set_of_patches_is_refused(images, patch_um):
    with pytest.raises(InputError):
        Patches(images, patch_um)


def _tissue_slide(stained_image):
    return SlideImage.from_array(stained_image(500, 600, seed=3))


@pytest.mark.parametrize("stride", [40.0, 112.0])
def test_no_position_shares_a_pixel_with_an_excluded_patch(stained_image, stride):
    image, mpp, patch_um = _tissue_slide(stained_image), 2.0, 112.0
    test = np.random.default_rng(0).uniform(100, 900, (12, 2))
    found = tissue_positions(image, mpp, patch_um, stride, test, patch_um) * mpp
    everywhere = tissue_positions(image, mpp, patch_um, stride) * mpp
    assert 0 < len(found) < len(everywhere)

    # Paint the excluded patches and look whether a found patch touches paint.
    painted = np.zeros((1000, 1200), bool)
    for x, y in test:
        painted[_span(y, patch_um, 1000), _span(x, patch_um, 1200)] = True
    touched = [painted[_span(y, patch_um, 1000), _span(x, patch_um, 1200)].any() for x, y in found]
    assert not any(touched)
    # Nothing is given away: what was left out does touch.
    kept = {tuple(place) for place in np.round(found, 6)}
    left = [place for place in np.round(everywhere, 6) if tuple(place) not in kept]
    assert all((np.abs(place - test).max(axis=1) < patch_um).any() for place in left)


def _span(centre, width, limit):
    low, high = centre - width / 2, centre + width / 2
    return slice(max(0, int(np.ceil(low - 1e-6))), min(limit, int(np.floor(high + 1e-6))))


def test_positions_lie_on_tissue_and_on_the_slide(stained_image):
    image = _tissue_slide(stained_image)
    found = tissue_positions(image, 2.0, 112.0, 56.0)
    assert (found >= 28).all() and (found <= np.array([600, 500]) - 28).all()
    assert (
        len(
            tissue_positions(
                SlideImage.from_array(np.full((400, 400, 3), 250, np.uint8)), 2.0, 112, 56
            )
        )
        == 0
    )
    assert len(tissue_positions(image, 2.0, 5000.0, 56.0)) == 0


def _hexagonal(pitch, count=15):
    row, column = np.mgrid[:count, :count]
    return np.stack([(column + row % 2 / 2) * pitch, row * pitch * np.sqrt(3) / 2], -1).reshape(
        -1, 2
    )


def test_on_visium_an_interior_patch_shares_most_of_its_area():
    # 112 µm patches at a pitch of 100 µm: 57 % by the geometry of the array.
    shares = patch_overlap(_hexagonal(100.0), 112.0).reshape(15, 15)[2:-2, 2:-2]
    assert np.median(shares) == pytest.approx(0.57, abs=0.005)


@given(st.floats(1.0, 3.0))
def test_patches_narrower_than_the_pitch_share_nothing(ratio):
    grid = np.stack(np.meshgrid(np.arange(4), np.arange(4)), -1).reshape(-1, 2) * 100.0 * ratio
    assert (patch_overlap(grid, 99.9) == 0).all()


def test_two_patches_share_what_their_distance_leaves():
    shares = patch_overlap(np.array([[0, 0], [75, 0]]), 100.0)
    assert shares == pytest.approx(0.25)
