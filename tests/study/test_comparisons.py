import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from c2lst.evaluation.expression import DEFAULT_METHOD
from c2lst.study import StudySettings
from c2lst.study.comparisons import compared, sentences, with_drop
from c2lst.study.contenders import Contender, largest_arm
from c2lst.study.grid import BASELINE, NO_NETWORK
from c2lst.study.regimes import regimes, standings
from c2lst.study.results import means
from c2lst.study.tables import score_lines
from toy_study import blocks_of, metrics


def table(effect=0.05, noise=1e-4, **changes):
    grid = {"fractions": (0.1, 0.5), "ratios": (1, 5), "seeds": 4, "networks": ("n",)}
    return with_drop(metrics(StudySettings(**grid | changes), ["A", "B"], effect, noise))


def said(whole):
    return sentences(compared(blocks_of(whole)), whole)


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
    helped = said(table(effect=0.05))
    nothing = said(table(effect=0.0, noise=0.01))
    assert [heading for heading, _ in helped] == ["A, random spots", "B, random spots"]
    for _, lines in helped:
        assert len(lines) == 2
        assert all("lower at 10" in line and "−5.0" in line for line in lines)
        assert all("with shuffled genes: " in line for line in lines)
    words = " ".join(line for _, lines in nothing for line in lines)
    assert "no difference shown" in words


def test_pairs_are_compared_with_those_that_say_nothing_of_the_genes():
    whole = table(effect=0.05, ratios=(1, 3), controls=("shuffled", "unconditional"))
    whole.loc[whole["arm"] == "unconditional", "mae"] *= 0.9
    found = compared(blocks_of(whole)).set_index(["arm", "against_arm"])
    assert {against for arm, against in found.index if arm == "ratio-1"} >= {"ratio-0"}
    assert not {("ratio-1", "shuffled"), ("shuffled", "unconditional")} & set(found.index)
    assert (found.loc[[("ratio-3", "shuffled")], "sign"] == -1).all()
    assert (found.loc[[("ratio-3", "unconditional")], "sign"] == 1).all()
    lines = said(whole)[0][1]
    assert all("shuffled genes: " in a and "drawn without genes: " in a for a in lines)


def test_harm_is_said_too():
    lines = said(table(effect=-0.05))[0][1]
    assert "higher at 10" in lines[0] and "+5.0" in lines[0]


def test_one_seed_bears_nothing_out():
    lines = said(table(seeds=1))[0][1]
    assert "one seed cannot bear out" in lines[0]


def test_without_synthetic_pairs_there_is_nothing_to_say():
    assert said(table(networks=())) == []


def test_every_network_is_compared_with_its_own_twin():
    whole = table(networks=("n", "m"), noise=0.0)
    whole.loc[whole["network"] == "m", "mae"] *= 2
    drop = with_drop(whole.drop(columns="mae_drop")).set_index("arm").loc["ratio-5", "mae_drop"]
    np.testing.assert_allclose(drop, 0.05)
    rows = compared(blocks_of(whole, noise=0.0)).query("against_arm == 'ratio-0'")
    assert (rows["network"] == rows["against_network"]).all()
    np.testing.assert_allclose(rows.query("arm == 'ratio-5'")["relative"], -0.05, atol=1e-9)


def test_the_best_is_found_in_every_place_and_ties_are_named():
    found = [r for r in regimes(blocks_of(table(effect=0.05))) if r.genes == "all"]
    assert [(r.section, r.fraction) for r in found] == [
        ("A", 0.1), ("A", 0.5), ("B", 0.1), ("B", 0.5),
    ]  # fmt: skip
    assert {r.best for r in found} == {Contender("ratio-5", "n", DEFAULT_METHOD)}
    assert not any(r.tied for r in found)
    thirds = [r for r in regimes(blocks_of(table())) if r.genes == "high"]
    assert len(thirds) == 4 and all(r.moran == pytest.approx(0.5) for r in thirds)
    ours = {("ratio-0", "n", DEFAULT_METHOD), ("ratio-5", "n", DEFAULT_METHOD)}
    for regime in regimes(blocks_of(table(effect=0.0, noise=0.01, seeds=3))):
        assert {regime.best, *regime.tied} & ours


def test_controls_do_not_compete():
    whole = table(effect=0.0)
    whole.loc[whole["arm"] == "shuffled", "mae"] = 0.0
    assert all(regime.best.arm != "shuffled" for regime in regimes(blocks_of(whole)))


def test_a_single_seed_decides_nothing():
    for regime in regimes(blocks_of(table(effect=0.05, seeds=1))):
        assert regime.best is None and regime.tied == ()


def test_the_least_mean_is_marked_among_methods_that_have_every_seed():
    whole = table(effect=0.05, seeds=3)
    lucky = (whole["arm"] == "ratio-0") & (whole["method"] == DEFAULT_METHOD)
    whole.loc[lucky & (whole["seed"] == 0), "mae"] = 0.01
    whole = whole[~(lucky & (whole["seed"] > 0))]
    for place in score_lines(means(whole)):
        marked = {method["title"] for method in place["methods"] if method["least"]}
        assert marked == {Contender("ratio-5", "n", DEFAULT_METHOD).title}


def test_who_failed_on_a_seed_does_not_compete():
    whole = table(effect=0.05)
    here = (whole["section"] == "A") & (whole["fraction"] == 0.1)
    lucky = here & (whole["arm"] == "ratio-0") & (whole["method"] == DEFAULT_METHOD)
    whole.loc[here & (whole["seed"] == 0), "mae"] = 0.0
    whole.loc[lucky, "mae"] = 0.01
    whole = whole[~(lucky & (whole["seed"] == 0))]
    found = regimes(blocks_of(whole))[0]
    assert found.best == ("ratio-5", "n", DEFAULT_METHOD)
    assert ("ratio-0", "n", DEFAULT_METHOD) not in found.tied


def test_standings_are_best_tied_or_behind_against_all_baselines():
    whole = table(effect=0.0)
    ours = (whole["arm"] == NO_NETWORK).to_numpy()
    kriging = (whole["arm"] == BASELINE) & (whole["method"] == "kriging")

    def verdicts(blocks):
        own = [s for s in standings(blocks) if s.method.arm == NO_NETWORK]
        return {(s.verdict, s.rivals[0][0].method) for s in own}

    assert verdicts(blocks_of(whole)) == {("best", "kriging")}
    whole.loc[ours, "mae"] = whole.loc[kriging, "mae"].to_numpy()
    assert verdicts(blocks_of(whole, noise=0.01)) == {("tied", "kriging")}
    whole.loc[ours, "mae"] += 0.005
    assert verdicts(blocks_of(whole)) == {("behind", "kriging")}


def test_means_have_intervals_over_seeds():
    averaged = means(table())
    keys = ["section", "scheme", "fraction", "arm", "network", "method"]
    assert not averaged.duplicated(keys).any()
    assert (averaged["runs"] == 4).all()
    drop = averaged[averaged["arm"] == "ratio-5"]
    assert ((drop["mae_drop_low"] < 0.05) & (drop["mae_drop_high"] > 0.05)).mean() > 0.6
    assert isinstance(averaged, pd.DataFrame) and "ratio_low" not in averaged
