from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from c2lst.prediction.components import Components
from c2lst.prediction.spot_noise import spot_noise, weighted_median


@given(st.integers(1, 12), st.integers(0, 99))
def test_of_equal_weights_it_is_the_median(n, seed):
    values = np.random.default_rng(seed).poisson(2.0, (n, 5)).astype(float)
    np.testing.assert_allclose(weighted_median(values, np.ones(n)), np.median(values, axis=0))


@given(st.integers(2, 12), st.integers(0, 99))
def test_half_of_the_weight_lies_on_either_side(n, seed):
    rng = np.random.default_rng(seed)
    values, weights = rng.normal(size=(n, 4)), rng.uniform(0.1, 5, n)
    median = weighted_median(values, weights)
    for side in (values < median - 1e-9, values > median + 1e-9):
        assert (weights @ side <= weights.sum() / 2 + weights.max() / 2 + 1e-9).all()
    order = rng.permutation(n)
    np.testing.assert_allclose(weighted_median(values[order], weights[order]), median)


def test_the_heaviest_row_wins_where_it_outweighs_all_others():
    values = np.array([[0.0], [1.0], [9.0]])
    assert weighted_median(values, np.array([1.0, 1000.0, 1.0]))[0] == 1.0
    assert weighted_median(values, np.array([1.0, 1.0, 1000.0]))[0] > 8.9


def test_noise_falls_with_depth_and_only_ratios_matter():
    depth = np.array([100.0, 1000.0, 10_000.0])
    noise = spot_noise(depth, 3)
    assert (np.diff(noise) < 0).all()
    assert np.isclose((1 / noise).mean(), 1)
    np.testing.assert_allclose(spot_noise(7 * depth, 3), noise)
    np.testing.assert_array_equal(spot_noise(None, 3), 1)
    # A spot of median depth owes half of its noise to its depth.
    deepest = spot_noise(np.array([10.0, 1000.0, 1e12]), 3)
    assert np.isclose(deepest[1], 2 * deepest[2])


def test_a_spot_of_a_third_of_the_noise_counts_as_three():
    rng = np.random.default_rng(0)
    y, deep = rng.normal(size=(9, 5)), np.arange(9) < 2
    often = Components.of(np.concatenate([y, y[deep], y[deep]]), np.ones(13), 3)
    once = Components.of(y, np.where(deep, 1 / 3, 1.0), 3)
    np.testing.assert_allclose(once.mean, often.mean)
    np.testing.assert_allclose(once.spread, often.spread)
    np.testing.assert_allclose(np.abs(once.axes @ often.axes.T), np.eye(3), atol=1e-9)
