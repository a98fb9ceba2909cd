from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from c2lst.data.stain.batches import look_up
from c2lst.data.stain.conversion import (
    density_table,
    lab_of_linear,
    linear_table,
    optical_density,
    srgb_of_lab,
    staining,
)
from c2lst.data.stain.macenko import concentrations, outermost_directions, quantile
from c2lst.data.stain.reinhard import lab_of, moments
from c2lst.data.tissue import stain_score

pictures = hnp.arrays(np.uint8, (2, 5, 7, 3))
CPU = torch.device("cpu")


def _planar(values):
    return np.moveaxis(values, -1, 1).reshape(len(values), 3, -1)


@settings(max_examples=30)
@given(pictures)
def test_densities_of_tensors_are_those_of_arrays(images):
    density = look_up(torch.from_numpy(images), density_table(CPU).float())
    np.testing.assert_allclose(density, _planar(optical_density(images)), atol=1e-6)


@settings(max_examples=30)
@given(pictures)
def test_a_pixel_is_as_stained_in_a_tensor_as_on_a_slide(images):
    density = look_up(torch.from_numpy(images), density_table(CPU).float())
    score = staining(*density.unbind(dim=1)).numpy()
    np.testing.assert_allclose(score, stain_score(images).reshape(2, -1), atol=2e-3)


@settings(max_examples=30)
@given(pictures)
def test_lab_is_that_of_scikit_image(images):
    from skimage.color import rgb2lab

    np.testing.assert_allclose(
        lab_of(torch.from_numpy(images)), _planar(rgb2lab(images)), atol=2e-3
    )


def test_every_level_of_grey_and_every_primary_survives_lab():
    levels = np.arange(256, dtype=np.uint8)
    images = np.zeros((4, 256, 1, 3), np.uint8)
    images[0] = levels[:, None, None]
    for channel in range(3):
        images[1 + channel, :, 0, channel] = levels
    tensor = torch.from_numpy(images)
    back = srgb_of_lab(lab_of_linear(look_up(tensor, linear_table(CPU).float())))
    np.testing.assert_array_equal(back.round(), _planar(images))


@settings(max_examples=60)
@given(
    hnp.arrays(np.float64, st.tuples(st.just(2), st.integers(1, 300)), elements=st.floats(-9, 9)),
    st.sampled_from([0.0, 0.01, 0.3, 0.5, 0.99, 1.0]),
    st.randoms(use_true_random=False),
)
def test_a_quantile_over_some_pixels_is_that_of_numpy(values, q, random):
    kept = np.array([[random.random() < 0.7 for _ in row] for row in values])
    kept[:, 0] = True
    found = quantile(torch.from_numpy(values), q, torch.from_numpy(kept))
    expected = [np.quantile(row[k], q) for row, k in zip(values, kept, strict=True)]
    np.testing.assert_allclose(found, expected, atol=1e-12)
    np.testing.assert_allclose(
        quantile(torch.from_numpy(values), q), np.quantile(values, q, axis=1), atol=1e-12
    )


def test_the_directions_of_each_image_are_its_own():
    rng = np.random.default_rng(0)
    stains = rng.uniform(0.1, 1, (3, 2, 3))
    stains /= np.linalg.norm(stains, axis=2, keepdims=True)
    amounts = rng.uniform(0.2, 2, (3, 400, 2)) * rng.integers(0, 2, (3, 400, 2))
    tissue = torch.from_numpy(amounts.sum(axis=2) > 0)
    density = torch.from_numpy((amounts @ stains).swapaxes(1, 2))
    found = outermost_directions(density, tissue)
    assert found.norm(dim=2).numpy() == pytest.approx(1)
    for i in range(3):
        either = (found[i] @ stains[i].T).abs().amax(dim=1)
        assert either.numpy() == pytest.approx(1, abs=1e-3)
        alone = outermost_directions(density[i : i + 1], tissue[i : i + 1])
        np.testing.assert_allclose(found[i], alone[0], atol=1e-9)
    unmixed = concentrations(density, torch.from_numpy(stains))
    np.testing.assert_allclose(unmixed, amounts.swapaxes(1, 2), atol=1e-9)


@settings(max_examples=30)
@given(pictures)
def test_moments_are_over_the_chosen_pixels_alone(images):
    lab = torch.from_numpy(_planar(images.astype(np.float32)))
    chosen = torch.zeros(2, 35, dtype=torch.bool)
    chosen[:, ::3] = True
    some = lab[:, :, ::3].numpy()
    expected = np.stack([some.mean(axis=2), some.std(axis=2)], axis=1)
    np.testing.assert_allclose(moments(lab, chosen), expected, rtol=1e-3, atol=1e-3)
