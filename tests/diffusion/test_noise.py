import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from c2lst.diffusion.noise import DenoisingLoss, NoiseProcess, dihedral, to_uint8, to_unit_range

PREDICTIONS = ("epsilon", "v_prediction")


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_variance_is_preserved_and_noise_grows(prediction):
    alphas, sigmas = NoiseProcess(prediction=prediction).alphas_sigmas()
    torch.testing.assert_close(alphas**2 + sigmas**2, torch.ones(1000))
    assert (sigmas.diff() >= 0).all() and sigmas[-1] > 0.999


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


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_the_right_answer_costs_nothing(prediction):
    loss = DenoisingLoss(NoiseProcess(prediction=prediction))
    clean, noise = torch.randn(4, 3, 2, 2), torch.randn(4, 3, 2, 2)
    t = torch.tensor([0, 10, 500, 999])
    alpha, sigma = loss.alphas[t].view(-1, 1, 1, 1), loss.sigmas[t].view(-1, 1, 1, 1)
    target = noise if prediction == "epsilon" else alpha * noise - sigma * clean
    assert loss(target, clean, noise, t).abs().max() < 1e-10


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
