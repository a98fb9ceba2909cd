import json
import shutil

import pytest
import torch
from torch import nn

from c2lst.diffusion.checkpoint import FORMAT, TENSORS
from c2lst.diffusion.trainer import TrainSettings, train
from c2lst.errors import InputError
from toy_training import KilledError, Numbers, dying_loss, network, regression_loss, same, weights

SETTINGS = TrainSettings(steps=18, batch_size=7, checkpoint_every=5, ema_decay=0.9)


def finish(directory, settings=SETTINGS):
    model = network()
    train(model, regression_loss, Numbers(), settings, directory=directory)
    return weights(model)


@pytest.fixture
def interrupted(tmp_path):
    with pytest.raises(KilledError):
        train(network(), dying_loss(17), Numbers(), SETTINGS, directory=tmp_path)
    return tmp_path


def test_the_newest_two_checkpoints_are_kept(tmp_path):
    finish(tmp_path)
    names = sorted(p.name for p in tmp_path.iterdir())
    assert names == ["checkpoint-15", "checkpoint-18", "log.jsonl"]


def damage_tensors(path):
    (path / TENSORS).write_bytes((path / TENSORS).read_bytes()[:-4] + b"\0\0\0\1")


def cut_tensors(path):
    (path / TENSORS).write_bytes((path / TENSORS).read_bytes()[:500])


def lose_state(path):
    (path / "state.json").unlink()


def empty_state(path):
    (path / "state.json").write_text("")


@pytest.mark.parametrize("damage", [damage_tensors, cut_tensors, lose_state, empty_state])
def test_a_damaged_checkpoint_is_passed_over(interrupted, tmp_path_factory, caplog, damage):
    damage(interrupted / "checkpoint-15")
    found = finish(interrupted)
    assert same(finish(tmp_path_factory.mktemp("whole")), found)
    assert any("damaged" in record.msg for record in caplog.records)


def test_without_any_sound_checkpoint_the_run_starts_afresh(interrupted, tmp_path_factory):
    for path in interrupted.glob("checkpoint-*"):
        cut_tensors(path)
    assert same(finish(tmp_path_factory.mktemp("whole")), finish(interrupted))


def test_what_a_killed_write_left_is_removed(interrupted):
    shutil.copytree(interrupted / "checkpoint-15", interrupted / ".checkpoint-20.k3f8")
    finish(interrupted)
    assert not list(interrupted.glob(".*"))


@pytest.mark.parametrize(
    "changed", [{"batch_size": 5}, {"steps": 19}, {"ema_lengths": (0.1,)}, {"precision": "bf16"}]
)
def test_a_checkpoint_of_other_settings_is_refused(interrupted, changed):
    import dataclasses

    with pytest.raises(InputError, match=next(iter(changed))):
        finish(interrupted, dataclasses.replace(SETTINGS, **changed))


def test_a_checkpoint_of_other_data_is_refused(interrupted):
    with pytest.raises(InputError, match="samples"):
        train(network(), regression_loss, Numbers(14), SETTINGS, directory=interrupted)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (nn.Sequential(nn.Linear(1, 9), nn.Dropout(), nn.BatchNorm1d(9), nn.Linear(9, 1)), "shape"),
        (nn.Linear(1, 1), "unexpected"),
        (nn.Sequential(network(), nn.Linear(1, 1)), "missing"),
    ],
)
def test_a_checkpoint_of_another_network_is_refused(interrupted, other, message):
    with pytest.raises(InputError, match=message):
        train(other, regression_loss, Numbers(), SETTINGS, directory=interrupted)


def test_what_does_not_change_the_result_may_change(interrupted, tmp_path_factory):
    import dataclasses

    changed = dataclasses.replace(SETTINGS, checkpoint_every=4, deterministic=True)
    assert same(finish(tmp_path_factory.mktemp("whole")), finish(interrupted, changed))


def test_a_full_disk_is_an_error_before_training_with_the_figures(tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=2000))
    with pytest.raises(InputError, match=r"found 2\.0 kB.*expected 2\.2 kB.*3 checkpoints"):
        train(network(), dying_loss(-1), Numbers(), SETTINGS, directory=tmp_path)


def test_the_room_that_is_asked_for_is_the_room_that_is_taken(tmp_path, monkeypatch):
    import c2lst.diffusion.checkpoint as checkpoint

    asked = []
    original = checkpoint.check_space

    def noting(*arguments):
        asked.append(checkpoint.needed_bytes(*arguments[1:]))
        original(*arguments)

    monkeypatch.setattr("c2lst.diffusion.trainer.check_space", noting)
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(1, 20_000), torch.nn.Linear(20_000, 1))
    settings = TrainSettings(
        steps=4, batch_size=2, checkpoint_every=2, ema_lengths=(0.05, 0.1), ema_snapshots=3
    )
    train(model, regression_loss, Numbers(), settings, directory=tmp_path)
    taken = sum(p.stat().st_size for p in tmp_path.rglob("*.safetensors"))
    one = (tmp_path / "checkpoint-4" / TENSORS).stat().st_size
    assert asked[0] == pytest.approx(taken + one, rel=0.02)


def test_the_state_is_tensors_and_readable_json(interrupted):
    state = json.loads((interrupted / "checkpoint-15" / "state.json").read_text())
    assert state["settings"]["batch_size"] == 7 and state["numbers"]["micro_batch"] == 7
    assert {p.name for p in (interrupted / "checkpoint-15").iterdir()} == {TENSORS, "state.json"}


def test_a_checkpoint_of_another_c2lst_is_refused_and_kept(interrupted):
    state = interrupted / "checkpoint-15" / "state.json"
    later = {"format": FORMAT + 1, "of another shape": True}
    state.write_text(json.dumps(later))
    with pytest.raises(InputError, match=f"format, found {FORMAT + 1}, expected {FORMAT}"):
        finish(interrupted)
    assert json.loads(state.read_text()) == later
    assert (interrupted / "checkpoint-15" / TENSORS).is_file()
