from __future__ import annotations

import json
import logging
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from c2lst.data.stain import StainNormaliser, StainReference
from c2lst.errors import InputError

GOOD = StainReference.standard().to_dict()
MATRIX = [[0.58831081, 0.73371229, 0.33993628], [0.26978329, 0.80733742, 0.52480783]]
STRONGEST = [2.49669985, 0.74603836]

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


def test_a_fit_is_where_it_was(stained_image):
    # What c2lst 0.1 found here: central models that were published depend on it.
    images = stained_image(200, 200, seed=5)[None]
    found = StainReference.fit(images)
    assert found.matrix == pytest.approx(np.array(MATRIX), abs=1e-6)
    assert found.max_concentrations == pytest.approx(np.array(STRONGEST), abs=1e-6)


@settings(max_examples=10)
@given(stains, st.integers(0, 99))
def test_a_fit_knows_no_order_of_patches(true, seed):
    images = _tissue(true, seed)
    shuffled = images[np.random.default_rng(seed).permutation(len(images))]
    a, b = StainReference.fit(images), StainReference.fit(shuffled)
    assert np.allclose(a.matrix, b.matrix, atol=1e-9)
    assert np.allclose(a.max_concentrations, b.max_concentrations, atol=1e-9)
    assert np.allclose(a.lab, b.lab, atol=1e-3)


@settings(max_examples=10)
@given(stains, stains)
def test_tensors_are_treated_as_arrays_and_batches_as_single_images(source, target):
    images, normaliser = _tissue(source, count=5), StainNormaliser(source, target)
    together = normaliser.apply(images)
    tensor = normaliser.apply(torch.from_numpy(images))
    assert isinstance(together, np.ndarray) and isinstance(tensor, torch.Tensor)
    assert np.array_equal(together, tensor.numpy())
    for i in range(len(images)):
        assert np.array_equal(together[i : i + 1], normaliser.apply(images[i : i + 1]))
    a, b = StainReference.fit(images), StainReference.fit(torch.from_numpy(images))
    assert a.same_as(b)


def test_read_only_images_are_neither_refused_nor_changed():
    images = _tissue(StainReference.standard())
    kept = images.copy()
    images.setflags(write=False)
    odd = StainReference(StainReference.standard().matrix, np.array([1.0, 2.0]))
    for result in (odd.normalise(images), odd.normalise(images, odd)):
        result += 1  # writable, and its own
    assert np.array_equal(images, kept)


@settings(max_examples=25)
@given(stains, stains)
def test_normalising_twice_is_normalising_once(source, target):
    ratio = target.max_concentrations / source.max_concentrations
    if (ratio < 2.5).all() and (ratio > 0.4).all():
        once = target.normalise(_tissue(source, count=60))
        assert np.abs(target.normalise(once).astype(int) - once).mean() < 4


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


def test_the_typical_stain_of_many_slides_is_not_that_of_the_odd_one():
    base = StainReference.standard()
    odd = StainReference(base.matrix, base.max_concentrations * 2.5)
    slides = [_tissue(base, seed) for seed in range(9)] + [_tissue(odd, 1)]
    images = np.stack([slide.reshape(160, 64, 3) for slide in slides])
    found = StainReference.typical(images[np.random.default_rng(0).permutation(10)])
    assert _degrees(found.matrix, base.matrix).max() < 6
    assert found.max_concentrations == pytest.approx(base.max_concentrations, rel=0.25)
    assert found.lab == pytest.approx(StainReference.fit(images[:1]).lab, abs=1)


def test_one_reference_serves_slides_and_single_patches():
    """Normalised as a slide or recoloured one by one, tissue ends at the same colour."""
    reference = StainReference.fit(_tissue(StainReference.standard()))
    other = StainReference(StainReference.standard().matrix, np.array([1.0, 1.4]))
    images = _tissue(other, seed=3)
    as_slide = StainReference.fit(reference.normalise(images)).lab
    one_by_one = StainReference.fit(reference.recolour(images)).lab
    before = StainReference.fit(images).lab
    assert np.abs(before[0] - reference.lab[0]).max() > 4
    assert np.abs(as_slide[0] - reference.lab[0]).max() < 2
    assert np.abs(one_by_one[0] - reference.lab[0]).max() < 2


@given(stains)
def test_a_reference_survives_json(reference):
    for written in (reference, replace(reference, lab=np.array([[60, 20, -15], [9, 5, 6.0]]))):
        read = StainReference.from_dict(json.loads(json.dumps(written.to_dict())))
        assert read.same_as(written)


def test_files_of_the_first_version_are_read_and_written_as_they_were():
    old = {
        "method": "macenko",
        "stains": ["haematoxylin", "eosin"],
        "matrix": [[0.6, 0.8, 0.0], [0.0, 0.8, 0.6]],
        "max_concentrations": [1.5, 1.0],
    }
    reference = StainReference.from_dict(old)
    assert reference.lab is None
    # Hashes of artefacts that were made with it stay what they are.
    assert repr(reference.to_dict()) == repr(old)
    images = _tissue(StainReference.standard())
    assert np.array_equal(
        reference.normalise(images), replace(reference, lab=None).normalise(images)
    )
    with pytest.raises(InputError, match=r"no tissue colour.*fit it again"):
        reference.recolour(images)


def test_what_was_validated_cannot_be_changed():
    reference = StainReference.standard()
    with pytest.raises(ValueError, match="read-only"):
        reference.matrix[0, 0] = 2.0


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
    "value",
    [
        {},
        [],
        {"matrix": "x", "max_concentrations": [1, 1]},
        {"matrix": [[1]]},
        GOOD | {"lab": [1, 2]},
        GOOD | {"lab": {"mean": [1, 2, 3]}},
        GOOD | {"lab": {"mean": [1, 2, 3], "spread": [1, 2]}},
        GOOD | {"lab": {"mean": [1, 2, 3], "spread": [1, 2, -1]}},
        GOOD | {"lab": {"mean": [1, 2, None], "spread": [1, 2, 1]}},
    ],
)
def test_json_that_is_no_stain_is_refused(value):
    with pytest.raises(InputError, match="stain reference"):
        StainReference.from_dict(value)


@pytest.mark.parametrize(
    "images",
    [
        np.zeros((1, 4, 4, 3)),
        np.zeros((4, 4, 3), np.uint8),
        torch.zeros((1, 3, 4, 4), dtype=torch.uint8),
        "tissue.png",
    ],
)
def test_only_8_bit_images_are_normalised(images):
    with pytest.raises(InputError, match="stain-normalised"):
        StainReference.standard().normalise(images, StainReference.standard())
