import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from c2lst.study import StudySettings
from c2lst.study.contenders import contenders
from c2lst.study.differences import Difference, Place, resampled
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
    for effect in (rng.normal(size=(seeds, 1)), rng.normal(size=(1, blocks))):
        varying = resampled(spots * (1 + size * effect), spots)
        assert varying.std() > 0.1 * size * effect.std()
    np.testing.assert_allclose(resampled(3 * spots, spots), 3)
