import numpy as np
import pytest
import torch

from c2lst.diffusion.features import candidate_views, denoiser_features, joined
from c2lst.diffusion.noise import NoiseProcess
from c2lst.diffusion.unet import UNetShape, build_unet
from scarce import hold_at_most


@pytest.fixture
def unet():
    torch.manual_seed(0)
    return build_unet(UNetShape(16, (8, 16), layers=1, groups=4))


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (5, 16, 16, 3), dtype=np.uint8)


def test_features_belong_to_the_image_not_to_its_batch(unet, images):
    images[4] = images[0]
    process = NoiseProcess()
    together = joined(denoiser_features(unet, process, images))
    apart = joined(denoiser_features(unet, process, images, batch_size=2))
    np.testing.assert_allclose(together, apart, atol=1e-5)
    np.testing.assert_allclose(together[4], together[0], atol=1e-5)
    assert np.abs(together[1] - together[0]).max() > 1e-4
    assert not any(block._forward_hooks for block in unet.modules())


def test_a_device_that_holds_few_images_gives_the_same_features(unet, images):
    expected = joined(denoiser_features(unet, NoiseProcess(), images, timesteps=(50,)))
    asked = hold_at_most(unet, 2)
    found = joined(denoiser_features(unet, NoiseProcess(), images, timesteps=(50,)))
    np.testing.assert_allclose(found, expected, atol=1e-5)
    # All four turns of a batch that fits; no more of one that does not.
    assert asked == [5, 3, *[2] * 8, *[1] * 4]


def test_turns_are_averaged(unet, images):
    process = NoiseProcess()
    alone = [joined(denoiser_features(unet, process, images, turns=(turn,))) for turn in (0, 1)]
    both = joined(denoiser_features(unet, process, images, turns=(0, 1)))
    np.testing.assert_allclose(both, np.mean(alone, axis=0), atol=1e-5)


def test_one_pass_offers_parts_and_noise_levels(unet, images):
    features = denoiser_features(unet, NoiseProcess(), images, timesteps=(50, 200))
    views = candidate_views(features, "central")
    assert list(views) == [
        "central",
        *("central.down", "central.middle", "central.up"),
        *("central.t50", "central.t200"),
    ]
    width = views["central"].shape[1]
    assert sum(views[f"central.{part}"].shape[1] for part in ("down", "middle", "up")) == width
    level = joined(denoiser_features(unet, NoiseProcess(), images, timesteps=(50,)))
    np.testing.assert_allclose(views["central.t50"], level, atol=1e-6)
    one = candidate_views({k: x for k, x in features.items() if k[0] == 50}, "central")
    assert "central.t50" not in one


@pytest.mark.parametrize(("levels", "chosen"), [(1000, [50, 200]), (100, [5, 20]), (2, [0])])
def test_a_process_of_other_levels_is_read_at_the_same_share_of_them(unet, images, levels, chosen):
    features = denoiser_features(unet, NoiseProcess(steps=levels), images[:2], turns=(0,))
    assert list(dict.fromkeys(level for level, _ in features)) == chosen
    assert joined(features).shape[0] == 2


def test_a_pass_is_waited_for_once_a_part(unet, images, monkeypatch):
    copies, plain = [], torch.Tensor.cpu
    monkeypatch.setattr(torch.Tensor, "cpu", lambda self: copies.append(self) or plain(self))
    denoiser_features(unet, NoiseProcess(), images, timesteps=(50,), turns=(0,))
    assert len(copies) == 3
