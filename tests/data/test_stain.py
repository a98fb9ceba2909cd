from __future__ import annotations

import logging

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from c2lst.data.stain import StainNormaliser, StainReference
from c2lst.errors import InputError

# Colours and strengths that H&E slides have: haematoxylin blue, eosin pink, some 20° to 45° apart.
stains = st.builds(
    lambda h, e, strong: StainReference(
        np.array([h, e]) / np.linalg.norm([h, e], axis=1, keepdims=True), np.array(strong)
    ),
    st.tuples(st.floats(0.6, 0.75), st.floats(0.55, 0.75), st.floats(0.15, 0.35)),
    st.tuples(st.floats(0.05, 0.25), st.floats(0.8, 0.95), st.floats(0.3, 0.55)),
    st.tuples(st.floats(0.8, 3.0), st.floats(0.6, 2.0)),
)


def _tissue(reference, seed=0, count=40):
    """Patches of known stain: pure nuclei, pure fibres, mixtures, and empty slide."""
    rng = np.random.default_rng(seed)
    kind = rng.integers(0, 4, (count, 16, 16, 1))
    amount = rng.uniform(0.3, 1.0, (count, 16, 16, 2)) * reference.max_concentrations
    mix = np.select([kind == 0, kind == 1, kind == 2], [[1, 0], [0, 1], [0.6, 0.6]], [0, 0])
    return np.clip(np.rint(255 * np.exp(-(amount * mix) @ reference.matrix)), 0, 255).astype(
        np.uint8
    )


def _degrees(a, b):
    return np.rad2deg(np.arccos(np.clip((a * b).sum(axis=1), -1, 1)))


@settings(max_examples=25)
@given(stains, st.integers(0, 99))
def test_the_stain_of_a_slide_is_found(true, seed):
    found = StainReference.fit(_tissue(true, seed))
    assert _degrees(found.matrix, true.matrix).max() < 6
    assert np.allclose(np.linalg.norm(found.matrix, axis=1), 1)
    assert (found.matrix >= 0).all()
    assert found.max_concentrations == pytest.approx(true.max_concentrations, rel=0.25)


@settings(max_examples=25)
@given(stains, stains)
def test_normalised_tissue_has_the_target_stain(source, target):
    # Strengths beyond the largest ratio are not matched, on purpose.
    ratio = target.max_concentrations / source.max_concentrations
    images = _tissue(source)
    found = StainReference.fit(StainNormaliser(source, target).apply(images))
    if (ratio < 2.5).all() and (ratio > 0.4).all():
        assert _degrees(found.matrix, target.matrix).max() < 8


@settings(max_examples=30)
@given(stains, hnp.arrays(np.uint8, (2, 6, 6, 3)))
def test_equal_stains_are_the_identity(reference, images):
    assert np.array_equal(StainNormaliser(reference, reference).apply(images), images)
    # The same through the arithmetic, not through the short cut.
    nearly = StainReference(reference.matrix, reference.max_concentrations * (1 + 1e-9))
    back = StainNormaliser(reference, nearly).apply(images).astype(int)
    assert np.abs(back - images).max() <= 1


@settings(max_examples=30)
@given(stains, stains)
def test_there_and_back_is_the_identity_where_nothing_is_clipped(a, b):
    images = _tissue(a, count=4)
    there = StainNormaliser(a, b).apply(images)
    back = StainNormaliser(b, a).apply(there)
    ratio = b.max_concentrations / a.max_concentrations
    whole = ((there > 12) & (there < 255)).all(axis=-1) & (images > 12).all(axis=-1)
    if (ratio < 2.9).all() and (ratio > 0.4).all() and whole.any():
        assert np.median(np.abs(back.astype(int) - images)[whole]) <= 6


