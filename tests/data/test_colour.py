import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from c2lst.data.collections import PatchCollection
from c2lst.data.colour import TissueColour
from c2lst.errors import InputError


@pytest.fixture(scope="module")
def patches(stained_image):
    image = stained_image(160, 160, seed=3)
    return np.stack([image[40:72, x : x + 32] for x in range(16, 112, 16)])


def tinted(images, factors):
    return np.clip(images * np.array(factors), 0, 255).astype(np.uint8)


def test_tints_of_different_slides_become_one(patches):
    target = TissueColour.fit(patches)
    tints = [(0.8, 1.0, 1.0), (1.0, 0.75, 1.0), (0.9, 0.9, 0.7)]
    apart = [TissueColour.fit(tinted(patches, tint)).mean for tint in tints]
    together = [TissueColour.fit(target.give_to(tinted(patches, tint))).mean for tint in tints]
    assert np.ptp(apart, axis=0).max() > 10
    assert np.ptp(together, axis=0).max() < 3
    assert np.abs(np.array(together) - target.mean).max() < 4


def test_a_patch_that_has_the_colour_keeps_it(patches):
    one = patches[:1]
    changed = TissueColour.fit(one).give_to(one)
    assert np.abs(changed.astype(int) - one).max() <= 2


def test_each_patch_is_changed_by_itself(patches):
    target = TissueColour.fit(tinted(patches, (0.7, 1.0, 0.9)))
    together = target.give_to(patches)
    np.testing.assert_array_equal(together[2:3], target.give_to(patches[2:3]))


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_odd_patches_give_images_and_never_nan(seed):
    rng = np.random.default_rng(seed)
    flat = np.broadcast_to(rng.integers(0, 256, 3, dtype=np.uint8), (8, 8, 3))
    odd = np.stack([flat, np.zeros_like(flat), np.full_like(flat, 255)])
    colour = TissueColour(np.array([60.0, 20.0, -15.0]), np.array([15.0, 6.0, 7.0]))
    changed = colour.give_to(odd)
    assert changed.dtype == np.uint8 and changed.shape == odd.shape


def test_the_typical_colour_is_that_of_a_patch(patches):
    mixed = np.concatenate([patches, tinted(patches[:1], (0.5, 1.0, 1.0))])
    found = TissueColour.typical(mixed)
    assert any(np.allclose(found.mean, TissueColour.fit(p[None]).mean) for p in patches)


def test_a_collection_without_tissue_is_refused():
    with pytest.raises(InputError, match="no patch shows tissue"):
        TissueColour.fit(np.full((3, 8, 8, 3), 255, np.uint8))


def test_a_collection_is_recoloured_when_it_is_fetched(patches):
    colour = TissueColour.fit(tinted(patches, (0.7, 1.0, 0.9)))
    names = tuple(map(str, range(len(patches))))
    collection = PatchCollection(patches, names, "test").recoloured(colour)
    assert collection.size == 32 and len(collection) == len(patches)
    np.testing.assert_array_equal(
        collection.fetch(np.array([3, 1])), colour.give_to(patches)[[3, 1]]
    )
    assert collection.some(3).shape == (3, 32, 32, 3)
