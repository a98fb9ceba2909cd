import dataclasses
import functools
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from c2lst.diffusion.film import GeneModulatedUNet
from c2lst.diffusion.gradient import BatchGradient
from c2lst.diffusion.noise import NoiseProcess
from c2lst.diffusion.options import TrainSettings
from c2lst.diffusion.private import Mechanism, PrivacySettings, calibrate
from c2lst.diffusion.private_gradient import PrivateGradient, _normal, _uniform
from c2lst.diffusion.processes import Processes
from c2lst.diffusion.trainer import train
from c2lst.diffusion.unet import build_unet
from c2lst.errors import InputError
from c2lst.local.pairs import ConditionalObjective
from toy import SHAPE
from toy_training import KilledError, Numbers, plain_network, regression_loss, same, weights

PRIVACY = PrivacySettings(4.0)
NOISELESS = Mechanism(1.0, 0.1, clip=1e9, noise_multiplier=0.0, sampling_rate=1.0, steps=9)


class Profiles:
    """Random images with random expression, some of it missing."""

    def __init__(self, n=6, genes=5):
        rng = np.random.default_rng(0)
        self.images = torch.from_numpy(rng.integers(0, 255, (n, 16, 16, 3), dtype=np.uint8))
        self.expression = torch.from_numpy(rng.normal(size=(n, genes)).astype(np.float32))
        self.expression[0, 0] = torch.nan

    def __len__(self):
        return len(self.images)

    def fetch(self, indices):
        return {"images": self.images[indices], "expression": self.expression[indices]}


def adapter(**options):
    torch.manual_seed(0)
    network = GeneModulatedUNet(build_unet(SHAPE), 5, 8, **options)
    with torch.no_grad():
        for value in network.adapter_state().values():
            value.copy_(0.1 * torch.randn(value.shape))
    return network.train()


def trained(model):
    return [p for p in model.parameters() if p.requires_grad]


def private(model, loss, source, settings, mechanism):
    return PrivateGradient(
        model, trained(model), loss, source, settings, Processes(),
        privacy=PRIVACY, mechanism=mechanism,
    )  # fmt: skip


def gradient_of(gradient, model, step=0):
    gradient.compute(step)
    found = torch.cat([p.grad.flatten() for p in trained(model)])
    for weight in model.parameters():
        weight.grad = None
    return found


@pytest.mark.parametrize("options", [{}, {"missing_mask": True}, {"rank": 2}, {"null": "base"}])
def test_without_noise_and_clipping_it_is_the_mean_gradient(options):
    model, source = adapter(**options), Profiles()
    loss = ConditionalObjective(NoiseProcess(prediction="v_prediction"), 0.3, 0.2)
    settings = TrainSettings(steps=9, batch_size=len(source), grad_clip=1e9, seed=3)
    plain = BatchGradient(model, trained(model), loss, source, settings, Processes())
    plain._order.indices = lambda positions: positions
    expected = gradient_of(plain, model)
    assert expected.abs().max() > 0
    for micro_batch in (None, 4):
        changed = dataclasses.replace(settings, micro_batch=micro_batch)
        found = gradient_of(private(model, loss, source, changed, NOISELESS), model)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("clip", [0.01, 0.3])
def test_no_sample_contributes_more_than_the_clipping_norm(clip):
    """Two data sets that differ in one sample, however wild, have sums no further apart."""
    model, n = plain_network(), 13
    mechanism = dataclasses.replace(NOISELESS, clip=clip)
    settings = TrainSettings(steps=9, batch_size=n, grad_clip=1e9)
    sums = []
    for value in (0.3, 1e6, float("nan")):
        source = Numbers(n)
        source.x[5] = value
        sums.append(
            n * gradient_of(private(model, regression_loss, source, settings, mechanism), model)
        )
    without = dataclasses.replace(mechanism)
    gradient = private(model, regression_loss, Numbers(n), settings, without)
    gradient.sampled = lambda step: np.delete(np.arange(n), 5)
    rest = n * gradient_of(gradient, model)
    for total in sums:
        assert (total - rest).norm() <= clip * (1 + 1e-5)
    assert (sums[1] - rest).norm() > 0.99 * clip
    assert torch.equal(sums[2], rest)


def test_noise_has_the_deviation_that_was_calibrated():
    model = torch.nn.Linear(1, 20_000)
    mechanism = dataclasses.replace(NOISELESS, clip=0.5, noise_multiplier=3.0)
    settings = TrainSettings(steps=9, batch_size=13, grad_clip=1e9)

    def nothing(model, batch, draws):
        return 0 * model(batch["x"]).sum(dim=1)

    gradient = private(model, nothing, Numbers(13), settings, mechanism)
    first, second = (13 * gradient_of(gradient, model, step) for step in (0, 1))
    assert first.std() == pytest.approx(1.5, rel=0.03) and abs(first.mean()) < 0.05
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.05


