import dataclasses
import json

import numpy as np
import pytest
import torch

from c2lst.diffusion.trainer import TrainSettings, train
from c2lst.diffusion.watch import StepReport
from c2lst.errors import InputError
from toy_training import (
    KilledError,
    Numbers,
    dying_loss,
    network,
    plain_network,
    regression_loss,
    same,
    weights,
)

SETTINGS = TrainSettings(steps=12, batch_size=4, ema_decay=0.9, checkpoint_every=5)


class Curious:
    """Looks every third step, uses up random numbers, and leaves a trace in gradients' reach."""

    def __init__(self):
        self.seen = []

    def due(self, step, steps):
        return step % 3 == 0 or step == steps

    def watch(self, model, report):
        assert not model.training and not torch.is_grad_enabled()
        torch.manual_seed(1)
        model(torch.rand(5, 1))
        self.seen.append((report, weights(model)))
        images = np.zeros((2, 4, 4, 3), dtype=np.uint8)
        return {"distance": np.float32(0.5), "samples": images}


def logged(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def test_a_watched_training_ends_bit_for_bit_like_one_that_is_not(tmp_path):
    alone, watched, curious = network(), network(), Curious()
    train(alone, regression_loss, Numbers(), SETTINGS)
    train(watched, regression_loss, Numbers(), SETTINGS, directory=tmp_path, watchers=[curious])
    assert same(weights(alone), weights(watched))
    assert [report.step for report, _ in curious.seen] == [3, 6, 9, 12]
    found = [line for line in logged(tmp_path) if "distance" in line]
    assert [line["step"] for line in found] == [3, 6, 9, 12] and found[0]["distance"] == 0.5


def test_watchers_see_the_averaged_weights():
    watched, curious = network(), Curious()
    train(watched, regression_loss, Numbers(), SETTINGS, watchers=[curious])
    assert same(curious.seen[-1][1], weights(watched))
    raw = network()
    train(raw, regression_loss, Numbers(), dataclasses.replace(SETTINGS, ema_decay=None))
    assert not same(weights(raw), weights(watched))


def test_a_watcher_that_fails_stops_nothing_and_is_told_of(caplog):
    class Failing(Curious):
        def watch(self, model, report):
            raise ValueError("no picture today")

    alone, watched = network(), network()
    train(alone, regression_loss, Numbers(), SETTINGS)
    train(watched, regression_loss, Numbers(), SETTINGS, watchers=[Failing()])
    assert same(weights(alone), weights(watched))
    assert "no picture today" in caplog.text


def test_every_step_is_a_line_of_the_log_once(tmp_path):
    with pytest.raises(KilledError):
        train(network(), dying_loss(8), Numbers(), SETTINGS, directory=tmp_path)
    (tmp_path / "log.jsonl").open("a").write('{"step": 9, "lo')  # cut off by a kill
    train(network(), regression_loss, Numbers(), SETTINGS, directory=tmp_path)
    lines = logged(tmp_path)
    assert [line["step"] for line in lines] == list(range(1, 13))
    assert set(lines[0]) == set(StepReport.__dataclass_fields__)
    assert all(line["images_per_s"] > 0 and line["grad_norm"] > 0 for line in lines)
    assert lines[-1]["learning_rate"] == SETTINGS.learning_rate_at(11)


def test_a_tracker_gets_what_the_log_gets(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    tracked = dataclasses.replace(SETTINGS, tracker="tensorboard")
    arguments = {"directory": tmp_path, "watchers": [Curious()], "label": "toy"}
    train(network(), regression_loss, Numbers(), tracked, **arguments)
    events = EventAccumulator(str(tmp_path / "toy"))
    events.Reload()
    losses = [(e.step, e.value) for e in events.Scalars("loss")]
    expected = [(line["step"], line["loss"]) for line in logged(tmp_path) if "loss" in line]
    np.testing.assert_allclose(losses, expected, rtol=1e-6)
    assert [e.step for e in events.Scalars("distance")] == [3, 6, 9, 12]
    assert [e.step for e in events.Images("samples")] == [3, 6, 9, 12]


def test_a_tracker_that_is_not_installed_is_an_error_that_says_what_to_install(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    tracked = dataclasses.replace(SETTINGS, tracker="wandb")
    with pytest.raises(InputError, match="pip install wandb"):
        train(plain_network(), regression_loss, Numbers(), tracked)


def test_a_tracker_needs_a_folder():
    pytest.importorskip("tensorboard")
    tracked = dataclasses.replace(SETTINGS, tracker="tensorboard")
    with pytest.raises(InputError, match="folder"):
        train(plain_network(), regression_loss, Numbers(), tracked)
