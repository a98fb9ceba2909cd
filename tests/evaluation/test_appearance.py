import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from c2lst.data.stain import StainReference
from c2lst.data.stain.conversion import intensity
from c2lst.errors import InputError
from c2lst.evaluation.appearance import LEAST_DENSITY, MEASURES, measure, nuclear_threshold

PATCH_UM = 112.0


def dotted(rows, columns, size=112, radius=3.0):
    """A pale pink patch with round nuclei at the given places, in µm."""
    y, x = np.mgrid[:size, :size] * (PATCH_UM / size) + PATCH_UM / size / 2
    blue = np.zeros((size, size))
    for row, column in zip(rows, columns, strict=True):
        blue += np.hypot(y - row, x - column) < radius
    stains = np.stack([blue.clip(max=1), np.full_like(blue, 0.2)], axis=-1)
    return intensity(stains @ StainReference.standard().matrix)


@pytest.mark.parametrize("size", [32, 64, 112])
def test_measures_follow_the_true_nuclei(simulated, size):
    images, true = simulated(size)
    found = measure(images, PATCH_UM)
    counts = found["nuclei_per_mm2"] * (PATCH_UM / 1000) ** 2
    assert np.corrcoef(counts, true)[0, 1] > 0.95
    assert np.corrcoef(found["haematoxylin"], true)[0, 1] > 0.8
    assert 0.65 < counts.mean() / true.mean() < 1.1


def test_isolated_nuclei_are_counted_one_by_one_and_an_empty_patch_has_none():
    grid = np.arange(16.0, 112, 20)
    rows, columns = (axis.ravel() for axis in np.meshgrid(grid, grid))
    images = np.stack([dotted(rows, columns), dotted(rows[:7], columns[:7]), dotted([], [])])
    found = measure(images, PATCH_UM)
    np.testing.assert_allclose(
        found["nuclei_per_mm2"], np.array([25, 7, 0]) / (PATCH_UM / 1000) ** 2, rtol=1e-6
    )
    np.testing.assert_allclose(found["eosin"], 0.2, atol=0.01)
    assert found["nuclear_share"][2] == 0 and np.all(np.diff(found["haematoxylin"]) < 0)


@settings(max_examples=20)
@given(turn=st.integers(0, 3), mirrored=st.booleans(), seed=st.integers(0, 99))
def test_a_turned_patch_measures_the_same(turn, mirrored, seed):
    """Densities within rounding; nuclei exactly, for no two pixels here are equally dark."""
    rng = np.random.default_rng(seed)
    images = dotted(*rng.uniform(0, 112, (2, 30)), size=48)[None].astype(int)
    images = np.clip(images + rng.integers(-20, 21, images.shape), 0, 255).astype(np.uint8)
    turned = np.rot90(images, turn, axes=(1, 2))
    turned = turned[:, :, ::-1] if mirrored else turned
    threshold = nuclear_threshold(images, PATCH_UM)
    first, second = (measure(x, PATCH_UM, threshold=threshold) for x in (images, turned))
    for name in MEASURES:
        np.testing.assert_allclose(first[name], second[name], rtol=1e-3, err_msg=name)


def test_a_patch_is_measured_alike_in_any_batch(simulated):
    images, _ = simulated(32)
    threshold = nuclear_threshold(images, PATCH_UM)
    together = measure(images, PATCH_UM, threshold=threshold)
    alone = measure(images[5:6], PATCH_UM, threshold=threshold)
    for name in MEASURES:
        np.testing.assert_allclose(together[name][5], alone[name][0], rtol=1e-5)


def test_patches_without_nuclei_get_no_threshold_within_their_noise():
    rng = np.random.default_rng(0)
    glass = (245 + rng.integers(-3, 4, (4, 32, 32, 3))).astype(np.uint8)
    assert nuclear_threshold(glass, PATCH_UM) == LEAST_DENSITY
    assert np.all(measure(glass, PATCH_UM)["nuclei_per_mm2"] == 0)


def test_one_black_patch_is_one_nucleus_and_no_patch_is_no_error():
    black = np.zeros((1, 32, 32, 3), dtype=np.uint8)
    found = measure(black, PATCH_UM, threshold=0.5)
    assert found["nuclei_per_mm2"][0] == pytest.approx(1e6 / PATCH_UM**2)
    assert all(len(values) == 0 for values in measure(black[:0], PATCH_UM).values())


@pytest.mark.parametrize(
    ("images", "width"),
    [
        (np.zeros((2, 8, 8, 3)), 112.0),
        (np.zeros((2, 8, 9, 3), dtype=np.uint8), 112.0),
        (np.zeros((2, 8, 8, 3), dtype=np.uint8), 0.0),
    ],
)
def test_what_is_no_patch_is_refused(images, width):
    with pytest.raises(InputError, match="patches"):
        measure(images, width)
