import pytest
from hypothesis import given
from hypothesis import strategies as st

from c2lst.errors import InputError
from c2lst.prediction.network_baselines import NETWORKS
from c2lst.study.grid import CONTROLS, TWIN, StudySettings


def test_the_grid_is_every_combination_once():
    grid = StudySettings(
        fractions=(0.1, 0.25),
        ratios=(1, 5),
        schemes=("random", "blocks"),
        controls=("shuffled", "mixup"),
        seeds=3,
        networks=("resnet-tiny", "frozen"),
        baselines=("resnet-50",),
    )
    splits = grid.splits(["A", "B"])
    cells = [cell for key in splits for cell in grid.cells(key)]
    assert len(splits) == len(set(splits)) == 2 * 2 * 2 * 3
    # Without a network; for each network ratios 0, 1 and 5, two controls; a baseline.
    assert len(cells) == len(set(cells)) == len(splits) * (1 + 2 * 5 + 1)
    assert len({(cell.split, cell.arm.title) for cell in cells}) == len(cells)
    assert len({(key.section, key.name) for key in splits}) == len(splits)


def test_the_step_matched_twin_is_always_there():
    assert TWIN in [arm.name for arm in StudySettings(ratios=(10,), networks=("n",)).arms()]


def test_controls_have_as_many_pairs_as_the_largest_ratio():
    whole = StudySettings(ratios=(1, 7), controls=tuple(CONTROLS), networks=("n",))
    arms = {arm.name: arm.ratio for arm in whole.arms()}
    assert {arms[name] for name in CONTROLS if name != "same-epochs"} == {7}
    assert arms["same-epochs"] == 0


def test_what_is_given_twice_or_in_another_order_is_the_same_study():
    one = StudySettings(fractions=(0.5, 0.1, 0.5), ratios=(3, 1, 3), controls=("mixup", "shuffled"))
    two = StudySettings(fractions=(0.1, 0.5), ratios=(0, 1, 3), controls=("shuffled", "mixup"))
    assert one == two


def test_the_default_is_small_and_holds_the_controls_that_make_it_evidence():
    grid = StudySettings(networks=("n",))
    cells = [cell for key in grid.splits(["A"]) for cell in grid.cells(key)]
    assert len(cells) == 48
    assert {cell.arm.name for cell in cells} >= {TWIN, "shuffled", "no-network"}


def test_without_networks_nothing_has_to_be_adapted_or_drawn():
    grid = StudySettings(networks=(), ratios=(0, 5), controls=("shuffled",))
    assert [arm.name for arm in grid.arms()] == ["no-network"] and grid.largest == 0


@given(st.data())
def test_a_merged_grid_holds_both_and_the_order_does_not_matter(data):
    def some(values, least=1):
        return tuple(data.draw(st.lists(st.sampled_from(values), min_size=least, max_size=3)))

    def grid():
        networks = some(("n", "m"), 0)
        return StudySettings(
            fractions=some((0.1, 0.25, 0.5)),
            ratios=(1, *some((0, 2, 5))),
            controls=some(tuple(CONTROLS), 0) if networks else (),
            seeds=data.draw(st.integers(1, 3)),
            networks=networks,
            baselines=some(("resnet-50",), 0),
        )

    one, two = grid(), grid()
    both = one.merged(two)
    assert set(both.arms()) == set(two.merged(one).arms())
    splits = set(both.splits(["A"]))
    for part in (one, two):
        assert set(part.splits(["A"])) <= splits
        # Controls have as many pairs as the largest ratio of the whole.
        titles = {arm.title for arm in part.arms()}
        key = part.splits(["A"])[0]
        assert {cell.arm.title for cell in both.cells(key, part)} == titles
        assert {cell.arm.ratio for cell in both.cells(key, part)} <= {0, *both.ratios}


def test_ways_of_mixing_batches_are_not_merged():
    with pytest.raises(InputError, match="mixed in another way"):
        StudySettings().merged(StudySettings(union=True))


def test_the_papers_protocol():
    paper = StudySettings.of_preset("paper", seeds=None)
    assert paper.fractions == (0.05, 0.1, 0.25, 0.5)
    assert paper.ratios == tuple(range(11)) and paper.union
    assert paper.schemes == ("random",)
    assert {"same-epochs", "synthetic-only"} <= set(paper.controls)
    assert paper.baselines == NETWORKS
    assert StudySettings.of_preset("paper", baselines=()).baselines == ()
    assert StudySettings.of_preset("paper", ratios=(2,)).ratios == (0, 2)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"fractions": (0.1, 1.0)}, "fractions"),
        ({"fractions": (0.0,)}, "fractions"),
        ({"fractions": ()}, "each, at least 1"),
        ({"ratios": (-1,)}, "ratios"),
        ({"schemes": ("circles",)}, "schemes"),
        ({"controls": ("placebo",)}, "controls"),
        ({"seeds": 0}, "seeds"),
        ({"ratios": (0,)}, "largest ratio"),
        ({"baselines": ("resnet-18",)}, "baselines"),
    ],
)
def test_what_makes_no_study_is_refused(change, problem):
    with pytest.raises(InputError, match=problem):
        StudySettings(**change)
