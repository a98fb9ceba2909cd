import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import t

from c2lst.study import StudySettings
from c2lst.study.contenders import contenders
from c2lst.study.differences import Difference, Place, mean_and_half_width
from toy_study import blocks_of, metrics


def place(**changes):
    grid = StudySettings(**{"fractions": (0.1,), "seeds": 3, "networks": ("n",)} | changes)
    blocks = blocks_of(metrics(grid, ["A"]))
    return Place(blocks[blocks["genes"] == "all"]), contenders(blocks)


def test_a_difference_is_that_of_the_means_and_has_two_sides():
    here, known = place()
    one, other = known[0], known[-1]
    there, back = here.difference(one, other), here.difference(other, one)
    seeds = here.seeds(one)
    assert there.value == pytest.approx(here.mean(one, seeds) - here.mean(other, seeds))
    assert there.value == pytest.approx(-back.value)
    assert (there.low, there.high) == pytest.approx((-back.high, -back.low))
    assert there.low <= there.value <= there.high and there.seeds == 3


def test_nothing_differs_from_itself():
    here, known = place()
    same = here.difference(known[0], known[0])
    assert (same.value, same.low, same.high, same.sign) == (0, 0, 0, 0)


def test_a_single_seed_decides_nothing():
    here, known = place(seeds=1)
    one = here.difference(known[0], known[-1])
    assert one.seeds == 1 and one.sign == 0 and np.isnan(one.relative[1])
    assert Difference(-0.1, -0.2, -0.05, 0.5, 2).sign == -1


@settings(max_examples=25)
@given(st.integers(2, 5), st.integers(4, 12), st.floats(0.1, 3))
def test_an_interval_holds_what_varies_over_seeds_and_what_varies_over_blocks(seeds, blocks, size):
    rng = np.random.default_rng(seeds * 100 + blocks)
    spots = np.full((seeds, blocks), 4.0)
    for count, effect in (
        (seeds, rng.normal(size=(seeds, 1))),
        (blocks, rng.normal(size=(1, blocks))),
    ):
        # One factor alone: the t interval of its means.
        mean, half = mean_and_half_width(spots * (1 + size * effect), spots)
        assert mean == pytest.approx(1 + size * effect.mean())
        error = size * effect.std(ddof=1) / np.sqrt(count)
        assert half == pytest.approx(t.ppf(0.975, count - 1) * error)
    assert mean_and_half_width(3 * spots, spots) == (pytest.approx(3), pytest.approx(0, abs=1e-9))


def test_blocks_without_spots_tell_nothing():
    rng = np.random.default_rng(0)
    spots = rng.integers(1, 9, size=(3, 8)).astype(float)
    errors = rng.normal(size=spots.shape) * spots
    more = [np.pad(x, ((0, 0), (0, 4))) for x in (errors, spots)]
    assert mean_and_half_width(*more) == pytest.approx(mean_and_half_width(errors, spots))


@pytest.mark.parametrize("seeds", [2, 3, 5])
@pytest.mark.parametrize("size", [0.0, 1.0, 2.0])
def test_where_nothing_differs_an_interval_leaves_0_out_as_seldom_as_it_says(seeds, size):
    """``size``: how much a seed matters, in units of the standard error over blocks."""
    rng, blocks, wrong = np.random.default_rng(1), 30, 0
    spots = np.ones((seeds, blocks))
    for _ in range(400):
        of_seed = rng.normal(size=(seeds, 1)) * size / np.sqrt(blocks)
        own = 0.5 * rng.normal(size=(seeds, blocks))
        mean, half = mean_and_half_width(rng.normal(size=(1, blocks)) + of_seed + own, spots)
        wrong += abs(mean) > half
    assert wrong / 400 < 0.09  # 0.05, and four standard errors of 400 draws
