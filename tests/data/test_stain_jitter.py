from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from c2lst.data.stain import StainJitter, StainReference
from c2lst.diffusion.draws import Draws
from c2lst.diffusion.noise import to_uint8, to_unit_range
from c2lst.errors import InputError

STANDARD = StainReference.standard()
pictures = hnp.arrays(np.uint8, (3, 4, 5, 3)).map(torch.from_numpy)
numbers = hnp.arrays(np.float32, (3, 4), elements=st.floats(0, 1023 / 1024, width=32)).map(
    torch.from_numpy
)
strengths = st.floats(0.01, 1.0)


@settings(max_examples=60)
@given(pictures, numbers, strengths)
def test_any_picture_stays_a_picture(images, uniform, strength):
    jitter = StainJitter(STANDARD, strength)
    changed = jitter.apply(images, uniform)
    assert changed.dtype == torch.uint8 and changed.shape == images.shape
    floats = jitter.apply(to_unit_range(images), uniform)
    assert floats.isfinite().all() and floats.abs().max() <= 1
    assert floats.shape == (3, 3, 4, 5)


@settings(max_examples=40)
@given(pictures, numbers, strengths)
def test_bytes_and_floats_are_changed_alike(images, uniform, strength):
    jitter = StainJitter(STANDARD, strength)
    floats = to_uint8(jitter.apply(to_unit_range(images), uniform))
    assert (floats.int() - jitter.apply(images, uniform).int()).abs().max() <= 1


@settings(max_examples=20)
@given(pictures, numbers)
def test_no_strength_is_the_identity(images, uniform):
    jitter = StainJitter(STANDARD, 0)
    assert torch.equal(jitter.apply(images, uniform), images)
    # The same through the arithmetic, not through the short cut.
    middle = torch.full((3, 4), 0.5)
    assert torch.equal(StainJitter(STANDARD, 1).apply(images, middle), images)


@settings(max_examples=30)
@given(numbers, strengths)
def test_the_empty_slide_stays_white(uniform, strength):
    white = torch.full((3, 4, 4, 3), 255, dtype=torch.uint8)
    jitter = StainJitter(STANDARD, strength)
    assert torch.equal(jitter.apply(white, uniform), white)
    assert torch.equal(jitter.apply(to_unit_range(white), uniform), to_unit_range(white))


@settings(max_examples=30)
@given(pictures, numbers, strengths)
def test_an_image_depends_on_its_own_numbers_alone(images, uniform, strength):
    jitter = StainJitter(STANDARD, strength)
    together = jitter.apply(images, uniform)
    for i in range(len(images)):
        alone = jitter.apply(images[i : i + 1], uniform[i : i + 1])
        assert (alone[0].int() - together[i].int()).abs().max() <= 1


def test_the_factors_scale_the_stains_by_name():
    amounts = torch.tensor([[0.8, 0.0], [0.0, 0.6], [0.5, 0.4]])
    light = (255 * (-(amounts.double() @ torch.tensor(STANDARD.matrix))).exp()).view(1, 1, 3, 3)
    floats = (light / 127.5 - 1).float().permute(0, 3, 1, 2)
    more_haematoxylin = torch.tensor([[1.0, 0.5, 0.5, 0.5]])
    changed = StainJitter(STANDARD, 0.3).apply(floats, more_haematoxylin)
    density = -((changed[0, :, 0].T.double() + 1) / 2).log()
    found = density @ torch.tensor(np.linalg.pinv(STANDARD.matrix))
    expected = amounts.double() * torch.tensor([1.3, 1.0])
    assert torch.allclose(found, expected, atol=1e-4)


def test_the_strength_is_how_far_tissue_changes(stained_image):
    tissue = torch.from_numpy(stained_image(64, 64, seed=2)[None]).expand(64, -1, -1, -1)
    uniform = Draws(7, 0, range(64)).uniform((StainJitter.numbers,))
    apart = [
        (StainJitter(STANDARD, s).apply(tissue, uniform).float() - tissue.float()).abs().mean()
        for s in (0.05, 0.1, 0.2)
    ]
    assert 0.5 < apart[0] < apart[1] < apart[2] < 25


def test_what_an_image_gets_depends_on_its_position_alone(stained_image):
    tissue = torch.from_numpy(stained_image(32, 32, seed=2)[None]).expand(4, -1, -1, -1)
    jitter = StainJitter(STANDARD, 0.2)
    whole = jitter.apply(tissue, Draws(3, 5, range(4)).uniform((4,)))
    parts = [jitter.apply(tissue[:2], Draws(3, 5, part).uniform((4,))) for part in ((0, 1), (2, 3))]
    assert torch.equal(whole, torch.cat(parts))
    assert not torch.equal(whole[0], whole[1])


@pytest.mark.parametrize("strength", [-0.1, 1.5, float("nan")])
def test_no_other_strength_exists(strength):
    with pytest.raises(InputError, match="strength"):
        StainJitter(STANDARD, strength)
