from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from c2lst.errors import InputError
from c2lst.prediction.baselines import BASELINES, knn, kriging, train_mean, train_median


def field(n: int, genes: int = 3, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    xy = rng.uniform(0, 2000, (n, 2))
    phase = rng.uniform(0, 6, genes)
    return xy, np.sin(xy[:, :1] / 400 + phase) + np.cos(xy[:, 1:] / 500 + phase)


@settings(deadline=None)
@given(st.integers(2, 25), st.integers(0, 1000), st.floats(-5, 5))
def test_no_constant_errs_less_than_the_median_nor_squares_less_than_the_mean(n, seed, other):
    y = np.random.default_rng(seed).exponential(1, (n, 2))
    xy = np.random.default_rng(seed).uniform(0, 9, (n, 2))
    median, mean = train_median(xy, y, xy), train_mean(xy, y, xy)
    assert (np.abs(y - median).sum(0) <= np.abs(y - other).sum(0) + 1e-9).all()
    assert (((y - mean) ** 2).sum(0) <= ((y - other) ** 2).sum(0) + 1e-9).all()


@pytest.mark.parametrize("name", BASELINES)
@pytest.mark.parametrize("n", [1, 2, 3, 9])
def test_few_spots_and_a_constant_gene_give_finite_values(name, n):
    xy, y = field(n)
    y[:, 1] = 0.25
    predicted = BASELINES[name](xy, y, xy[:1] + 30)
    assert predicted.shape == (1, 3)
    assert np.isfinite(predicted).all()
    assert predicted[0, 1] == pytest.approx(0.25)


@pytest.mark.parametrize("name", BASELINES)
def test_constant_shifts_and_scales_pass_through(name):
    xy, y = field(30)
    query = field(5, seed=3)[0]
    f = BASELINES[name]
    np.testing.assert_allclose(f(xy, 3 * y + 7, query), 3 * f(xy, y, query) + 7, atol=1e-6)


def test_kriging_interpolates_a_field_without_noise():
    xy, y = field(150)
    np.testing.assert_allclose(kriging(xy[:120], y[:120], xy[:120]), y[:120], atol=1e-3)
    predicted = kriging(xy[:120], y[:120], xy[120:])
    assert np.abs(predicted - y[120:]).mean() < 0.25 * np.abs(y[120:]).mean()


def test_kriging_of_noise_is_about_the_mean():
    rng = np.random.default_rng(2)
    xy, y = rng.uniform(0, 100, (200, 2)), rng.normal(size=(200, 40))
    predicted = kriging(xy, y, rng.uniform(0, 100, (50, 2)))
    assert (predicted - y.mean(0)).std() < 0.2


def test_knn_with_one_neighbour_copies_it():
    xy, y = field(20)
    np.testing.assert_array_equal(knn(xy, y, xy + 1e-6, neighbours=1), y)


def test_knn_chooses_its_neighbours_by_leaving_one_out():
    xy, waves = field(150)
    noise = np.random.default_rng(0).normal(size=waves.shape)
    query = field(40, seed=9)[0]
    predicted = knn(xy[:100], waves[:100], xy[100:])
    too_many = knn(xy[:100], waves[:100], xy[100:], neighbours=32)
    assert np.abs(predicted - waves[100:]).mean() < 0.6 * np.abs(too_many - waves[100:]).mean()
    assert knn(xy, noise, query).std() < 0.5 * knn(xy, noise, query, neighbours=1).std()


def test_knn_leaves_out_the_spot_itself_where_centres_coincide():
    xy = np.array([[0.0, 0], [0, 0], [9, 9], [9, 9]])
    y = np.array([[1.0], [1], [5], [5]])
    np.testing.assert_allclose(knn(xy, y, xy), y, atol=1e-6)


def test_wrong_shapes_and_nan_are_refused():
    xy, y = field(5)
    with pytest.raises(InputError, match="coordinates"):
        kriging(xy[:4], y, xy)
    with pytest.raises(InputError, match="not finite"):
        knn(xy, np.where(y == y[0, 0], np.nan, y), xy)
    with pytest.raises(InputError, match="training expression"):
        train_mean(xy[:0], y[:0], xy)
