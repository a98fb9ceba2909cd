import itertools
import math

import pytest
import torch

from c2lst.diffusion.draws import mix_seed
from c2lst.diffusion.noise import SCHEDULES, NoiseProcess
from c2lst.diffusion.sampling import (
    SAMPLERS,
    get_sampler,
    noise_levels,
    sample,
    sample_batches,
)
from c2lst.errors import InputError

# Colours that go together, as those of two stains do.
MEAN = torch.tensor([0.2, -0.1, 0.0])
COVARIANCE = torch.tensor([[0.030, 0.018, 0.006], [0.018, 0.020, -0.004], [0.006, -0.004, 0.010]])
PROCESSES = {
    "noise": NoiseProcess(),
    "velocity": NoiseProcess(prediction="v_prediction"),
    "zero SNR": NoiseProcess(prediction="v_prediction", zero_snr=True, weight="min_snr_plus_one"),
    "linear": NoiseProcess(schedule="linear"),
}
# Of variances along the axes of COVARIANCE. The finest has a spread of only 0.03, less than DDIM
# with even steps can resolve: it comes out narrower by up to half.
TOLERANCE = {"paper": (0.5, 0.1, 0.1), "faithful": (0.1, 0.05, 0.05), "fast": (0.1, 0.08, 0.08)}


def gaussian_denoiser(process):
    """Return the exact denoiser of images whose pixels are N(MEAN, COVARIANCE).

    E[x_0 | x_t] = μ + αC (α²C + σ²I)⁻¹ (x_t - αμ).
    """
    alphas, sigmas = process.alphas_sigmas()
    mean = MEAN.view(3, 1, 1)

    def denoise(noisy, timestep, chosen):
        alpha, sigma = alphas[timestep], sigmas[timestep]
        gain = (
            alpha * COVARIANCE @ torch.linalg.inv(alpha**2 * COVARIANCE + sigma**2 * torch.eye(3))
        )
        clean = mean + torch.einsum("ij,bjhw->bihw", gain.float(), noisy - alpha * mean)
        if process.prediction == "v_prediction":
            # v = αε - σx_0 with ε = (x_t - αx_0)/σ.
            return (alpha * noisy - clean) / sigma
        return (noisy - alpha * clean) / sigma

    # Not one for which autocast would round the exact answer.
    def exact(noisy, timestep, chosen):
        with torch.autocast("cpu", enabled=False):
            return denoise(noisy.float(), timestep, chosen)

    return exact


@pytest.mark.parametrize("kind", PROCESSES)
@pytest.mark.parametrize("name", sorted(SAMPLERS))
def test_samplers_recover_mean_and_covariance_of_gaussian_images(name, kind):
    process = PROCESSES[kind]
    images = sample(gaussian_denoiser(process), range(256), (3, 4, 4), process, get_sampler(name))
    assert images.abs().max() <= 1
    pixels = images.permute(1, 0, 2, 3).reshape(3, -1)
    standard_error = (COVARIANCE.diagonal() / pixels.shape[1]).sqrt()
    assert ((pixels.mean(dim=1) - MEAN).abs() < 4 * standard_error + 0.003).all()
    variances, axes = torch.linalg.eigh(COVARIANCE)
    whitened = axes.T @ torch.cov(pixels) @ axes / (variances[:, None] * variances).sqrt()
    noise = 4 * math.sqrt(2 / pixels.shape[1])
    tolerance = torch.diag(torch.tensor(TOLERANCE[name])) + noise
    assert ((whitened - torch.eye(3)).abs() < tolerance).all(), whitened


@pytest.mark.parametrize("kind", PROCESSES)
def test_many_steps_of_the_fast_solver_end_where_the_papers_do(kind):
    """Both follow one differential equation: the same noise ends in the same image."""
    process = PROCESSES[kind]
    ends = [
        sample(gaussian_denoiser(process), range(8), (3, 4, 4), process, sampler)
        for sampler in (SAMPLERS["paper"], SAMPLERS["faithful"])
    ]
    assert (ends[0] - ends[1]).abs().mean() < 0.02


@pytest.mark.parametrize("name", sorted(SAMPLERS))
def test_an_image_that_is_first_seen_far_beyond_the_data_is_held_to_their_range(name):
    process = NoiseProcess()
    alphas, sigmas = process.alphas_sigmas()
    exact = gaussian_denoiser(process)

    def beyond(noisy, timestep, chosen):
        if timestep < process.steps - 1:
            return exact(noisy, timestep, chosen)
        return (noisy - alphas[timestep] * 300) / sigmas[timestep]

    ends = [
        sample(denoise, range(4), (3, 4, 4), process, SAMPLERS[name]) for denoise in (exact, beyond)
    ]
    assert (ends[0] - ends[1]).abs().mean() < 0.01


