"""The loss, and the reverse process that goes with it."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
import torch

from c2lst.diffusion.noise import NoiseProcess
from c2lst.superres.loss import SuperresLoss, between, to_clean
from c2lst.superres.network import Denoised
from c2lst.superres.sampling import respaced

EPSILON = NoiseProcess(steps=100, schedule="linear", prediction="epsilon")
VELOCITY = NoiseProcess(steps=100, schedule="linear", prediction="v_prediction")


def parts(loss, batch: int = 3):
    torch.manual_seed(0)
    clean, noise = torch.randn(batch, 2, 4, 4), torch.randn(batch, 2, 4, 4)
    timesteps = torch.tensor([1, 50, 99])[:batch]
    return clean, noise, loss.add_noise(clean, noise, timesteps), timesteps


@pytest.mark.parametrize("process", [EPSILON, VELOCITY])
def test_the_target_gives_the_clean_map_back(settings, process):
    loss = SuperresLoss(replace(settings, process=process))
    clean, noise, noisy, t = parts(loss)
    alpha, sigma = (v[t].view(-1, 1, 1, 1) for v in (loss.alphas, loss.sigmas))
    target = alpha * noise - sigma * clean if process is VELOCITY else noise
    assert torch.allclose(to_clean(process, target, noisy, alpha, sigma), clean, atol=1e-4)


@pytest.mark.parametrize("distance", ["charbonnier", "squared"])
def test_a_perfect_answer_has_the_least_loss(settings, distance):
    loss = SuperresLoss(replace(settings, process=EPSILON, distance=distance))
    clean, noise, noisy, t = parts(loss)
    # Fraction -1: the variance of the true reverse step.
    right = Denoised(noise, -torch.ones_like(noise), torch.zeros(3))
    least = loss(right, clean, noise, noisy, t)
    assert (least < 2e-3).all()
    for worse in (
        right._replace(target=noise + 0.1),
        right._replace(variance=right.variance + 0.3),
        right._replace(disentangling=torch.ones(3)),
    ):
        assert (loss(worse, clean, noise, noisy, t) > least).all()


def test_the_variational_term_leaves_the_mean_alone(settings):
    loss = SuperresLoss(replace(settings, process=EPSILON, distance="squared"))
    clean, noise, noisy, t = parts(loss)
    target = (noise + 0.1).requires_grad_()
    said = Denoised(target, torch.zeros_like(noise), torch.zeros(3))
    loss(said, clean, noise, noisy, t).sum().backward()
    per_value = 2 * 0.1 / noise[0].numel()
    assert torch.allclose(target.grad, torch.full_like(noise, per_value), rtol=1e-3)


def test_the_learned_variance_lies_between_its_bounds(settings):
    loss = SuperresLoss(replace(settings, process=EPSILON))
    low, high = loss.log_low, loss.log_high
    assert (low <= high + 1e-6).all() and low.isfinite().all()
    assert torch.equal(between(low, high, -torch.ones(100)), low)
    assert torch.allclose(between(low, high, torch.ones(100)), high)


def test_strides_go_from_noise_to_the_clean_end():
    times = respaced(NoiseProcess(steps=1000, schedule="linear"), 20)
    assert (times[0], times[-1], len(times)) == (999, 0, 20)
    assert all(a > b for a, b in itertools.pairwise(times))
