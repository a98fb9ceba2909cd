import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from c2lst.errors import InputError
from c2lst.planning import plan, plan_spots


@pytest.fixture(scope="module")
def slide():
    rng = np.random.default_rng(0)
    centres = np.stack(np.meshgrid(np.arange(15), np.arange(15)), -1).reshape(-1, 2) * 100.0
    kind = (centres[:, 0] > 700).astype(float)
    features = np.column_stack([kind * 4, *rng.normal(size=(5, len(centres)))])
    return centres, features


def test_the_same_slide_gives_the_same_plan_in_any_unit_of_features(slide):
    centres, features = slide
    first = plan_spots(centres, features, 12)
    again = plan_spots(centres, features * 7 + 3, 12)
    np.testing.assert_array_equal(first.design.order, again.design.order)
    assert first.unknown < first.random.min()


def test_a_second_round_keeps_away_from_the_first(slide):
    centres, features = slide
    left = np.flatnonzero(centres[:, 0] < 500)
    rng = np.random.default_rng(1)
    # Expression that only place tells: a smooth field.
    field = np.sin(centres[left] / 300) @ rng.normal(size=(2, 20))
    later = plan_spots(centres, features, 10, given=left.tolist(), expression=field)
    assert later.fitted
    assert not set(later.design.order.tolist()) & set(left.tolist())
    assert (centres[later.design.order, 0] > 500).all()


def test_regions_are_squares_of_the_side_that_was_asked_for(slide):
    centres, features = slide
    found = plan_spots(centres, features, 60, shape="roi", region_um=350.0)
    np.testing.assert_allclose(found.regions[:, 2:] - found.regions[:, :2], 350.0)
    inside = [
        ((centres >= box[:2]) & (centres <= box[2:])).all(axis=1).sum() for box in found.regions
    ]
    assert sum(inside) == len(found.design.order) <= 60
    assert found.unknown < found.random.mean()


def test_of_many_spots_a_random_choice_is_weighed(slide, monkeypatch):
    monkeypatch.setattr(plan, "MOST_SPOTS", 60)
    centres, features = slide
    found = plan_spots(centres, features, 8, given=[200, 201])
    assert len(set(found.design.order.tolist())) == 8
    assert not {200, 201} & set(found.design.order.tolist())


@pytest.mark.parametrize("budget", [0, 225, 500])
def test_budgets_that_leave_nothing_to_choose_are_refused(slide, budget):
    with pytest.raises(InputError, match="budget"):
        plan_spots(*slide, budget)


def test_a_region_must_fit_the_budget(slide):
    with pytest.raises(InputError, match="no region fits"):
        plan_spots(*slide, 5, shape="roi", region_um=800.0)


@settings(
    max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.integers(30, 200), st.integers(12, 29), st.integers(0, 9))
def test_regions_of_many_spots_cost_all_their_spots(slide, monkeypatch, weighed, budget, seed):
    """However few of the spots are weighed; 225 is all of them."""
    monkeypatch.setattr(plan, "MOST_SPOTS", weighed)
    centres, features = slide
    found = plan_spots(centres, features, budget, shape="roi", region_um=250.0, seed=seed)
    inside = [
        np.flatnonzero(((centres >= box[:2]) & (centres <= box[2:])).all(axis=1))
        for box in found.regions
    ]
    assert sorted(np.concatenate(inside)) == sorted(set(found.design.order.tolist()))
    assert len(found.design.order) == len(found.design.unknown) <= budget
    assert np.all(np.diff([found.design.before, *found.design.unknown]) < 0)


def test_regions_tell_about_as_much_however_few_spots_are_weighed(slide, monkeypatch):
    # All the spots of a region are sequenced, those that were not weighed too. The sample that the
    # regions are chosen by flatters them somewhat; with a third of the spots it would be by half.
    centres, features = slide
    of_all = plan_spots(centres, features, 40, shape="roi", region_um=350.0)
    monkeypatch.setattr(plan, "MOST_SPOTS", 75)
    of_some = plan_spots(centres, features, 40, shape="roi", region_um=350.0)
    told = [1 - found.unknown / found.design.before for found in (of_some, of_all)]
    assert told[0] == pytest.approx(told[1], rel=0.25)
    assert of_some.random.mean() == pytest.approx(of_all.random.mean(), rel=0.05)


@pytest.mark.parametrize("side", [98.0, 1.0, 1e-9, 0.0, -5.0, float("nan"), float("inf")])
def test_regions_narrower_than_the_spots_are_apart_are_refused(slide, side):
    with pytest.raises(InputError, match=r"narrower than the spots.*at least 100 µm.*--roi-um"):
        plan_spots(*slide, 20, shape="roi", region_um=side)


def test_a_region_may_be_as_wide_as_the_pitch(slide):
    centres, features = slide
    few = (centres < 450).all(axis=1)
    assert len(plan_spots(centres[few], features[few], 6, shape="roi", region_um=100.0).regions)


def test_a_seed_below_zero_is_refused(slide):
    with pytest.raises(InputError, match="plan: seed, found -1"):
        plan_spots(*slide, 5, seed=-1)


def test_a_budget_that_is_refused_is_told_what_is_left(slide, monkeypatch):
    monkeypatch.setattr(plan, "MOST_SPOTS", 75)
    with pytest.raises(InputError, match="found 70, expected fewer than the 55 spots"):
        plan_spots(*slide, 70, given=range(20))
    with pytest.raises(InputError, match="expected a first round of fewer than 75 spots"):
        plan_spots(*slide, 5, given=range(80))
