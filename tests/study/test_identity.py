import dataclasses
import json

import pytest

from c2lst.settings import load_settings
from c2lst.study.arms import settings_for
from c2lst.study.grid import Arm, Cell, SplitKey, StudySettings
from c2lst.study.identity import cell_key, differences

KEY = SplitKey("A", "random", 0.1, 0)
EVERY = ("split", "fit", "adapt", "synthesize", "features", "unconditional")


def settings(**options):
    return load_settings("tiny", None, options)


def as_written(value):
    return json.loads(json.dumps(dataclasses.asdict(value)))


def key(arm, run=None, central="abc", grid=None):
    run = run or settings()
    prediction = settings_for(arm, grid or StudySettings(), run.prediction)
    return cell_key(Cell(KEY, arm), run, prediction, central)


def changed(run, part, **fields):
    return dataclasses.replace(run, **{part: dataclasses.replace(getattr(run, part), **fields)})


def test_settings_as_they_were_written_differ_in_nothing():
    assert list(differences((*EVERY, "central"), as_written(settings()), settings())) == []


@pytest.mark.parametrize(
    ("part", "fields", "name"),
    [
        ("adapter", {"width": 7}, "adapter.width"),
        ("synthesis", {"guidance": 5.0}, "synthesis.guidance"),
    ],
)
def test_what_shaped_a_finished_stage_is_named(part, fields, name):
    new = changed(settings(), part, **fields)
    assert [found for found, *_ in differences(EVERY, as_written(settings()), new)] == [name]
    assert list(differences(("split", "fit"), as_written(settings()), new)) == []


def test_the_predictor_and_the_size_of_the_pool_shape_nothing_that_is_shared():
    new = changed(settings(), "prediction", steps=3, learning_rate=0.5)
    new = changed(new, "synthesis", per_spot=9, batch_size=2)
    assert list(differences((*EVERY, "central"), as_written(settings()), new)) == []


@pytest.mark.parametrize("part", ["central", "adapter"])
def test_the_batch_of_a_training_shapes_it(part):
    training = getattr(settings(), part).training
    other = dataclasses.replace(training, batch_size=training.batch_size + 1)
    new = changed(settings(), part, training=other)
    found = [name for name, *_ in differences((*EVERY, "central"), as_written(settings()), new)]
    assert found == [f"{part}.training.batch_size"]


def test_what_an_older_version_did_not_know_was_at_its_default():
    old = as_written(settings())
    del old["adapter"]["gene_dropout"]
    assert list(differences(EVERY, old, settings())) == []
    new = changed(settings(), "adapter", gene_dropout=0.3)
    assert [name for name, *_ in differences(EVERY, old, new)] == ["adapter.gene_dropout"]


def test_a_cell_depends_on_what_it_rests_on_and_on_nothing_else():
    drawn, real, none = Arm("ratio-3", 3, "n"), Arm("ratio-0", 0, "n"), Arm("no-network", 0)
    adapter = changed(settings(), "adapter", width=7)
    network = changed(settings(), "prediction", steps=7)
    pool = changed(settings(), "synthesis", per_spot=9)
    genes = settings(genes=33)
    for arm, depends in (
        (drawn, (adapter, network, genes)),
        (real, (network, genes)),
        (none, (genes,)),
    ):
        for run in (adapter, network, pool, genes):
            assert (key(arm, run) != key(arm)) == (run in depends), arm
        assert key(arm, central="other") != key(arm)
    assert len({key(arm) for arm in (drawn, real, none)}) == 3


def test_only_what_trains_its_own_central_model_depends_on_how():
    other = settings()
    other = changed(other, "central", dihedral=not other.central.dihedral)
    arm = Arm("no-network", 0)
    assert key(arm, other) == key(arm)
    assert key(arm, other, central=None) != key(arm, central=None)


def test_the_control_of_as_many_epochs_depends_on_the_largest_ratio():
    arm = Arm("same-epochs", 0, "n")
    assert key(arm, grid=StudySettings(ratios=(3,))) != key(arm, grid=StudySettings(ratios=(5,)))


def test_an_encoder_counts_by_what_it_computes_and_where_it_is_read():
    run = settings(prediction={"encoder": "central"})

    def keys(network, *identities):
        arm = Arm("ratio-0", 0, network)
        prediction = settings_for(arm, StudySettings(), run.prediction)
        return {cell_key(Cell(KEY, arm), run, prediction, "abc", name) for name in identities}

    assert len(keys("frozen", "central", "imagenet 1", "imagenet 2")) == 3
    assert keys("resnet-tiny", "central", "") == {key(Arm("ratio-0", 0, "resnet-tiny"))}
