"""Runs that are killed without warning: SIGKILL in the middle of a step or of a checkpoint."""

import os
from signal import SIGKILL

import numpy as np
import pytest

from c2lst.diffusion.trainer import TrainSettings, train
from children import die_in, exit_codes
from toy_training import Numbers, network, regression_loss, same, weights

SETTINGS = TrainSettings(
    steps=120,
    batch_size=7,
    micro_batch=3,
    checkpoint_every=10,
    ema_decay=0.9,
    ema_lengths=(0.05, 0.1),
    ema_snapshots=12,
)
POINTS = ["step", "tensors", "rename", "prune"]

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")


def test_a_run_killed_at_ten_random_points_ends_like_the_uninterrupted(tmp_path):
    whole, resumed = tmp_path / "whole", tmp_path / "resumed"
    expected, found = network(), network()
    history = train(expected, regression_loss, Numbers(), SETTINGS, directory=whole)
    rng = np.random.default_rng(4)
    # Each kind of place at least twice; a step has three micro-batches, a checkpoint few calls.
    places = rng.permutation([*POINTS, *POINTS, "step", "step"])
    most = {"step": 60, "prune": 3}  # old checkpoints are removed once for each new one
    deaths = [
        exit_codes([(die_in, resumed, SETTINGS, place, int(rng.integers(1, most.get(place, 6))))])
        for place in places
    ]
    assert deaths == [[-SIGKILL]] * 10
    assert 0 < max(int(p.name.split("-")[1]) for p in resumed.glob("checkpoint-*")) < 120
    again = train(found, regression_loss, Numbers(), SETTINGS, directory=resumed)
    assert same(weights(expected), weights(found)) and again.losses == history.losses
    assert names(resumed) == names(whole)
    for path in (whole / "averages").iterdir():
        assert path.read_bytes() == (resumed / "averages" / path.name).read_bytes()


def names(directory):
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*"))
