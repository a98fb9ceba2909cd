import numpy as np
import torch

from c2lst.diffusion.features import denoiser_features
from c2lst.diffusion.noise import NoiseProcess
from c2lst.diffusion.unet import UNetShape, build_unet


def test_features_belong_to_the_image_not_to_its_batch():
    torch.manual_seed(0)
    unet = build_unet(UNetShape(16, (8, 16), layers=1, groups=4))
    images = np.random.default_rng(0).integers(0, 256, (5, 16, 16, 3), dtype=np.uint8)
    images[4] = images[0]
    process = NoiseProcess()
    together = denoiser_features(unet, process, images)
    apart = denoiser_features(unet, process, images, batch_size=2)
    np.testing.assert_allclose(together, apart, atol=1e-5)
    np.testing.assert_allclose(together[4], together[0], atol=1e-5)
    assert np.abs(together[1] - together[0]).max() > 1e-4
    assert not any(block._forward_hooks for block in unet.modules())
