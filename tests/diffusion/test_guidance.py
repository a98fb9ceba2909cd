import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from c2lst.diffusion.guidance import Guidance, guided, guided_denoiser
from c2lst.diffusion.noise import NoiseProcess
from c2lst.diffusion.sampling import SAMPLERS, sample
from c2lst.errors import InputError

PROCESS = NoiseProcess(prediction="v_prediction")


class Branches:
    """Predicts a mixture of the image and of its row's number; notes what it was asked for."""

    def __init__(self):
        self.asked = []

    def __call__(self, noisy, timesteps, rows, given):
        assert len(noisy) == len(timesteps) == len(rows) == len(given)
        self.asked.append((int(timesteps[0]), len(noisy), given.tolist()))
        condition = torch.where(given, 0.1 * (1.0 + rows), 0.0).view(-1, 1, 1, 1)
        return 0.3 * noisy + condition


def test_guidance_algebra():
    conditional, null = torch.tensor([3.0]), torch.tensor([1.0])
    assert guided(conditional, null, 0) == null
    assert guided(conditional, null, 1) == conditional
    assert guided(conditional, null, 3) == torch.tensor([7.0])


@given(scale=st.floats(0, 10), timestep=st.integers(0, 999), start=st.integers(0, 5))
def test_a_step_is_that_of_separate_branches(scale, timestep, start):
    noisy = torch.randn(3, 3, 2, 2, generator=torch.Generator().manual_seed(1))
    rows, times = torch.arange(start, start + 3), torch.full((3,), timestep)
    branches = Branches()
    conditional = branches(noisy, times, rows, torch.ones(3, dtype=torch.bool))
    null = branches(noisy, times, rows, torch.zeros(3, dtype=torch.bool))
    denoise = guided_denoiser(branches, Guidance(scale), PROCESS)
    found = denoise(noisy, timestep, slice(start, start + 3))
    torch.testing.assert_close(found, null + scale * (conditional - null))


@pytest.mark.parametrize(("scale", "given"), [(0, [False]), (1, [True]), (3, [True, False])])
def test_only_the_branches_that_count_are_evaluated(scale, given):
    branches = Branches()
    guided_denoiser(branches, Guidance(scale), PROCESS)(torch.zeros(2, 3, 2, 2), 500, slice(0, 2))
    assert branches.asked == [(500, 2 * len(given), [g for g in given for _ in range(2)])]


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_the_null_branch_is_left_out_outside_the_interval(sampler):
    alphas, sigmas = PROCESS.alphas_sigmas()
    branches = Branches()
    denoise = guided_denoiser(branches, Guidance(3.0, (0.2, 2.0)), PROCESS)
    sample(denoise, [1, 2], (3, 2, 2), PROCESS, SAMPLERS[sampler])
    inside = [0.2 <= sigmas[t] / alphas[t] <= 2.0 for t, _, _ in branches.asked]
    assert [count for _, count, _ in branches.asked] == [4 if here else 2 for here in inside]
    assert 0 < sum(inside) < len(inside) == SAMPLERS[sampler].steps
    # What is evaluated alone is the conditional branch.
    assert all(given[:2] == [True, True] for _, _, given in branches.asked)


def test_an_interval_of_all_levels_is_no_interval():
    process = NoiseProcess(prediction="v_prediction", zero_snr=True, weight="min_snr_plus_one")
    assert Guidance(3.0, (0.0, math.inf)).scales(process) == Guidance(3.0).scales(process)
    assert set(Guidance(3.0, (0.0, 1e9)).scales(process)[:-1]) == {3.0}
    assert Guidance(3.0, (0.0, 1e9)).scales(process)[-1] == 1.0  # pure noise: infinitely noisy


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ((-1.0,), "scale, found -1.0, expected a number, at least 0"),
        ((math.nan,), "scale, found nan"),
        ((3.0, (2.0, 0.2)), "interval, found 2.0 to 0.2, expected two noise levels"),
        ((3.0, (-1.0, 0.2)), "interval, found -1.0 to 0.2"),
        ((3.0, (0.2,)), "interval"),
    ],
)
def test_what_cannot_guide_is_refused(arguments, problem):
    with pytest.raises(InputError, match=problem):
        Guidance(*arguments)
