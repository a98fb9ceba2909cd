from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage

from c2lst.data.cutting import Cutter, Mosaic, level_for
from c2lst.data.image import SlideImage
from c2lst.data.patches import Patches, SlidePatches, extract_patches


class Pyramid(SlideImage):
    """Levels in memory, each the mean of the one before; counts what is read of each."""

    def __init__(self, pixels, factors=(1, 2, 4)):
        self.pixels = [np.asarray(Image.fromarray(pixels).reduce(f)) for f in factors]
        self.regions = []

    @property
    def sizes(self):
        return tuple((p.shape[1], p.shape[0]) for p in self.pixels)

    def _read(self, x0, y0, w, h, level):
        self.regions.append((level, w * h))
        return self.pixels[level][y0 : y0 + h, x0 : x0 + w]


def _smooth(height, width, sigma):
    noise = np.random.default_rng(0).standard_normal((height, width, 3))
    smooth = ndimage.gaussian_filter(noise, (sigma, sigma, 0))
    return np.clip(128 + 40 * smooth / smooth.std(), 0, 255).astype(np.uint8)


SMOOTH = _smooth(640, 900, 10.0)
SCATTERED = np.random.default_rng(1).uniform(-20, [920, 660], (60, 2))


@pytest.mark.parametrize(
    ("wanted", "level"), [(0.5, 0), (1.0, 0), (1.9, 0), (1.97, 1), (2.0, 1), (4.1, 2), (90, 3)]
)
def test_the_level_is_the_coarsest_that_is_not_too_coarse(wanted, level):
    assert level_for((1.0, 2.0, 4.0, 16.003), wanted) == level


@pytest.mark.parametrize(("width", "size", "level"), [(96, 48, 1), (128, 32, 2), (100, 30, 1)])
def test_a_coarser_level_gives_the_same_patches(width, size, level):
    pyramid = Pyramid(SMOOTH)
    inside = SCATTERED[((SCATTERED > 80) & (SCATTERED < [820, 560])).all(axis=1)]
    found = extract_patches(pyramid, inside, 0.5, width / 2, size)
    assert {at for at, _ in pyramid.regions} == {level}
    full = extract_patches(SlideImage.from_array(SMOOTH), inside, 0.5, width / 2, size)
    assert np.abs(found.astype(int) - full).max() <= 3
    # A shift of half a full-resolution pixel would show.
    shifted = extract_patches(pyramid, inside + 0.5, 0.5, width / 2, size)
    apart, moved = (np.abs(p.astype(int) - full).mean() for p in (found, shifted))
    assert apart < moved / 1.5


@pytest.fixture(scope="module")
def lazy():
    return SlidePatches(SlideImage.from_array(SMOOTH), SCATTERED, 0.5, 30.0, 24)


def _gridded():
    grid = np.stack(np.meshgrid(np.arange(12) * 16.0, np.arange(9) * 16.0), -1).reshape(-1, 2)
    return SlidePatches(SlideImage.from_array(SMOOTH), grid + 50.3, 0.5, 24.0, 96)


@pytest.fixture(scope="module")
def cut(lazy):
    """Patches on demand, scattered and on a grid, with all of them cut at once."""
    return [(patches, patches[:]) for patches in (lazy, _gridded())]


@settings(max_examples=25)
@given(st.sampled_from([0, 1]), st.lists(st.integers(-60, 59), max_size=12))
def test_any_choice_in_any_order_gives_the_same_pixels(cut, which, indices):
    patches, whole = cut[which]
    chosen = np.array(indices, dtype=int)
    assert np.array_equal(patches[chosen], whole[chosen])
    assert np.array_equal(patches.subset(chosen)[:], whole[chosen])


def test_patches_on_demand_are_an_array_of_the_same_patches(lazy):
    whole = extract_patches(SlideImage.from_array(SMOOTH), SCATTERED, 0.5, 30.0, 24)
    assert lazy.shape == whole.shape == (60, 24, 24, 3)
    assert (lazy.dtype, len(lazy), lazy.size) == (np.uint8, 60, 24)
    assert np.array_equal(lazy[:], whole)
    assert np.array_equal(lazy[7], whole[7])
    assert np.array_equal(lazy[-3:], whole[-3:])
    assert np.array_equal(lazy[SCATTERED[:, 0] < 300], whole[SCATTERED[:, 0] < 300])
    assert lazy[[]].shape == (0, 24, 24, 3)
    assert np.array_equal(lazy.subset(np.array([5, 9]))[1], whole[9])
    assert np.array_equal(Patches(lazy, 30.0).subset(np.array([4])).images[0], whole[4])


