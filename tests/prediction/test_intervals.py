from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from c2lst.prediction.crossfit import LeftOut
from c2lst.prediction.intervals import Widths, effective_spots, near, quantiles


def calibrated(
    observed: np.ndarray,
    mean: np.ndarray,
    sd: np.ndarray,
    *,
    distance: np.ndarray | None = None,
    targets: tuple[float, ...] = (1.0,),
) -> Widths:
    n = len(observed)
    distance = np.ones(n) if distance is None else distance
    left_out = LeftOut(np.arange(n), distance, mean, sd)
    return Widths.fit(observed, left_out, np.array(targets), 1.0, 0.9)


@pytest.mark.parametrize("n", [9, 18, 30, 60, 400])
def test_exchangeable_spots_are_covered_as_stated(n):
    rng = np.random.default_rng(n)
    genes = 200
    sd = np.broadcast_to(rng.uniform(0.5, 3, genes), (n, genes))
    # The stated sd is wrong by a factor of two: calibration has to find it.
    widths = calibrated(2 * sd * rng.normal(size=(n, genes)), np.zeros((n, genes)), sd)
    new = 2 * sd[0] * rng.normal(size=(4000, genes))
    coverage = (np.abs(new) <= widths.at(np.array([1.0])) * sd[0]).mean()
    assert 0.88 < coverage < 0.93


@pytest.mark.parametrize("n", [12, 46])
def test_spots_whose_genes_err_together_are_covered_on_average(n):
    rng = np.random.default_rng(n)
    genes, found = 60, []
    for _ in range(40):
        spot = rng.lognormal(0, 0.5, (n + 200, 1))
        y = spot * rng.normal(size=(n + 200, genes))
        widths = calibrated(y[:n], np.zeros((n, genes)), np.ones((n, genes)))
        found.append((np.abs(y[n:]) <= widths.factors[0]).mean())
    assert 0.88 < np.mean(found) < 0.94


@given(scale=st.floats(1e-3, 1e3), seed=st.integers(0, 50), n=st.sampled_from([2, 3, 9, 40]))
def test_intervals_scale_with_the_data_and_are_never_missing(scale, seed, n):
    rng = np.random.default_rng(seed)
    y, sd = rng.normal(size=(n, 5)), rng.uniform(0.5, 1.5, (n, 5))
    y[:, 4] = 1.0
    mean = np.zeros((n, 5))
    once = calibrated(y, mean, sd).factors
    assert np.isfinite(once).all()
    assert (once[:, :4] > 0).all()
    np.testing.assert_allclose(calibrated(scale * y, mean, scale * sd).factors, once, rtol=1e-6)


@pytest.mark.parametrize("value", [0.1, 3.3, 910.4911867093487, 1e6 / 3])
def test_a_constant_of_any_unit_does_not_vary(value):
    y = np.full((40, 2), value)
    y[:, 1] += np.random.default_rng(0).normal(size=40)
    factors = calibrated(y, np.zeros((40, 2)), np.ones((40, 2))).factors
    assert factors[0, 0] == 0 < factors[0, 1]


