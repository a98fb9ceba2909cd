"""Deviation beside error: its ranks, its size, and what is known of Poisson counts."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import poisson

from c2lst.superres.uncertainty import (
    Deviations,
    by_tenths,
    deviation_scores,
    poisson_log1p,
    rank_correlation,
    rank_within,
)


def test_a_deviation_that_follows_the_error_has_rank_one():
    error = np.random.default_rng(0).normal(size=(3, 200))
    assert rank_correlation(np.abs(error) * 2, error) == pytest.approx(1)
    assert rank_correlation(-np.abs(error), error) == pytest.approx(-1)
    assert rank_correlation(np.ones_like(error), error) == 0


def test_a_deviation_that_only_knows_the_level_says_nothing_within_it():
    level = np.tile(np.repeat(np.arange(1.0, 11), 500), (2, 1))
    scatter = np.random.default_rng(0).normal(size=level.shape)
    error = level * scatter
    assert rank_correlation(level, error) > 0.3
    assert rank_within(level, error, level) == 0
    assert rank_within(level * (1 + 0.1 * np.abs(scatter)), error, level) == pytest.approx(1)


def test_tenths_of_a_right_deviation_agree_with_its_error():
    rng = np.random.default_rng(0)
    sd = rng.uniform(0.1, 2.0, (4, 10_000))
    tenths = np.array(by_tenths(sd, rng.normal(size=sd.shape) * sd))
    assert (np.diff(tenths[:, 0]) > 0).all()
    np.testing.assert_allclose(tenths[:, 0], tenths[:, 1], rtol=0.06)


@pytest.mark.parametrize("rate", [0.0, 0.01, 0.5, 2.0, 30.0, 143.0, 145.0, 1e4])
def test_moments_of_log1p_of_poisson_counts(rate):
    counts = np.arange(2 * int(rate) + 50)
    share, logs = poisson.pmf(counts, rate), np.log1p(counts)
    mean, sd = poisson_log1p(np.array([rate]))
    assert mean[0] == pytest.approx(share @ logs, abs=5e-4)
    assert sd[0] == pytest.approx(np.sqrt(share @ (logs - share @ logs) ** 2), abs=5e-4)


def test_the_known_expectation_has_the_right_spread_and_ranks_better_than_noise():
    rng = np.random.default_rng(0)
    expected = rng.gamma(0.5, 4.0, (3, 50, 50))
    counts = rng.poisson(expected).astype(np.float32)
    tissue = np.ones((50, 50), dtype=bool)
    mean, sd = poisson_log1p(expected)
    known = Deviations(np.sqrt(expected), sd)
    found = deviation_scores(expected, mean, known, counts, tissue)
    assert found["spread"] == pytest.approx(1, abs=0.05)
    assert found["uncertainty_rank_counts"] > 0.5 and "uncertainty_rank_expected" not in found
    blind = Deviations(rng.random(expected.shape), rng.random(expected.shape))
    for name, value in deviation_scores(expected, mean, blind, counts, tissue).items():
        assert name == "spread" or abs(value) < 0.1 < found[name]