@pytest.mark.parametrize("kind", PROCESSES)
@pytest.mark.parametrize("steps", [3, 10, 25, 50, 400])
def test_noise_levels_fall_from_pure_noise_to_the_finest(kind, steps):
    levels = noise_levels(PROCESSES[kind], steps)
    assert len(levels) == steps
    assert levels[0] == 999 and levels[-1] == 0
    assert all(a > b for a, b in itertools.pairwise(levels))


@pytest.mark.parametrize("name", sorted(SAMPLERS))
def test_sampling_starts_at_the_noisiest_level(name):
    process = NoiseProcess(prediction="v_prediction")
    scheduler = get_sampler(name).scheduler(process)
    assert int(scheduler.timesteps[0]) == process.steps - 1
    assert len(scheduler.timesteps) == SAMPLERS[name].steps


def test_an_image_depends_on_its_seed_alone_whatever_the_batch():
    process = NoiseProcess(prediction="v_prediction")
    arguments = (gaussian_denoiser(process), list(range(7)), (3, 4, 4), process, SAMPLERS["fast"])
    together = sample(*arguments, batch_size=7)
    apart = sample(*arguments, batch_size=2)
    torch.testing.assert_close(together, apart, atol=1e-6, rtol=0)


def test_images_that_do_not_fit_in_memory_are_drawn_fewer_at_a_time():
    process = NoiseProcess(prediction="v_prediction")
    exact, request = gaussian_denoiser(process), [list(range(7)), (3, 4, 4), process]

    def scarce(noisy, timestep, chosen):
        # Not before some steps are done: the batch has to begin anew.
        if len(noisy) > 2 and timestep < 500:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return exact(noisy, timestep, chosen)

    expected = sample(exact, *request, SAMPLERS["fast"])
    found = sample(scarce, *request, SAMPLERS["fast"])
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)


def test_images_of_two_processes_are_those_of_one():
    process = NoiseProcess(prediction="v_prediction")
    seeds = [mix_seed(5, index) for index in range(6)]

    def images(chosen):
        return sample(
            gaussian_denoiser(process), chosen, (3, 4, 4), process, SAMPLERS["fast"], batch_size=4
        )

    shared = torch.empty((6, 3, 4, 4))
    shared[0::2], shared[1::2] = images(seeds[0::2]), images(seeds[1::2])
    torch.testing.assert_close(shared, images(seeds), atol=1e-6, rtol=0)


def test_batches_come_as_they_are_drawn():
    process = NoiseProcess(prediction="v_prediction")
    denoise, asked = gaussian_denoiser(process), []

    def noting(noisy, timestep, chosen):
        asked.append(chosen)
        return denoise(noisy, timestep, chosen)

    arguments = (list(range(5)), (3, 4, 4), process, SAMPLERS["fast"])
    drawn = sample_batches(noting, *arguments, batch_size=2)
    chosen, images = next(drawn)
    assert chosen == slice(0, 2) and set(map(str, asked)) == {str(chosen)}
    rest = [images for _, images in drawn]
    assert torch.equal(torch.cat([images, *rest]), sample(denoise, *arguments, batch_size=2))


def test_an_unknown_sampler_is_refused():
    with pytest.raises(InputError, match="paper or faithful or fast"):
        get_sampler("slow")


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("zero_snr", [False, True])
def test_every_schedule_that_can_be_trained_on_can_be_sampled_from(schedule, zero_snr):
    process = NoiseProcess(schedule=schedule, prediction="v_prediction", zero_snr=zero_snr)
    trained = process.scheduler().alphas_cumprod
    for sampler in SAMPLERS.values():
        solver = sampler.scheduler(process).alphas_cumprod
        # Solvers hold an SNR of zero for one just above it.
        torch.testing.assert_close(solver, trained, rtol=0, atol=1e-6)


@pytest.mark.parametrize("levels", [100, 490, 999])
def test_ddim_refuses_levels_that_do_not_part_into_its_steps(levels):
    """At 490 levels, images came out with up to 28 times the variance that they should have."""
    with pytest.raises(InputError, match=f"found {levels} noise levels.*multiple of 250.*fast"):
        get_sampler("paper").scheduler(NoiseProcess(steps=levels))
    assert len(get_sampler("fast").scheduler(NoiseProcess(steps=levels)).timesteps) == 25
