import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from c2lst.evaluation.expression import DEFAULT_METHOD
from c2lst.study import StudySettings
from c2lst.study.comparisons import largest_arm, regimes, sentences, with_drop
from c2lst.study.grid import NO_NETWORK
from c2lst.study.results import means
from toy_study import metrics


def table(effect=0.05, noise=1e-4, **changes):
    grid = {"fractions": (0.1, 0.5), "ratios": (1, 5), "schemes": ("random",), "seeds": 4}
    return with_drop(metrics(StudySettings(**grid | changes), ["A", "B"], effect, noise))


@given(st.randoms(use_true_random=False))
def test_the_drop_is_counted_split_by_split_whatever_the_order(random):
    whole = table(noise=0.0)
    order = list(range(len(whole)))
    random.shuffle(order)
    shuffled = with_drop(whole.drop(columns="mae_drop").iloc[order])
    drop = shuffled.loc[shuffled["arm"] == "ratio-5", "mae_drop"]
    # The errors of splits differ widely; each is compared with its own twin.
    np.testing.assert_allclose(drop, 0.05)


def test_what_has_no_twin_has_no_drop():
    whole = table()
    assert whole.loc[whole["arm"].isin(["baseline", NO_NETWORK]), "mae_drop"].isna().all()
    lost = with_drop(whole[whole["arm"] != "ratio-0"].drop(columns="mae_drop"))
    assert lost["mae_drop"].isna().all()


def test_the_largest_ratio_is_largest_by_number():
    assert largest_arm(table(ratios=(2, 9, 10))) == "ratio-10"


def test_an_effect_is_said_and_none_is_said_to_be_none():
    helped = sentences(means(table(effect=0.05)))
    nothing = sentences(means(table(effect=0.0, noise=0.01)))
    assert [heading for heading, _ in helped] == ["A, random spots", "B, random spots"]
    for _, lines in helped:
        assert len(lines) == 2
        assert all("lower at 10" in line and "−5.0" in line for line in lines)
        assert all("shuffled genes" in line for line in lines)
    words = " ".join(line for _, lines in nothing for line in lines)
    assert "no difference shown" in words


def test_harm_is_said_too():
    lines = sentences(means(table(effect=-0.05)))[0][1]
    assert "higher at 10" in lines[0] and "+5.0" in lines[0]


def test_one_seed_bears_nothing_out():
    lines = sentences(means(table(seeds=1)))[0][1]
    assert "one seed cannot bear out" in lines[0]


def test_without_synthetic_pairs_there_is_nothing_to_say():
    assert sentences(means(table(ratios=(0,), controls=()))) == []


def test_the_best_is_found_in_every_place_and_ties_are_named():
    found = regimes(table(effect=0.05))
    assert [(r.section, r.fraction) for r in found] == [
        ("A", 0.1), ("A", 0.5), ("B", 0.1), ("B", 0.5),
    ]  # fmt: skip
    assert {r.best for r in found} == {("ratio-5", DEFAULT_METHOD)}
    assert not any(r.tied for r in found)
    assert found[0].moran == pytest.approx(0.2) and found[2].moran == pytest.approx(0.5)
    ours = {(arm, DEFAULT_METHOD) for arm in ("ratio-0", "ratio-5", NO_NETWORK)}
    for regime in regimes(table(effect=0.0, noise=0.01, seeds=3)):
        assert {regime.best, *regime.tied} >= ours


def test_controls_do_not_compete():
    whole = table(effect=0.0)
    whole.loc[whole["arm"] == "shuffled", "mae"] = 0.0
    assert all(regime.best[0] != "shuffled" for regime in regimes(whole))


def test_a_seed_that_one_contender_failed_on_is_left_out_for_all():
    whole = table(effect=0.05)
    here = (whole["section"] == "A") & (whole["fraction"] == 0.1)
    lucky = here & (whole["arm"] == "ratio-0") & (whole["method"] == DEFAULT_METHOD)
    whole.loc[here & (whole["seed"] == 0), "mae"] = 0.0
    whole = whole[~(lucky & (whole["seed"] == 0))]
    assert regimes(whole)[0].best == ("ratio-5", DEFAULT_METHOD)


def test_means_have_intervals_over_seeds():
    averaged = means(table())
    assert not averaged.duplicated(["section", "scheme", "fraction", "arm", "method"]).any()
    assert (averaged["runs"] == 4).all()
    drop = averaged[averaged["arm"] == "ratio-5"]
    assert ((drop["mae_drop_low"] < 0.05) & (drop["mae_drop_high"] > 0.05)).mean() > 0.6
    assert isinstance(averaged, pd.DataFrame) and "ratio_low" not in averaged
