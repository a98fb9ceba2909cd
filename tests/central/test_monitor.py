import json

import numpy as np
import pytest
import torch

from c2lst.central.monitor import HeldOut, Reference, SampleMonitor, WatchSettings, last_look
from c2lst.diffusion.noise import NoiseProcess
from c2lst.diffusion.unet import build_unet
from c2lst.diffusion.watch import StepReport
from toy import SHAPE


class Patches:
    def __init__(self, n, seed, dark=0):
        self.images = np.random.default_rng(seed).integers(
            60 - dark, 250 - dark, (n, 16, 16, 3), dtype=np.uint8
        )

    def __len__(self):
        return len(self.images)

    def fetch(self, indices):
        return self.images[indices]

    def describe(self):
        return {}


SETTINGS = WatchSettings(times=2, images=6, encoder="random")


def report(step):
    return StepReport(step, 10, 0.1, 0.1, 1e-3, 1.0, 0, 0.0)


def monitor(directory=None, held_out=None, settings=SETTINGS):
    return SampleMonitor(
        NoiseProcess(prediction="v_prediction"),
        16,
        settings,
        training=Patches(20, 0),
        held_out=held_out,
        directory=directory,
    )


@pytest.fixture(scope="module")
def unet():
    torch.manual_seed(0)
    return build_unet(SHAPE).eval()


@pytest.mark.parametrize(("times", "steps"), [(1, 7), (3, 10), (5, 1000), (9, 4)])
def test_looks_are_even_and_the_last_is_at_the_end(times, steps):
    watcher = monitor(settings=WatchSettings(times=times))
    due = [step for step in range(1, steps + 1) if watcher.due(step, steps)]
    assert len(due) == min(times, steps) and due[-1] == steps
    assert np.ptp(np.diff([0, *due])) <= 1


def test_a_look_leaves_a_sheet_and_the_distance_beside_the_floor(unet, tmp_path):
    watcher = monitor(tmp_path, HeldOut(Patches(20, 1), np.arange(20) // 2))
    found = watcher.watch(unet, report(5))
    assert set(found) == {"kernel_distance", "real_vs_real", "samples"}
    assert found["samples"].shape == (6, 16, 16, 3) and found["samples"].dtype == np.uint8
    assert found["kernel_distance"] > found["real_vs_real"]
    assert (tmp_path / "samples" / "step-00000005.png").is_file()
    watcher.watch(unet, report(10))
    look = last_look(tmp_path)
    assert (look["step"], look["images"]) == (10, 6)
    assert "random" in look["features"]
    assert json.dumps(look)


def test_looks_show_the_same_images_growing(unet):
    first = monitor().watch(unet, report(5))["samples"]
    again = monitor().watch(unet, report(10))["samples"]
    np.testing.assert_array_equal(first, again)


def test_without_held_out_patches_samples_are_only_shown(unet, tmp_path):
    assert set(monitor(tmp_path).watch(unet, report(5))) == {"samples"}
    assert "kernel_distance" not in last_look(tmp_path)


def test_the_floor_is_about_zero_and_what_is_unlike_is_far():
    reference = Reference(Patches(60, 0), HeldOut(Patches(60, 1)), 60, "random")
    assert reference.floor.low < 0 < reference.floor.high
    assert reference.distance(Patches(60, 2, dark=50).images).low > reference.floor.high


def test_a_training_that_was_not_watched_has_no_look(tmp_path):
    assert last_look(tmp_path) == {}