def test_far_spots_are_calibrated_by_far_spots():
    rng = np.random.default_rng(0)
    n, genes = 300, 10
    distance = np.repeat([1.0, 4.0], n // 2)
    # Residuals grow with the distance and the stated sd does not know it.
    y = distance[:, None] * rng.normal(size=(n, genes))
    mean, sd = np.zeros((n, genes)), np.ones((n, genes))
    close = calibrated(y, mean, sd, distance=distance, targets=(1.0,))
    far = calibrated(y, mean, sd, distance=distance, targets=(4.0,))
    both = calibrated(y, mean, sd, distance=distance, targets=(1.0, 4.0))
    np.testing.assert_allclose(close.factors.mean(), 1.645, rtol=0.15)
    np.testing.assert_allclose(far.factors.mean(), 4 * 1.645, rtol=0.15)
    ends = both.at(np.array([0.5, 4.0, np.inf]))
    assert ends[1].mean() > 3 * ends[0].mean()
    np.testing.assert_array_equal(ends[1], ends[2])


def test_quantiles_are_taken_evenly_through_the_places_to_predict():
    y = np.random.default_rng(0).normal(size=(30, 2))
    targets = tuple(np.linspace(0, 8, 81))
    widths = calibrated(y, np.zeros((30, 2)), np.ones((30, 2)), targets=targets)
    np.testing.assert_allclose(widths.distances, [1, 3, 5, 7])


def test_where_spots_are_few_genes_of_like_mean_share_their_ratios():
    rng = np.random.default_rng(0)
    scale = np.where(np.arange(200) % 2, 6.0, 1.0)
    y = 20 * scale + scale * rng.normal(size=(9, 200))
    factors = calibrated(y, np.tile(20 * scale, (9, 1)), np.full((9, 200), 3.0)).factors[0]
    assert np.quantile(factors[::2], 0.8) < 1.2 < 2 < np.quantile(factors[1::2], 0.2)


@given(strong=st.floats(3, 100), seed=st.integers(0, 20))
def test_a_signal_that_is_predicted_well_is_covered_as_stated(strong, seed):
    """Predicted standard deviations are small beside the spread of the genes."""
    rng = np.random.default_rng(seed)
    n, genes = 200, 20
    signal = strong * rng.normal(size=(n + 500, genes))
    y, sd = signal + rng.normal(size=signal.shape), np.ones(signal.shape)
    widths = calibrated(y[:n], signal[:n], sd[:n])
    half = widths.half(np.ones(500), sd[n:])
    assert 0.88 < (np.abs(y - signal)[n:] <= half).mean() < 0.93


def test_every_spot_has_a_say_where_there_are_few():
    weights = near(np.array([1.0, 1.0, 1.0, 9.0, 9.0]), 9.0, 0.5, np.arange(5))
    assert weights.sum() == pytest.approx(1)
    assert weights[4] > weights[0] > 0
    assert effective_spots(weights, np.arange(5)) >= 4


def test_a_spot_that_comes_twice_counts_once():
    ones = np.full(8, 1 / 8)
    assert effective_spots(ones, np.arange(8)) == pytest.approx(8)
    assert effective_spots(ones, np.arange(8) % 4) == pytest.approx(4)


def test_a_gene_that_never_varied_has_a_point_for_an_interval():
    y = np.ones((50, 2))
    y[:, 1] = np.random.default_rng(0).normal(size=50)
    mean, sd = np.column_stack([np.ones(50), np.zeros(50)]), np.tile([0.0, 1.0], (50, 1))
    assert calibrated(y, mean, sd).factors[:, 0].tolist() == [0]


def test_genes_that_are_all_constant_have_points():
    ones = np.ones((6, 3))
    assert not calibrated(ones, ones, 0 * ones).factors.any()


def test_a_gene_that_one_spot_alone_has_does_not_blow_up_the_others():
    rng = np.random.default_rng(1)
    y = rng.normal(size=(9, 30))
    y[:, 0] = 0
    y[4, 0] = 5.0
    sd = np.ones((9, 30))
    sd[4, 0] = 0.0
    factors = calibrated(y, np.zeros((9, 30)), sd).factors
    assert np.isfinite(factors).all()
    assert factors.max() < 4


def test_genes_keep_their_own_shapes_where_there_are_spots_enough():
    rng = np.random.default_rng(2)
    ratio = np.abs(np.column_stack([rng.normal(size=800), rng.uniform(-1, 1, 800)]))
    found = quantiles(ratio, np.full(800, 1 / 800), np.arange(800), np.array([0, 1]), 0.9)
    np.testing.assert_allclose(found, [1.645, 0.9], rtol=0.08)


@pytest.mark.parametrize("n", [23, 31, 44, 58])
def test_genes_that_err_alike_have_the_conformal_rank_of_one_gene(n):
    """Of n exchangeable spots and a new one, the ⌈0.9 (n + 1)⌉th least is not exceeded."""
    spot = np.random.default_rng(n).permutation(np.arange(1.0, n + 1))
    ratio = np.repeat(spot[:, None], 12, axis=1)
    found = quantiles(ratio, np.full(n, 1 / n), np.arange(n), np.arange(12), 0.9)
    np.testing.assert_array_equal(found, np.ceil(0.9 * (n + 1)))


def test_half_of_the_tail_stays_out_where_spots_are_too_few_for_the_rank():
    ratio = np.repeat(np.arange(1.0, 10)[:, None], 44, axis=1)
    ratio[-1] += np.arange(44) / 44
    found = quantiles(ratio, np.full(9, 1 / 9), np.arange(9), np.arange(44), 0.9)
    np.testing.assert_array_equal(found, np.quantile(ratio, 0.95, method="inverted_cdf"))
