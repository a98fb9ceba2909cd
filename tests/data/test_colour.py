"""Colour transfer, patch by patch, for collections from unknown slides."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis.extra import numpy as hnp

from c2lst.data.collections import PatchCollection
from c2lst.data.stain import StainReference
from c2lst.errors import InputError


@pytest.fixture(scope="module")
def patches(stained_image):
    image = stained_image(160, 160, seed=3)
    return np.stack([image[40:72, x : x + 32] for x in range(16, 112, 16)])


def tinted(images, factors):
    return np.clip(images * np.array(factors), 0, 255).astype(np.uint8)


def lab(images):
    return StainReference.fit(images).lab


def test_the_colour_is_that_of_scikit_image_over_tissue(patches):
    from skimage.color import rgb2lab

    from c2lst.data.tissue import stain_score

    each = [rgb2lab(image[stain_score(image) > 0.15]) for image in patches]
    expected = np.mean([[one.mean(axis=0), one.std(axis=0)] for one in each], axis=0)
    assert lab(patches) == pytest.approx(expected, abs=0.01)


def test_tints_of_different_slides_become_one(patches):
    target = StainReference.fit(patches)
    tints = [(0.8, 1.0, 1.0), (1.0, 0.75, 1.0), (0.9, 0.9, 0.7)]
    apart = [lab(tinted(patches, tint))[0] for tint in tints]
    together = [lab(target.recolour(tinted(patches, tint)))[0] for tint in tints]
    assert np.ptp(apart, axis=0).max() > 10
    assert np.ptp(together, axis=0).max() < 3
    assert np.abs(np.array(together) - target.lab[0]).max() < 4


def test_a_patch_that_has_the_colour_keeps_it(patches):
    one = patches[:1]
    changed = StainReference.fit(one).recolour(one)
    assert np.abs(changed.astype(int) - one).max() <= 2


def test_each_patch_is_changed_by_itself(patches):
    target = StainReference.fit(tinted(patches, (0.7, 1.0, 0.9)))
    together = target.recolour(patches)
    assert not np.array_equal(together, patches)
    alone = target.recolour(patches[2:3])
    assert np.abs(together[2:3].astype(int) - alone).max() <= 1
    assert np.array_equal(target.recolour(torch.from_numpy(patches)).numpy(), together)


@settings(max_examples=40)
@given(
    hnp.arrays(
        np.uint8, hnp.array_shapes(min_dims=3, max_dims=3, max_side=6).map(lambda s: (*s, 3))
    )
)
def test_no_picture_raises_or_gives_nan(images):
    with np.errstate(all="raise"):
        changed = StainReference.standard().recolour(images)
    assert changed.dtype == np.uint8 and changed.shape == images.shape


def test_the_empty_slide_around_tissue_keeps_its_colour(patches):
    images = patches.copy()
    images[:, :, 20:] = 255
    target = StainReference.fit(tinted(patches, (0.6, 1.0, 0.8)))
    changed = target.recolour(images)
    assert (changed[:, :, 20:] == 255).all()
    assert np.abs(changed[:, :, :20].astype(int) - images[:, :, :20]).mean() > 10


@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_patch_without_tissue_stays_as_it_is(level):
    flat = np.full((2, 8, 8, 3), level, np.uint8)
    assert np.array_equal(StainReference.standard().recolour(flat), flat)


def test_the_typical_colour_is_that_of_a_patch(patches):
    mixed = np.concatenate([patches, tinted(patches[:1], (0.5, 1.0, 1.0))])
    found = StainReference.typical(mixed)
    assert any(np.allclose(found.lab, lab(patch[None]), atol=1e-3) for patch in patches)


def test_a_slide_whose_stains_do_not_part_still_has_its_colour(caplog):
    pink = np.full((3, 32, 32, 3), (220, 140, 180), np.uint8)
    with caplog.at_level(logging.WARNING, logger="c2lst"):
        found = StainReference.fit(pink)
    assert "not estimated" in caplog.text
    assert np.array_equal(found.matrix, StainReference.standard().matrix)
    assert found.lab[0] != pytest.approx(StainReference.standard().lab[0], abs=3)


def test_a_collection_without_tissue_is_refused():
    with pytest.raises(InputError, match="no patch shows tissue"):
        StainReference.typical(np.full((3, 8, 8, 3), 255, np.uint8))


def test_a_collection_is_recoloured_when_it_is_fetched(patches):
    stain = StainReference.fit(tinted(patches, (0.7, 1.0, 0.9)))
    names = tuple(map(str, range(len(patches))))
    collection = PatchCollection(patches, names, "test").recoloured(stain)
    assert collection.size == 32 and len(collection) == len(patches)
    fetched = collection.fetch(np.array([3, 1]))
    assert np.abs(fetched.astype(int) - stain.recolour(patches)[[3, 1]]).max() <= 1
    assert collection.some(3).shape == (3, 32, 32, 3)
