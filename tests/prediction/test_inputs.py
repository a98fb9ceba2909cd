from __future__ import annotations

import numpy as np
import torch

from c2lst.data.stain import StainJitter
from c2lst.diffusion.draws import Draws
from c2lst.prediction.cotraining import CotrainingSettings
from c2lst.prediction.inputs import AbsoluteError, PatchInputs


def patches(n: int) -> torch.Tensor:
    return torch.from_numpy(
        np.random.default_rng(0).integers(0, 256, (n, 16, 16, 3), dtype=np.uint8)
    )


def test_the_loss_is_the_mean_absolute_error_of_measured_genes_times_the_weight():
    batch = {
        "inputs": torch.zeros(3, 2),
        "targets": torch.tensor([[1.0, -3.0], [float("nan"), 4.0], [0.0, 0.0]]),
        "weights": torch.tensor([0.25, 1.0, 1.0]),
    }
    weight = torch.zeros(2, requires_grad=True)
    loss = AbsoluteError(lambda inputs, draws: inputs)(
        lambda inputs: inputs + weight, batch, Draws(0, 0, range(3))
    )
    torch.testing.assert_close(loss, torch.tensor([0.5, 4.0, 0.0]))
    loss.sum().backward()
    assert torch.isfinite(weight.grad).all()


def test_augmentation_depends_on_the_sample_not_the_batch(preprocessing):
    images = patches(4)
    for jitter in (None, StainJitter(preprocessing.stain, 0.2)):
        inputs = PatchInputs(CotrainingSettings(), jitter)
        whole = inputs.varied(images, Draws(0, 5, range(4)))
        torch.testing.assert_close(whole[2:], inputs.varied(images[2:], Draws(0, 5, [2, 3])))
        assert not torch.equal(whole, inputs.varied(images, Draws(0, 6, range(4))))


def test_without_augmentation_patches_are_seen_as_they_are():
    inputs = PatchInputs(CotrainingSettings(augment=False))
    images = patches(3)
    plain = images.permute(0, 3, 1, 2).float() / 255
    torch.testing.assert_close(inputs.varied(images, Draws(0, 0, range(3))), plain)
    torch.testing.assert_close(inputs.plain(images, Draws(0, 0, range(3))), plain)


def test_stain_jitter_changes_colours_and_keeps_places(preprocessing, section):
    images = torch.from_numpy(preprocessing.images(section)[:6])
    plain = images.permute(0, 3, 1, 2).float() / 255

    def change(strength):
        inputs = PatchInputs(
            CotrainingSettings(augment=False), StainJitter(preprocessing.stain, strength)
        )
        varied = inputs.varied(images, Draws(0, 0, range(6)))
        assert varied.min() >= 0 and varied.max() <= 1
        correlation = np.corrcoef(varied[:, 0].flatten(), plain[:, 0].flatten())[0, 1]
        assert correlation > 0.9
        return (varied - plain).abs().mean()

    assert change(0.0) < 1e-6 < 1e-3 < change(0.05) < change(0.2)
