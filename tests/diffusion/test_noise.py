import dataclasses
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from c2lst.diffusion.noise import (
    DenoisingLoss,
    NoiseProcess,
    dihedral,
    to_uint8,
    to_unit_range,
    windows,
)
from c2lst.errors import InputError

PREDICTIONS = ("epsilon", "v_prediction")
VELOCITY = NoiseProcess(prediction="v_prediction")
PROCESSES = [
    NoiseProcess(),
    VELOCITY,
    dataclasses.replace(VELOCITY, weight="min_snr_plus_one"),
    dataclasses.replace(VELOCITY, weight="min_snr_plus_one", zero_snr=True),
]


def cosine(t, steps=1000, offset=0.008):
    """ᾱ(t) of the cosine schedule (Nichol & Dhariwal 2021, Eq. 17)."""
    return math.cos((t / steps + offset) / (1 + offset) * math.pi / 2) ** 2


def test_the_schedule_is_the_cosine():
    alphas, _ = NoiseProcess().alphas_sigmas()
    for t in (0, 10, 250, 500, 900):
        assert alphas[t].item() ** 2 == pytest.approx(cosine(t + 1) / cosine(0), rel=1e-3)


@pytest.mark.parametrize("process", PROCESSES)
def test_variance_is_preserved_and_noise_grows(process):
    alphas, sigmas = process.alphas_sigmas()
    torch.testing.assert_close(alphas**2 + sigmas**2, torch.ones(1000))
    assert (sigmas.diff() >= 0).all() and sigmas[-1] > 0.999


def test_zero_terminal_snr_leaves_nothing_of_the_image_and_keeps_the_first_level():
    """ᾱ^½ is shifted to end at 0 and scaled to keep its start (Lin et al. 2024, Algorithm 1)."""
    plain = NoiseProcess(schedule="linear", prediction="v_prediction")
    before, _ = plain.alphas_sigmas()
    after, _ = dataclasses.replace(plain, zero_snr=True).alphas_sigmas()
    expected = (before - before[-1]) * before[0] / (before[0] - before[-1])
    assert after[-1] == 0
    torch.testing.assert_close(after, expected, atol=1e-4, rtol=0)


@given(st.integers(0, 999), st.floats(1, 20))
def test_min_snr_weights_are_their_closed_form(t, gamma):
    for process in PROCESSES[:3]:
        loss = DenoisingLoss(dataclasses.replace(process, min_snr_gamma=gamma))
        snr = float((loss.alphas[t].double() / loss.sigmas[t].double()) ** 2)
        offset = 1 if process.weight == "min_snr_plus_one" else 0
        target = snr if process.prediction == "epsilon" else snr + 1
        assert float(loss.weights[t]) == pytest.approx(min(snr + offset, gamma) / target, rel=1e-3)


def test_the_weight_where_sampling_starts():
    """min(SNR, γ) vanishes there; SNR + 1 does not, whatever is left of the image."""
    assert DenoisingLoss(VELOCITY).weights[-1] < 1e-6
    for process in PROCESSES[2:]:
        assert DenoisingLoss(process).weights[-1] == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("options", [{"zero_snr": True}, {"weight": "min_snr_plus_one"}])
def test_noise_prediction_refuses_what_only_velocity_can_do(options):
    with pytest.raises(InputError, match="v_prediction"):
        NoiseProcess(**options)


def test_both_targets_weigh_the_error_of_the_image_alike():
    """min(SNR, γ)/SNR on ε and min(SNR, γ)/(SNR + 1) on v are one weight on x_0."""
    clean = torch.full((1, 3, 2, 2), 0.3)
    noise = torch.full((1, 3, 2, 2), -0.7)
    for t in (5, 300, 700):
        timesteps = torch.tensor([t])
        losses = []
        for prediction in PREDICTIONS:
            loss = DenoisingLoss(NoiseProcess(prediction=prediction))
            alpha, sigma = loss.alphas[t], loss.sigmas[t]
            noisy = loss.add_noise(clean, noise, timesteps)
            guess = clean + 0.1
            epsilon = (noisy - alpha * guess) / sigma
            output = epsilon if prediction == "epsilon" else alpha * epsilon - sigma * guess
            losses.append(loss(output, clean, noise, timesteps))
        torch.testing.assert_close(losses[0], losses[1], rtol=2e-3, atol=1e-6)


