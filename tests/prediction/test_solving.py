"""The Gaussian process of a component, against what its equations say written out."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import multivariate_normal

from c2lst.prediction.evidence import NOISES, average_over_grid
from c2lst.prediction.kernels import Kernel
from c2lst.prediction.solving import Fold, _inverse, covariance, gram_of, solve


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 12), st.integers(0, 99))
def test_the_inverse_of_a_covariance(n, seed):
    rng = np.random.default_rng(seed)
    root = rng.standard_normal((n, n))
    matrix = root @ root.T + 0.1 * np.eye(n)
    before = matrix.copy()
    np.testing.assert_allclose(_inverse(matrix) @ matrix, np.eye(n), atol=1e-7)
    np.testing.assert_array_equal(_inverse(matrix), _inverse(matrix).T)
    np.testing.assert_array_equal(matrix, before)


def test_a_matrix_that_is_no_covariance_is_inverted_all_the_same():
    matrix = np.diag([1.0, -2.0, 4.0])
    np.testing.assert_allclose(_inverse(matrix), np.diag([1.0, -0.5, 0.25]))


def test_what_is_left_out_is_what_the_others_predict():
    """A spot alone, and a fold of three, against a system of the others that is solved."""
    rng = np.random.default_rng(0)
    train = {"place": rng.uniform(0, 10, (14, 2))}
    kernels = [Kernel("place", "matern", 2.0)]
    scores, uneven = rng.standard_normal((14, 2)), rng.uniform(0.5, 2, 14)
    weights, noise = np.array([[0.7], [0.4]]), np.array([0.3, 0.6])
    out = np.isin(np.arange(14), [2, 5, 11])
    found = solve(kernels, train, scores, weights, noise, uneven, [Fold(out, scores[~out])])
    gram = gram_of(kernels, train)
    for j in range(2):
        whole = covariance(gram, weights[j], noise[j] * uneven)

        def told(left, whole=whole, j=j):
            kept = ~left
            return whole[np.ix_(left, kept)] @ np.linalg.solve(
                whole[np.ix_(kept, kept)], scores[kept, j]
            )

        alone = np.arange(14) == 4
        assert found.left_out[4, j] == pytest.approx(told(alone)[0])
        np.testing.assert_allclose(found.folds[0].scores[:, j], told(out))


def test_noise_and_amplitude_are_those_of_the_marginal_likelihood():
    """Of spots that are unevenly noisy, against the density of their law written out."""
    rng = np.random.default_rng(1)
    train, uneven = {"place": rng.uniform(0, 10, (16, 2))}, rng.uniform(0.3, 3, 16)
    kernels, scores = [Kernel("place", "exponential", 4.0)], rng.standard_normal((16, 3))
    (gram,) = gram_of(kernels, train)
    weights, noise = average_over_grid(kernels, train, scores, uneven, 0)
    np.testing.assert_allclose(weights[:, 0] + noise, 1)

    def evidence(t, share, amplitude):
        law = amplitude * ((1 - share) * gram + share * np.diag(uneven))
        return multivariate_normal(cov=law).logpdf(t)

    for j, t in enumerate(scores.T):
        found = []
        for share in NOISES:
            one = np.array([[1 - share]]), np.array([share])
            best = solve(kernels, train, t[:, None], *one, uneven).amplitude[0]
            found.append(evidence(t, share, best))
            assert found[-1] > max(evidence(t, share, best * f) for f in (0.98, 1.02))
        probability = np.exp(np.array(found) - max(found))
        assert noise[j] == pytest.approx(probability @ NOISES / probability.sum())
