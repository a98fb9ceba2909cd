import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from c2lst.planning.design import Posterior, choose_regions, choose_spots, unknown_in_turn


def covariance(n, seed, reach=0.4):
    places = np.random.default_rng(seed).uniform(size=(n, 2))
    return np.exp(-np.linalg.norm(places[:, None] - places[None], axis=-1) / reach), places


def unknown(k, noise, rows):
    """The definition, in one dense formula."""
    inner = k[np.ix_(rows, rows)] + noise * np.eye(len(rows))
    return np.mean(np.diag(k - k[:, rows] @ np.linalg.solve(inner, k[rows])))


@settings(max_examples=20, deadline=None)
@given(st.integers(5, 40), st.integers(1, 4), st.floats(0.05, 3.0), st.integers(0, 99))
def test_what_stays_unknown_is_that_of_the_formula(n, k, noise, seed):
    matrix, _ = covariance(n, seed)
    rows = np.random.default_rng(seed).permutation(n)[:k]
    found = unknown_in_turn(matrix[np.ix_(rows, rows)], matrix[rows], 1.0, noise)
    expected = [unknown(matrix, noise, rows[: number + 1]) for number in range(k)]
    np.testing.assert_allclose(found, expected, atol=1e-9)


@settings(max_examples=20, deadline=None)
@given(st.integers(6, 30), st.integers(0, 99))
def test_a_gain_is_what_taking_the_spot_then_brings(n, seed):
    matrix, _ = covariance(n, seed)
    posterior = Posterior(matrix, 0.5)
    for row in (0, n // 2):
        gains, before = posterior.gains(), posterior.unknown
        together = posterior.gain_together(np.array([row]))
        posterior.take(row)
        assert before - posterior.unknown == pytest.approx(gains[row], abs=1e-5)
        assert together == pytest.approx(gains[row], abs=1e-5)


def test_each_choice_is_the_best_next_one_and_never_a_given_spot():
    matrix, _ = covariance(25, 1)
    design = choose_spots(matrix, 0.3, 4, given=[3, 7])
    taken = [3, 7]
    for row in design.order.tolist():
        others = [r for r in range(25) if r not in taken]
        left = [unknown(matrix, 0.3, np.array([*taken, r])) for r in others]
        assert left[others.index(row)] == pytest.approx(min(left), abs=1e-6)
        taken.append(row)
    assert np.all(np.diff(np.concatenate([[design.before], design.unknown])) < 0)


def test_planned_spots_leave_less_unknown_than_random_ones():
    matrix, _ = covariance(200, 2, reach=0.2)
    design = choose_spots(matrix, 0.5, 20)
    rng = np.random.default_rng(0)
    random = [unknown(matrix, 0.5, rng.permutation(200)[:20]) for _ in range(20)]
    assert design.unknown[-1] < min(random)


def test_spots_that_tell_nothing_of_one_another_are_all_alike():
    design = choose_spots(np.eye(9), 1.0, 3)
    np.testing.assert_array_equal(design.order, [0, 1, 2])
    assert design.unknown[-1] == pytest.approx(1 - 3 * 0.5 / 9)


def test_regions_do_not_overlap_and_fit_the_budget():
    matrix, places = covariance(80, 3)
    regions = [np.flatnonzero(np.abs(places - p).max(axis=1) < 0.15) for p in places]
    chosen, design = choose_regions(matrix, 0.5, 30, regions, given=[0])
    rows = np.concatenate([regions[n] for n in chosen])
    assert len(rows) == len(set(rows.tolist())) == len(design.order) <= 30
    assert 0 not in rows
    assert design.unknown[-1] == pytest.approx(unknown(matrix, 0.5, np.r_[0, rows]), abs=1e-5)


def test_equals_are_taken_in_their_order_whatever_is_rounded():
    places = np.stack(np.meshgrid(np.arange(30.0), np.arange(30.0)), -1).reshape(-1, 2)
    matrix = np.exp(-np.linalg.norm(places[:, None] - places[None], axis=-1) / 9)
    order = choose_spots(matrix, 1.0, 5).order
    assert order[0] == 14 * 30 + 14  # the first of the four in the middle
    rounded = matrix * (1 + 1e-7 * np.random.default_rng(0).normal(size=matrix.shape))
    np.testing.assert_array_equal(choose_spots(rounded, 1.0, 5).order, order)
