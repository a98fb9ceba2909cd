import dataclasses
import json
import os
from signal import SIGKILL

import numpy as np
import pytest
from safetensors.torch import load_file

from c2lst.diffusion.checkpoint import TrainHistory
from c2lst.diffusion.stopping import EarlyStopping, kept_check
from c2lst.diffusion.trainer import TrainSettings, train
from c2lst.errors import InputError
from children import die_in, exit_codes, train_and_save, train_together
from toy_training import (
    KilledError,
    Numbers,
    close,
    dying_loss,
    halfway_loss,
    network,
    plain_network,
    regression_loss,
    same,
    weights,
)

SETTINGS = TrainSettings(
    steps=200, batch_size=7, learning_rate=5e-3, checkpoint_every=7, ema_decay=0.8, warmup=0
)


def overfitting(**options):
    return EarlyStopping(halfway_loss, Numbers(5), **options)


def test_it_stops_on_an_objective_that_overfits_with_the_weights_that_were_best():
    model = plain_network()
    history = train(model, regression_loss, Numbers(), SETTINGS, stopping=overfitting())
    assert history.checked == list(range(0, history.checked[-1] + 1, 10))
    best = kept_check(history)
    assert len(history.checked) - 1 - best == 4 and history.checked[-1] < 200
    assert history.held_out[best] < 0.3 * min(history.held_out[0], history.held_out[-1])
    assert history.steps[-1] == history.checked[-1]
    # The training with as many steps as were best, by itself, ends with the same weights.
    again = plain_network()
    train(
        again,
        regression_loss,
        Numbers(),
        dataclasses.replace(SETTINGS, steps=history.checked[best]),
    )
    assert same(weights(model), weights(again))


def test_it_does_not_stop_what_still_improves_and_changes_nothing_of_it():
    with_checks, without = plain_network(), plain_network()
    stopping = EarlyStopping(regression_loss, Numbers(5))
    slow = dataclasses.replace(SETTINGS, learning_rate=1e-3)
    history = train(with_checks, regression_loss, Numbers(), slow, stopping=stopping)
    assert history.checked == list(range(0, 201, 10))
    assert kept_check(history) == 20 and np.all(np.diff(history.held_out) < 0)
    assert train(without, regression_loss, Numbers(), slow).losses == history.losses
    assert same(weights(with_checks), weights(without))


def test_the_same_weights_have_the_same_held_out_loss_whatever_the_step():
    frozen = dataclasses.replace(SETTINGS, learning_rate=0.0, weight_decay=0.0, steps=20)
    stopping = overfitting(patience=99)
    history = train(plain_network(), regression_loss, Numbers(), frozen, stopping=stopping)
    assert len(history.held_out) == 21 and len(set(history.held_out)) == 1
    assert kept_check(history) == 0


def test_a_loss_that_is_not_finite_is_never_the_best():
    assert kept_check(TrainHistory(held_out=[float("nan"), 2.0, 1.0, float("inf")])) == 2


def test_a_tolerance_keeps_the_last_weights_that_do_no_harm():
    losses = TrainHistory(held_out=[1.0, 0.9, 0.95, 0.903, 0.92, 0.91, 0.89])
    assert [kept_check(losses, t) for t in (0.0, 0.005, 0.02, 0.1)] == [6, 6, 6, 6]
    rising = TrainHistory(held_out=[1.0, 0.9, 0.904, 0.903, 0.92, 0.95])
    assert [kept_check(rising, t) for t in (0.0, 0.005, 0.03, 0.1)] == [1, 3, 4, 5]
    flat = TrainHistory(held_out=[1.0] * 5)
    assert [kept_check(flat, t) for t in (0.0, 0.005)] == [0, 4]
    assert kept_check(TrainHistory(held_out=[float("nan"), float("inf"), 2.0]), 0.01) == 2


@pytest.mark.parametrize("killed_at", [0, 3, 17, 38, 45])
def test_an_interrupted_run_stops_where_the_uninterrupted_does(tmp_path, killed_at):
    whole = network()
    history = train(whole, regression_loss, Numbers(), SETTINGS, stopping=overfitting())
    assert 45 < history.checked[-1] < 200
    arguments = Numbers(), SETTINGS
    with pytest.raises(KilledError):
        train(
            network(),
            dying_loss(killed_at),
            *arguments,
            directory=tmp_path,
            stopping=overfitting(),
        )
    for _ in range(2):  # the second time nothing is left to do
        again = network()
        continued = train(
            again, regression_loss, *arguments, directory=tmp_path, stopping=overfitting()
        )
        assert continued == history
        assert same(weights(whole), weights(again))
    logged = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    checked = [line["held_out_loss"] for line in logged if "held_out_loss" in line]
    assert checked == history.held_out[1:]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_a_run_killed_without_warning_stops_where_the_uninterrupted_does(tmp_path):
    whole, resumed = tmp_path / "whole", tmp_path / "resumed"
    expected, found = network(), network()
    options = {"stopping": overfitting()}
    history = train(expected, regression_loss, Numbers(), SETTINGS, directory=whole, **options)
    for place, calls in (("step", 15), ("tensors", 2), ("rename", 3), ("prune", 1)):
        death = (die_in, resumed, SETTINGS, place, calls, overfitting())
        assert exit_codes([death]) == [-SIGKILL]
    assert max(int(p.name.split("-")[1]) for p in resumed.glob("checkpoint-*")) > 0
    again = train(found, regression_loss, Numbers(), SETTINGS, directory=resumed, **options)
    assert again == history and same(weights(expected), weights(found))
    assert {p.name for p in resumed.iterdir()} == {p.name for p in whole.iterdir()}


def test_a_run_goes_on_with_the_stopping_and_the_purpose_that_it_had(tmp_path):
    with pytest.raises(KilledError):
        train(
            network(),
            dying_loss(20),
            Numbers(),
            SETTINGS,
            directory=tmp_path,
            stopping=overfitting(),
            about={"slide": "A"},
        )
    for options, problem in (
        ({"about": {"slide": "B"}, "stopping": overfitting()}, "another slide"),
        ({"about": {"slide": "A"}, "stopping": overfitting(patience=9)}, "another stopping"),
    ):
        with pytest.raises(InputError, match=problem):
            train(network(), regression_loss, Numbers(), SETTINGS, directory=tmp_path, **options)


def test_two_processes_stop_where_one_does(tmp_path):
    ended = {}
    short = dataclasses.replace(SETTINGS, steps=60, learning_rate=1e-2)
    for count in (1, 2):
        folder = tmp_path / str(count)
        folder.mkdir()
        options = {"stopping": overfitting()}
        assert train_together(train_and_save, count, folder, short, **options) == [0] * count
        ended[count] = [load_file(folder / f"weights-{rank}.safetensors") for rank in range(count)]
    assert same(ended[2][0], ended[2][1]) and close(ended[1][0], ended[2][0])
    steps = [sorted(p.name for p in (tmp_path / str(n)).glob("checkpoint-*")) for n in (1, 2)]
    assert steps[0] == steps[1] and "checkpoint-60" not in steps[0]
