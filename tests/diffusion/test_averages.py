import math

import numpy as np
import pytest
import torch
from diffusers.training_utils import EMAModel
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from c2lst.diffusion.averages import Averages, combination, exponent, reconstruct
from c2lst.diffusion.trainer import TrainSettings, train
from c2lst.errors import InputError
from toy_training import Numbers, plain_network, regression_loss

lengths = st.floats(0.01, 0.27)


def walk(updates, seed=0):
    """Weights that move as in a training: a trend that settles, and noise."""
    rng = np.random.default_rng(seed)
    time = np.arange(1, updates + 1)[:, None] / updates
    trend = np.exp(-time * rng.uniform(1, 6, 20)) * rng.normal(size=20)
    return torch.from_numpy(trend + 0.02 * rng.normal(size=(updates, 20)))


def tracked(path, settings, directory=None):
    weight = torch.nn.Parameter(torch.zeros(path.shape[1], dtype=torch.float64))
    averages = Averages({"w": weight}, settings)
    for step, value in enumerate(path, start=1):
        weight.data.copy_(value)
        averages.update()
        if directory is not None and averages.snapshot_due(step):
            averages.save_snapshot(directory)
    return averages


def average(path, **settings):
    """The one average that the settings ask for, at the end of the path."""
    found = tracked(path, TrainSettings(steps=len(path), **settings))
    return next(iter(found.shadows.values()))["w"]


def direct(path, sigma_rel):
    return average(path, ema_decay=None, ema_lengths=(sigma_rel,))


@given(lengths)
def test_the_profile_has_the_stated_relative_length(sigma_rel):
    γ = exponent(sigma_rel)
    times = (np.arange(200_000) + 0.5) / 200_000
    profile = (γ + 1) * times**γ
    mean = (profile * times).mean()
    assert np.sqrt((profile * (times - mean) ** 2).mean()) == pytest.approx(sigma_rel, rel=1e-3)


@given(lengths, st.integers(2, 300))
def test_the_average_is_the_weighted_sum_of_its_definition(sigma_rel, updates):
    path, γ = walk(updates), exponent(sigma_rel)
    found = average(path, ema_decay=None, ema_lengths=(sigma_rel,))
    edges = (np.arange(updates + 1) / updates) ** (γ + 1)
    expected = (np.diff(edges)[:, None] * path.numpy()).sum(axis=0)
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-4)


def test_the_constant_average_is_that_of_diffusers():
    path = walk(200).float()
    weight = torch.nn.Parameter(torch.zeros(20))
    reference = EMAModel([weight], decay=0.95)
    found = average(path, ema_decay=0.95)
    for value in path:
        weight.data.copy_(value)
        reference.step([weight])
    torch.testing.assert_close(found, reference.shadow_params[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("sigma_rel", [0.02, 0.05, 0.075, 0.1, 0.15, 0.2])
def test_any_length_is_put_together_from_snapshots_of_two(tmp_path, sigma_rel):
    path = walk(2000)
    pair = TrainSettings(steps=2000, ema_decay=None, ema_lengths=(0.05, 0.1), ema_snapshots=32)
    tracked(path, pair, tmp_path)
    found, expected = reconstruct(tmp_path, sigma_rel)["w"], direct(path, sigma_rel)
    error = float((found - expected).norm())
    nearest = min(float((direct(path, other) - expected).norm()) for other in (0.05, 0.1))
    assert error < 0.03 * nearest + 1e-6


def test_an_average_of_an_earlier_moment_uses_no_later_snapshot(tmp_path):
    path = walk(1000)
    pair = TrainSettings(steps=1000, ema_decay=None, ema_lengths=(0.05, 0.1), ema_snapshots=20)
    tracked(path, pair, tmp_path)
    expected = direct(path[:500], 0.08)
    found = reconstruct(tmp_path, 0.08, updates=500)["w"]
    torch.testing.assert_close(found, expected, atol=2e-3, rtol=0)


def test_a_tracked_average_is_its_own_reconstruction():
    times, exponents = np.repeat([100, 200, 300], 2), np.tile([16.97, 6.94], 3)
    shares = combination(times, exponents, 300, 6.94)
    np.testing.assert_allclose(shares, [0, 0, 0, 0, 0, 1], atol=1e-6)


@pytest.mark.parametrize("sigma_rel", [0.02, 0.1, 0.2])
def test_an_average_has_the_size_of_what_is_averaged(sigma_rel):
    """By one tracked length alone, weights once came out at 104 %, 98 % and 95 % of their size."""
    shares = combination(np.arange(50, 1601, 50), np.full(32, 16.97), 1600, exponent(sigma_rel))
    assert shares.sum() == pytest.approx(1)


def test_what_a_killed_write_left_is_no_snapshot(tmp_path):
    pair = TrainSettings(steps=20, ema_decay=None, ema_lengths=(0.05, 0.1), ema_snapshots=4)
    tracked(walk(20), pair, tmp_path)
    expected = reconstruct(tmp_path, 0.08)["w"]
    (tmp_path / "averages" / ".00000020-6.937204.k3f8.safetensors").touch()
    assert torch.equal(reconstruct(tmp_path, 0.08)["w"], expected)


@pytest.mark.parametrize("sigma_rel", [0.0, -0.1, 0.31, math.nan])
def test_a_length_that_no_average_has_is_refused(tmp_path, sigma_rel):
    with pytest.raises(InputError, match=r"between 0 and 0\.28"):
        reconstruct(tmp_path, sigma_rel)


def test_a_training_keeps_the_snapshots_it_says(tmp_path):
    settings = TrainSettings(steps=50, batch_size=4, ema_lengths=(0.05, 0.1), ema_snapshots=5)
    model = plain_network()
    train(model, regression_loss, Numbers(), settings, directory=tmp_path)
    names = sorted(p.name for p in (tmp_path / "averages").iterdir())
    assert [int(name.split("-")[0]) for name in names] == [10, 10, 20, 20, 30, 30, 40, 40, 50, 50]
    found = reconstruct(tmp_path, 0.05)
    saved = load_file(tmp_path / "averages" / f"00000050-{exponent(0.05):.6f}.safetensors")
    for name, value in saved.items():
        torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-5)
    assert set(found) == set(dict(model.named_parameters()))


def test_without_snapshots_there_is_nothing_to_put_together(tmp_path):
    with pytest.raises(InputError, match="ema_lengths"):
        reconstruct(tmp_path, 0.1)
