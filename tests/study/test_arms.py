import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from c2lst.data.preprocessing import Preprocessing
from c2lst.data.synthetic import SyntheticPairs
from c2lst.prediction.options import PredictorSettings
from c2lst.study.arms import Material, first_of_each, pairs_for, settings_for
from c2lst.study.grid import CONTROLS, NO_NETWORK, Arm, StudySettings


def pool(spots, each):
    count = spots * each
    return SyntheticPairs(
        images=np.zeros((count, 2, 2, 3), dtype=np.uint8),
        scaled=np.zeros((count, 1)),
        lognorm=np.zeros((count, 1)),
        source_barcodes=np.repeat([f"s{i}" for i in range(spots)], each),
        seeds=np.arange(count),
        guidance_scale=1.0,
        sampler="fast",
    )


@given(st.integers(1, 6), st.integers(1, 5), st.data())
def test_a_smaller_ratio_is_the_beginning_of_every_spots_images(spots, each, data):
    ratio = data.draw(st.integers(1, each))
    whole = pool(spots, each)
    part = first_of_each(whole, ratio, spots)
    for spot in range(spots):
        mine = part.seeds[part.source_barcodes == f"s{spot}"]
        assert mine.tolist() == whole.seeds[whole.source_barcodes == f"s{spot}"][:ratio].tolist()


@pytest.mark.parametrize("union", [False, True])
def test_every_arm_takes_the_same_steps_but_the_one_that_is_named_for_it(union):
    grid = StudySettings(
        ratios=(1, 3), union=union, networks=("resnet-10",), controls=tuple(CONTROLS)
    )
    settings = PredictorSettings(steps=400)
    fitted = {arm.name: settings_for(arm, grid, settings) for arm in grid.arms() if arm.network}
    assert {own.network for own in fitted.values()} == {"resnet-10"}
    steps = {name: own.steps for name, own in fitted.items()}
    assert steps.pop("same-epochs") == 400 / (1 + 3)
    assert set(steps.values()) == {400}


def test_batches_are_mixed_by_the_ratio_where_that_is_asked_for():
    arm, settings = Arm("ratio-3", 3, "n"), PredictorSettings(synthetic_share=0.4)
    share = [
        settings_for(arm, StudySettings(union=union), settings).synthetic_share
        for union in (False, True)
    ]
    assert share == [0.4, 0.75]


@pytest.mark.parametrize("union", [False, True])
@pytest.mark.parametrize("curriculum", ["linear", "cosine"])
def test_no_setting_makes_an_arm_another_than_its_name_says(union, curriculum):
    grid = StudySettings(ratios=(1, 3), union=union, networks=("n",), controls=tuple(CONTROLS))
    settings = PredictorSettings(synthetic_ratio=1, curriculum=curriculum, final_share=0.1)
    for arm in grid.arms():
        found = settings_for(arm, grid, settings)
        assert found.synthetic_ratio is None
        if arm.name == "synthetic-only":
            assert found.shares == (1, 1)
        elif arm.name.startswith("ratio-") and union:
            assert found.shares == (arm.ratio / (1 + arm.ratio),) * 2
        elif arm.name.startswith("ratio-"):
            assert found.shares == (0.5, 0.1)  # where batches are mixed as asked


def test_without_a_network_nothing_that_shapes_networks_matters():
    arm, grid = Arm(NO_NETWORK, 0), StudySettings()
    one = settings_for(arm, grid, PredictorSettings(seed=3, components=8))
    two = settings_for(arm, grid, PredictorSettings(seed=3, components=8, steps=7, network="x"))
    other = settings_for(arm, grid, PredictorSettings(seed=3, components=9))
    assert one == two != other and (one.seed, one.network) == (3, "none")


def test_synthetic_only_has_no_real_pair_in_a_batch():
    arm = Arm("synthetic-only", 3, "n")
    for union in (False, True):
        settings = settings_for(arm, StudySettings(union=union), PredictorSettings())
        assert settings.synthetic_share == 1


def material(section, split):
    preprocessing = Preprocessing.fit(section, split, n_genes=12)
    return Material(section, split, preprocessing, directory=None, seed=0)


@pytest.mark.parametrize("name", ["duplicated", "augmented", "mixup"])
def test_controls_made_of_real_pairs_hold_training_spots_alone(small_section, small_split, name):
    pairs = pairs_for(Arm(name, 2), material(small_section, small_split))
    parents = {p for source in pairs.source_barcodes for p in str(source).split("+")}
    assert len(pairs) == 2 * len(small_split.train)
    assert parents == set(small_split.train)


@pytest.mark.parametrize("name", ["ratio-0", "same-epochs", NO_NETWORK])
def test_real_only_has_no_pairs(small_section, small_split, name):
    assert pairs_for(Arm(name, 0), material(small_section, small_split)) is None
