import pytest
import torch

from c2lst.diffusion.noise import NoiseProcess
from c2lst.diffusion.sampling import SAMPLERS, get_sampler, guided, sample
from c2lst.errors import InputError

MEAN, SPREAD = 0.2, 0.15
# Few steps narrow the spread: what `fast` loses here is what its name costs.
TOLERANCE = {"paper": 0.012, "faithful": 0.012, "fast": 0.02}


def gaussian_denoiser(process):
    """Return the exact denoiser of images whose pixels are N(MEAN, SPREAD²)."""
    alphas, sigmas = process.alphas_sigmas()

    def denoise(noisy, timestep, chosen):
        alpha, sigma = alphas[timestep], sigmas[timestep]
        variance = alpha**2 * SPREAD**2 + sigma**2
        epsilon = sigma * (noisy - alpha * MEAN) / variance
        if process.prediction == "epsilon":
            return epsilon
        clean = MEAN + alpha * SPREAD**2 * (noisy - alpha * MEAN) / variance
        return alpha * epsilon - sigma * clean

    return denoise


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("name", sorted(SAMPLERS))
def test_samplers_recover_the_mean_and_spread_of_gaussian_images(name, prediction):
    process = NoiseProcess(prediction=prediction)
    images = sample(
        gaussian_denoiser(process), range(64), (3, 4, 4), process, get_sampler(name), batch_size=64
    )
    assert images.abs().max() <= 1
    assert abs(images.mean().item() - MEAN) < 0.01
    assert abs(images.std().item() - SPREAD) < TOLERANCE[name]


def test_an_image_depends_on_its_seed_alone_whatever_the_batch():
    process = NoiseProcess(prediction="v_prediction")
    arguments = (gaussian_denoiser(process), list(range(7)), (3, 4, 4), process, SAMPLERS["fast"])
    together = sample(*arguments, batch_size=7)
    apart = sample(*arguments, batch_size=2)
    torch.testing.assert_close(together, apart, atol=1e-6, rtol=0)


def test_an_interrupted_request_continues_where_it_stopped(tmp_path):
    process = NoiseProcess(prediction="v_prediction")
    denoise = gaussian_denoiser(process)
    asked = []

    def dying(noisy, timestep, chosen):
        asked.append(chosen.start)
        if chosen.start >= 4:
            raise KeyboardInterrupt
        return denoise(noisy, timestep, chosen)

    arguments = (list(range(6)), (3, 4, 4), process, SAMPLERS["fast"])
    with pytest.raises(KeyboardInterrupt):
        sample(dying, *arguments, batch_size=2, directory=tmp_path)
    asked.clear()

    def counting(noisy, timestep, chosen):
        asked.append(chosen.start)
        return denoise(noisy, timestep, chosen)

    resumed = sample(counting, *arguments, batch_size=2, directory=tmp_path)
    assert set(asked) == {4}
    assert torch.equal(resumed, sample(denoise, *arguments, batch_size=2))


def test_guidance_algebra():
    conditional, null = torch.tensor([3.0]), torch.tensor([1.0])
    assert guided(conditional, null, 0) == null
    assert guided(conditional, null, 1) == conditional
    assert guided(conditional, null, 3) == torch.tensor([7.0])


def test_an_unknown_sampler_is_refused():
    with pytest.raises(InputError, match="paper or faithful or fast"):
        get_sampler("slow")