@settings(max_examples=50)
@given(stains, stains, hnp.arrays(np.uint8, (1, 4, 4, 3)))
def test_any_picture_stays_a_picture(source, target, images):
    normaliser = StainNormaliser(source, target)
    assert np.isfinite(normaliser.transform).all()
    result = normaliser.apply(images)
    assert result.dtype == np.uint8
    assert result.shape == images.shape


@pytest.mark.parametrize(
    "images",
    [
        np.full((3, 16, 16, 3), 255, np.uint8),
        np.zeros((3, 16, 16, 3), np.uint8),
        np.full((3, 16, 16, 3), 128, np.uint8),
        np.full((3, 64, 64, 3), (120, 60, 140), np.uint8),  # one colour: no two stains
        np.empty((0, 16, 16, 3), np.uint8),
        np.random.default_rng(0).integers(225, 256, (3, 32, 32, 3)).astype(np.uint8),
    ],
    ids=["white", "black", "grey", "one colour", "none", "noise"],
)
def test_without_two_stains_the_reference_is_used_and_said(images, caplog):
    target = StainReference.standard()
    with caplog.at_level(logging.WARNING, logger="c2lst"):
        found = StainReference.fit(images, fallback=target)
    assert found is target
    assert "not estimated" in caplog.text
    assert np.array_equal(target.normalise(images), images)


def test_a_faint_slide_does_not_blow_up():
    faint = StainReference(StainReference.standard().matrix, np.array([0.12, 0.1]))
    images = _tissue(faint)
    result = StainNormaliser(faint, StainReference.standard()).apply(images)
    change = np.abs(np.log(np.maximum(result, 1.0) / 255)).max()
    assert change < 4 * np.abs(np.log(images / 255)).max()


def test_the_background_keeps_its_colour():
    a, b = (
        StainReference.standard(),
        StainReference(StainReference.standard().matrix[:, [0, 2, 1]], np.array([1.2, 1.5])),
    )
    white = np.full((1, 4, 4, 3), 255, np.uint8)
    assert (StainNormaliser(a, b).apply(white) == 255).all()


def test_the_representative_of_many_slides_is_one_of_them():
    rng = np.random.default_rng(0)
    base = StainReference.standard()
    common = [_tissue(base, seed, count=8).reshape(1, 32, 64, 3) for seed in range(9)]
    odd_colours = np.array([[0.75, 0.55, 0.37], [0.05, 0.95, 0.3]])
    odd_colours /= np.linalg.norm(odd_colours, axis=1, keepdims=True)
    odd = StainReference(odd_colours, np.array([3.0, 0.8]))
    images = np.concatenate([*common, _tissue(odd, 1, count=8).reshape(1, 32, 64, 3)])
    images = images[rng.permutation(len(images))]
    found = StainReference.representative(images)
    assert _degrees(found.matrix, base.matrix).max() < 6


@given(stains)
def test_a_reference_survives_json(reference):
    assert StainReference.from_dict(reference.to_dict()).same_as(reference)


@pytest.mark.parametrize(
    ("matrix", "strongest"),
    [
        (np.ones((2, 3)), [1, 1]),
        (np.eye(3), [1, 1]),
        (np.eye(3)[:2], [1, 0]),
        (np.eye(3)[:2], [1, np.nan]),
        (np.eye(3)[[0, 0]], [1, 1]),
    ],
)
def test_what_is_no_stain_is_refused(matrix, strongest):
    with pytest.raises(InputError, match="stain reference"):
        StainReference(matrix, np.array(strongest, float))


@pytest.mark.parametrize(
    "value", [{}, {"matrix": "x", "max_concentrations": [1, 1]}, {"matrix": [[1]]}]
)
def test_json_that_is_no_stain_is_refused(value):
    with pytest.raises(InputError, match="stain reference"):
        StainReference.from_dict(value)


def test_only_8_bit_images_are_normalised():
    with pytest.raises(InputError, match="stain-normalised"):
        StainReference.standard().normalise(np.zeros((1, 4, 4, 3)), StainReference.standard())
