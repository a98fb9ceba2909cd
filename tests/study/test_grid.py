import pytest

from c2lst.errors import InputError
from c2lst.study.grid import CONTROLS, TWIN, StudySettings


def test_the_grid_is_every_combination_once():
    grid = StudySettings(
        fractions=(0.1, 0.25),
        ratios=(1, 5),
        schemes=("random", "blocks"),
        controls=("shuffled", "mixup"),
        seeds=3,
    )
    splits = grid.splits(["A", "B"])
    cells = [cell for key in splits for cell in grid.cells(key)]
    assert len(splits) == len(set(splits)) == 2 * 2 * 2 * 3
    # Without a network, ratios 0, 1 and 5, two controls.
    assert len(cells) == len(set(cells)) == len(splits) * 6
    assert len({(key.section, key.name) for key in splits}) == len(splits)


def test_the_step_matched_twin_is_always_there():
    assert TWIN in [arm.name for arm in StudySettings(ratios=(10,)).arms()]


def test_controls_have_as_many_pairs_as_the_largest_ratio():
    arms = {arm.name: arm.ratio for arm in StudySettings(ratios=(1, 7)).arms()}
    assert {arms[name] for name in CONTROLS if name != "same-epochs"} == {7}
    assert arms["same-epochs"] == 0


def test_what_is_given_twice_or_in_another_order_is_the_same_study():
    one = StudySettings(fractions=(0.5, 0.1, 0.5), ratios=(3, 1, 3), controls=("mixup", "shuffled"))
    two = StudySettings(fractions=(0.1, 0.5), ratios=(0, 1, 3), controls=("shuffled", "mixup"))
    assert one == two


def test_the_papers_protocol():
    paper = StudySettings.of_preset("paper", seeds=None)
    assert paper.fractions == (0.05, 0.1, 0.25, 0.5)
    assert paper.ratios == tuple(range(11)) and paper.union
    assert paper.schemes == ("random",)
    assert {"same-epochs", "synthetic-only"} <= set(paper.controls)
    assert StudySettings.of_preset("paper", ratios=(2,)).ratios == (0, 2)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"fractions": (0.1, 1.0)}, "fractions"),
        ({"fractions": (0.0,)}, "fractions"),
        ({"fractions": ()}, "there is none"),
        ({"ratios": (-1,)}, "ratios"),
        ({"schemes": ("circles",)}, "schemes"),
        ({"controls": ("placebo",)}, "controls"),
        ({"seeds": 0}, "seeds"),
        ({"ratios": (0,)}, "largest ratio"),
    ],
)
def test_what_makes_no_study_is_refused(change, problem):
    with pytest.raises(InputError, match=problem):
        StudySettings(**change)