@given(st.integers(0, 998))
def test_noise_image_and_velocity_turn_into_each_other(t):
    """x_0 = αx_t - σv and ε = σx_t + αv, as the samplers take velocity apart."""
    loss = DenoisingLoss(PROCESSES[3])
    clean, noise = torch.rand(1, 3, 2, 2) * 2 - 1, torch.randn(1, 3, 2, 2)
    alpha, sigma = loss.alphas[t], loss.sigmas[t]
    noisy = loss.add_noise(clean, noise, torch.tensor([t]))
    velocity = alpha * noise - sigma * clean
    torch.testing.assert_close(alpha * noisy - sigma * velocity, clean, atol=1e-5, rtol=0)
    torch.testing.assert_close(sigma * noisy + alpha * velocity, noise, atol=1e-5, rtol=0)
    torch.testing.assert_close(
        loss.process.scheduler().get_velocity(clean, noise, torch.tensor([t])), velocity
    )


@pytest.mark.parametrize("process", PROCESSES)
def test_the_right_answer_costs_nothing(process):
    loss = DenoisingLoss(process)
    clean, noise = torch.randn(4, 3, 2, 2), torch.randn(4, 3, 2, 2)
    t = torch.tensor([0, 10, 500, 999])
    alpha, sigma = loss.alphas[t].view(-1, 1, 1, 1), loss.sigmas[t].view(-1, 1, 1, 1)
    target = noise if process.prediction == "epsilon" else alpha * noise - sigma * clean
    assert loss(target, clean, noise, t).abs().max() < 1e-10
    assert torch.isfinite(loss(torch.zeros_like(clean), clean, noise, t)).all()


@given(st.integers(0, 2**32 - 1))
def test_images_survive_the_round_trip(seed):
    images = torch.randint(
        256, (2, 4, 4, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed)
    )
    assert torch.equal(to_uint8(to_unit_range(images)), images)


def test_the_eight_dihedral_ways_are_distinct_and_keep_the_pixels():
    image = torch.arange(12.0).reshape(1, 3, 2, 2)
    ways = [dihedral(image, torch.tensor([way])) for way in range(8)]
    assert torch.equal(ways[0], image)
    assert len({tuple(way.flatten().tolist()) for way in ways}) == 8
    assert all(sorted(way[0, 0].flatten().tolist()) == [0, 1, 2, 3] for way in ways)


@given(st.integers(0, 4), st.integers(0, 4))
def test_windows_are_cut_where_they_are_said_to_be(top, left):
    images = torch.arange(2 * 3 * 8 * 8, dtype=torch.float32).view(2, 3, 8, 8)
    cut = windows(images, 4, torch.tensor([top, 0]), torch.tensor([left, 4]))
    assert torch.equal(cut[0], images[0, :, top : top + 4, left : left + 4])
    assert torch.equal(cut[1], images[1, :, :4, 4:])


def test_augmentation_reads_no_number_back_from_the_device():
    """On ``meta`` there are none to read: whatever asks for one fails, where a GPU would wait."""
    images = torch.empty((4, 3, 8, 8), device="meta")
    choice = torch.zeros(4, dtype=torch.int64, device="meta")
    assert dihedral(images, choice).shape == images.shape
    assert windows(images, 4, choice, choice).shape == (4, 3, 4, 4)


def test_turning_keeps_strides_and_takes_no_images():
    images = torch.rand(4, 8, 8, 3).permute(0, 3, 1, 2)
    assert dihedral(images, torch.arange(4)).stride() == images.stride()
    assert dihedral(images[:0], torch.arange(0)).shape == (0, 3, 8, 8)


@pytest.mark.parametrize("process", PROCESSES[:2])
def test_the_tables_of_a_loss_go_to_the_device_once(process):
    loss, images = DenoisingLoss(process), torch.empty((2, 3, 4, 4), device="meta")
    times = torch.zeros(2, dtype=torch.int64, device="meta")
    loss(loss.add_noise(images, images, times), images, images, times)
    assert {t.device.type for t in (loss.alphas, loss.sigmas, loss.weights)} == {"meta"}