def test_batches_hold_every_patch_once(lazy):
    seen = []
    for indices, batch in lazy.batches(7):
        assert len(indices) <= 7
        assert np.array_equal(batch, lazy[indices])
        seen.extend(indices.tolist())
    assert sorted(seen) == list(range(60))


def test_only_the_path_goes_to_another_process(tmp_path):
    path = tmp_path / "slide.png"
    Image.fromarray(SMOOTH).save(path)
    patches = SlidePatches(path, SCATTERED, 0.5, 30.0, 24).subset(np.arange(20, 40))
    whole = patches[:]
    sent = pickle.dumps(patches)
    assert len(sent) < 10_000
    assert np.array_equal(pickle.loads(sent)[3:6], whole[3:6])
    patches.release()
    assert np.array_equal(patches[:], whole)


def test_threads_cut_the_same(lazy):
    whole = lazy[:]
    with ThreadPoolExecutor(4) as pool:
        assert all(
            np.array_equal(patch, whole[k])
            for k, patch in enumerate(pool.map(lazy.__getitem__, range(60)))
        )


@pytest.mark.parametrize("step", [16.0, 24.0])
def test_the_patches_of_a_grid_share_cells_and_stay_what_they_are(step):
    x, y = np.meshgrid(np.arange(20, dtype=float), np.arange(15, dtype=float))
    centres = np.stack([x, y], -1).reshape(-1, 2) * step + 70.37
    image = SlideImage.from_array(SMOOTH)
    mosaic = Cutter(image, centres, 48.0, 96).mosaic
    assert mosaic.side == {16.0: 32, 24.0: 48}[step]
    assert len(mosaic.corners) * mosaic.side**2 < 0.4 * len(centres) * 96**2
    together = extract_patches(image, centres, 1.0, 48.0, 96)
    alone = np.concatenate([extract_patches(image, c[None], 1.0, 48.0, 96) for c in centres[::7]])
    assert np.abs(together[::7].astype(int) - alone).max() <= 1


def test_patches_on_no_grid_are_a_cell_each():
    corners = np.random.default_rng(0).uniform(0, 900, (50, 2))
    mosaic = Mosaic.of(corners, 0.7, 64)
    assert mosaic.side == 64 and np.array_equal(mosaic.corners, corners)


def test_what_patches_share_is_read_about_once():
    """Pixels are counted: a grid whose patches show each place nine times."""
    pyramid = Pyramid(np.zeros((2600, 2600, 3), np.uint8), factors=(1,))
    x, y = np.meshgrid(np.arange(100, 2500, 32.0), np.arange(100, 2500, 32.0))
    centres = np.stack([x, y], -1).reshape(-1, 2) + np.random.default_rng(0).normal(0, 2, (5625, 2))
    extract_patches(pyramid, centres[::3], 1.0, 96.0, 16)
    read = np.array([count for _, count in pyramid.regions])
    assert read.sum() < 1.6 * 2600**2
    assert read.max() < 1300**2


def test_patches_far_apart_are_read_by_themselves():
    pyramid = Pyramid(np.zeros((3000, 3000, 3), np.uint8), factors=(1,))
    extract_patches(pyramid, np.array([[150.0, 150], [900, 870], [2500, 2700]]), 1.0, 96.0, 96)
    assert max(count for _, count in pyramid.regions) < 110**2


def test_a_batch_reads_only_what_it_shows():
    pyramid = Pyramid(np.zeros((2600, 2600, 3), np.uint8), factors=(1,))
    x, y = np.meshgrid(np.arange(100, 2500, 60.0), np.arange(100, 2500, 60.0))
    patches = SlidePatches(pyramid, np.stack([x, y], -1).reshape(-1, 2), 1.0, 96.0, 48)
    total = 0
    for _, batch in patches.batches(128):
        assert batch.nbytes == len(batch) * 48 * 48 * 3
        read = sum(count for _, count in pyramid.regions)
        assert read < 4 * 128 * 96**2
        total += read
        pyramid.regions.clear()
    assert total < 3 * 2600**2


@given(
    centre=st.tuples(st.floats(40, 88), st.floats(40, 88)),
    width=st.floats(31.9, 32.1),
)
def test_a_patch_in_the_slides_own_pixels_is_copied_within_half_a_pixel(centre, width):
    pixels = np.random.default_rng(0).integers(0, 256, (128, 128, 3), dtype=np.uint8)
    image = SlideImage.from_array(pixels)
    [patch] = extract_patches(image, np.array([centre]), 1.0, width, 32)
    x, y = np.rint(np.array(centre) - 16).astype(int)
    assert np.array_equal(patch, pixels[y : y + 32, x : x + 32])
