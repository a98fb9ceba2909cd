from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from c2lst.errors import InputError
from c2lst.prediction.kernels import Kernel, Reduction, ViewKernel, median_distance


@pytest.mark.parametrize("shape", ["exponential", "matern", "rbf", "linear"])
def test_covariance_is_symmetric_positive_and_agrees_with_its_diagonal(shape):
    x = np.random.default_rng(0).normal(size=(40, 3))
    kernel = ViewKernel(shape).fit("v", x)[0]
    covariance = kernel(x, x)
    np.testing.assert_allclose(covariance, covariance.T, atol=1e-12)
    np.testing.assert_allclose(np.diag(covariance), kernel.diagonal(x), atol=1e-9)
    assert np.linalg.eigvalsh(covariance).min() > -1e-9
    assert kernel.diagonal(x).mean() == pytest.approx(1)


def test_covariances_are_those_of_scikit_learn():
    from sklearn.gaussian_process.kernels import RBF, DotProduct, Matern

    a, b = np.random.default_rng(2).normal(size=(2, 12, 3))
    for shape, reference in (
        ("exponential", Matern(1.7, nu=0.5)),
        ("matern", Matern(1.7, nu=1.5)),
        ("rbf", RBF(1.7)),
        ("linear", DotProduct(0.0)),
    ):
        expected = reference(a, b) / (1.7**2 if shape == "linear" else 1)
        np.testing.assert_allclose(Kernel("v", shape, 1.7)(a, b), expected, atol=1e-12)


def test_the_unit_of_many_spots_is_that_of_all_of_them():
    x = np.sort(np.random.default_rng(0).uniform(0, 1, (2500, 1)), axis=0)
    # Two places drawn from a line of length 1 lie 1 - √½ apart, in the median.
    assert median_distance(x) == pytest.approx(1 - 0.5**0.5, rel=0.05)


def test_lengths_follow_the_unit_of_the_view():
    x = np.random.default_rng(0).normal(size=(30, 2))
    small, large = (ViewKernel("rbf", (0.5,)).fit("v", x * f)[0] for f in (1, 1000))
    np.testing.assert_allclose(small(x, x), large(x * 1000, x * 1000))


def test_views_that_are_alike_everywhere_are_harmless():
    x = np.zeros((5, 2))
    for shape in ("exponential", "matern", "rbf", "linear"):
        covariance = ViewKernel(shape).fit("v", x)[0](x, x)
        np.testing.assert_array_equal(covariance, 0.0 if shape == "linear" else 1.0)


def test_unknown_shape_and_length_are_refused():
    with pytest.raises(InputError, match="shape"):
        ViewKernel("cubic")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="lengths"):
        ViewKernel("rbf", (0.0,))


def test_reduction_keeps_distances_when_nothing_is_dropped():
    x = np.random.default_rng(1).normal(size=(30, 6)) * [1, 2, 3, 4, 5, 0]
    reduced = Reduction.fit(x, 99, standardise=False)(x)
    for i, j in ((0, 1), (4, 9)):
        assert np.linalg.norm(reduced[i] - reduced[j]) == pytest.approx(np.linalg.norm(x[i] - x[j]))
    assert Reduction.fit(x, 2)(x).shape == (30, 2)
    with pytest.raises(InputError, match="width"):
        Reduction.fit(x, 2)(x[:, :5])


@given(st.integers(0, 50))
def test_axes_point_to_their_largest_part_whatever_the_order_of_spots(seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(9, 4))
    axes = Reduction.fit(x, 3).axes
    assert (axes[np.abs(axes).argmax(axis=0), np.arange(3)] > 0).all()
    np.testing.assert_allclose(Reduction.fit(x[rng.permutation(9)], 3).axes, axes, atol=1e-9)


def test_kernel_survives_json():
    kernel = Kernel("place", "exponential", 120.0)
    assert Kernel(**kernel.to_dict()) == kernel


def test_features_without_a_column_are_refused():
    with pytest.raises(InputError, match="wrong array"):
        Reduction.fit(np.empty((9, 0)), 4)