def test_each_sample_takes_part_by_a_coin_of_its_own():
    mechanism = dataclasses.replace(NOISELESS, sampling_rate=0.25)
    source = Numbers(40)
    gradient = private(
        plain_network(), regression_loss, source, TrainSettings(steps=9, batch_size=10), mechanism
    )
    taken = np.zeros((2000, 40))
    for step, row in enumerate(taken):
        row[gradient.sampled(step)] = 1
    assert taken.mean() == pytest.approx(0.25, abs=0.01)
    assert np.abs(taken.mean(0) - 0.25).max() < 0.05
    # The size of the batch varies as that of independent coins does.
    assert taken.sum(1).var() == pytest.approx(40 * 0.25 * 0.75, rel=0.15)
    another = private(
        plain_network(), regression_loss, source, TrainSettings(steps=9, batch_size=10), mechanism
    )
    assert not np.array_equal(another.sampled(0), gradient.sampled(0)), "the key is no secret"


def test_an_empty_batch_is_noise_alone():
    mechanism = dataclasses.replace(NOISELESS, clip=0.5, noise_multiplier=1.0, sampling_rate=0.01)
    settings = TrainSettings(steps=9, batch_size=1)
    model = plain_network()
    gradient = private(model, regression_loss, Numbers(13), settings, mechanism)
    gradient.sampled = lambda step: np.array([], dtype=int)
    loss, norm = gradient.compute(0)
    assert loss == 0 and norm > 0


@pytest.mark.parametrize("killed_at", [12, 17])
def test_a_resumed_run_has_the_same_key_and_ends_alike(tmp_path, killed_at, monkeypatch):
    monkeypatch.setattr("c2lst.diffusion.private_gradient.secrets.token_bytes", _counting())
    mechanism = dataclasses.replace(NOISELESS, clip=0.5, noise_multiplier=1.0, sampling_rate=0.6)
    settings = TrainSettings(steps=20, batch_size=8, checkpoint_every=5, ema_decay=0.9)
    made = functools.partial(PrivateGradient, privacy=PRIVACY, mechanism=mechanism)
    steps = iter(range(100))

    def dying(model, batch, draws):
        if next(steps) == killed_at + 1:
            raise KilledError
        return regression_loss(model, batch, draws)

    with pytest.raises(KilledError):
        train(plain_network(), dying, Numbers(), settings, directory=tmp_path, gradient=made)
    resumed = plain_network()
    train(resumed, regression_loss, Numbers(), settings, directory=tmp_path, gradient=made)
    monkeypatch.setattr("c2lst.diffusion.private_gradient.secrets.token_bytes", _counting())
    whole = plain_network()
    train(whole, regression_loss, Numbers(), settings, gradient=made)
    assert same(weights(whole), weights(resumed))


def _counting():
    """Give another key at each call."""
    calls = iter(range(100))
    return lambda length: bytes([next(calls)]) * length


@pytest.mark.parametrize("change", [{"epsilon": 0}, {"delta": 1.0}, {"clip": -1.0}])
def test_settings_out_of_range_are_refused(change):
    with pytest.raises(InputError, match=next(iter(change))):
        PrivacySettings(**{"epsilon": 1.0} | change)


def test_fp16_is_refused():
    settings = TrainSettings(steps=2, precision="fp16")
    with pytest.raises(InputError, match="fp16"):
        private(plain_network(), regression_loss, Numbers(), settings, NOISELESS)


@given(st.binary(min_size=32, max_size=32), st.integers(1, 300))
def test_secret_numbers_are_finite_and_repeat(key, count):
    uniform, normal = _uniform(key, "a", count), _normal(key, "a", count)
    assert len(uniform) == len(normal) == count and np.isfinite(normal).all()
    assert ((uniform > 0) & (uniform < 1)).all()
    np.testing.assert_array_equal(normal, _normal(key, "a", count))
    assert not np.array_equal(uniform, _uniform(key, "b", count))


def test_secret_normal_numbers_are_normal():
    from scipy.stats import kstest

    assert kstest(_normal(b"k" * 32, "noise 0", 20_001), "norm").pvalue > 0.001


def test_less_privacy_loss_takes_more_noise():
    pytest.importorskip("opacus")
    noise = [calibrate(PrivacySettings(e), 100, 20, 300).noise_multiplier for e in (0.5, 2, 8)]
    assert noise[0] > noise[1] > noise[2] > 0
    longer = calibrate(PrivacySettings(2.0), 100, 20, 600)
    assert longer.noise_multiplier > noise[1]
    assert longer.delta == pytest.approx(1e-3) and longer.sampling_rate == 0.2


def test_the_noise_keeps_the_promise():
    pytest.importorskip("opacus")
    from opacus.accountants import PRVAccountant

    mechanism = calibrate(PrivacySettings(3.0), 100, 20, 300)
    accountant = PRVAccountant()
    accountant.history = [(mechanism.noise_multiplier, mechanism.sampling_rate, mechanism.steps)]
    spent = accountant.get_epsilon(mechanism.delta)
    assert 2.0 < spent <= 3.0


def test_without_the_library_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "opacus.accountants.utils", None)
    calibrate.cache_clear()
    with pytest.raises(InputError, match=r"c2lst\[privacy\]"):
        calibrate(PRIVACY, 100, 20, 300)
