from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from c2lst.data.stain import PatchNormaliser, StainReference
from c2lst.errors import InputError

METHODS = ("macenko", "reinhard")


def _patches(stained_image, size):
    image = stained_image(240, 240, seed=11)
    strength = np.random.default_rng(0).uniform(0.6, 1.4, (8, 1, 1, 3))
    starts = np.linspace(20, 200 - size, 8).astype(int)
    patches = np.stack([image[s : s + size, s : s + size] for s in starts])
    # Each as if from a slide of its own.
    return np.clip(255 * (patches / 255.0) ** strength, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module", params=[48, 101])
def patches(stained_image, request):
    return _patches(stained_image, request.param)


@pytest.mark.parametrize("method", METHODS)
def test_it_equals_torchstain_called_patch_by_patch(patches, method):
    torchstain = pytest.importorskip("torchstain")
    theirs = {
        "macenko": torchstain.normalizers.MacenkoNormalizer,
        "reinhard": torchstain.normalizers.ReinhardNormalizer,
    }[method](backend="numpy")
    theirs.fit(patches[0])
    result = PatchNormaliser.fit(patches[0], method).apply(patches)
    for ours, patch in zip(result[1:], patches[1:], strict=True):
        given = theirs.normalize(patch)
        expected = given[0] if method == "macenko" else given
        apart = np.abs(ours.astype(int) - expected)
        # Both cut decimals off, so that a rounding error can cost a level, and no more.
        assert apart.max() <= 1
        assert (apart == 0).mean() > 0.95


@pytest.mark.parametrize("method", METHODS)
def test_a_batch_is_its_patches_and_a_tensor_an_array(patches, method):
    normaliser = PatchNormaliser.fit(patches[2], method)
    together = normaliser.apply(patches)
    for i in range(len(patches)):
        apart = np.abs(together[i].astype(int) - normaliser.apply(patches[i : i + 1])[0])
        assert apart.max() <= 1
    assert np.array_equal(normaliser.apply(torch.from_numpy(patches)).numpy(), together)


@pytest.mark.parametrize("method", METHODS)
def test_the_target_itself_hardly_changes(patches, method):
    normaliser = PatchNormaliser.fit(patches[1], method)
    changed = normaliser.apply(patches[1:2])[0].astype(int)
    assert np.median(np.abs(changed - patches[1])) <= 4


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (16, 16), (64, 31)])
def test_flat_tiles_come_back_as_they_are(stained_image, method, shape):
    normaliser = PatchNormaliser.fit(_patches(stained_image, 48)[0], method)
    colours = [(255, 255, 255), (0, 0, 0), (128, 128, 128), (120, 60, 140), (255, 0, 0)]
    tiles = np.stack([np.full((*shape, 3), colour, np.uint8) for colour in colours])
    assert np.array_equal(normaliser.apply(tiles), tiles)
    assert normaliser.apply(tiles[:0]).shape == (0, *shape, 3)


@settings(max_examples=60)
@given(
    st.sampled_from(METHODS),
    hnp.arrays(
        np.uint8, hnp.array_shapes(min_dims=3, max_dims=3, max_side=6).map(lambda s: (*s, 3))
    ),
)
def test_no_picture_raises_or_gives_nan(method, images):
    target = StainReference.standard()
    with np.errstate(all="raise"):
        result = PatchNormaliser(target, method).apply(images)
    assert result.shape == images.shape and result.dtype == np.uint8


def test_an_odd_tile_in_a_batch_changes_no_other(patches):
    normaliser = PatchNormaliser.fit(patches[0])
    mixed = np.insert(patches, 3, 255, axis=0)
    result = normaliser.apply(mixed)
    assert (result[3] == 255).all()
    apart = np.delete(result, 3, axis=0).astype(int) - normaliser.apply(patches)
    assert np.abs(apart).max() <= 1


def test_what_cannot_be_a_target_is_refused():
    with pytest.raises(InputError, match="two stains"):
        PatchNormaliser.fit(np.full((32, 32, 3), 255, np.uint8))
    with pytest.raises(InputError, match="vahadane"):
        PatchNormaliser(StainReference.standard(), "vahadane")
    bare = StainReference(np.eye(3)[:2], np.ones(2))
    with pytest.raises(InputError, match="colour"):
        PatchNormaliser(bare, "reinhard")
