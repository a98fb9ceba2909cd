from __future__ import annotations

import numpy as np
import pytest
import torch

from c2lst.errors import InputError
from c2lst.prediction.networks import (
    ARCHITECTURES,
    build_network,
    predict_patches,
    recalibrate,
    to_unit,
)


def patches(n: int, size: int = 32, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, size, size, 3), dtype=np.uint8)


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_every_network_starts_at_about_the_training_mean(kind):
    network = build_network(kind, 7, 32)
    with torch.no_grad():  # in training mode, where batch normalisation is at work
        output = network(to_unit(torch.from_numpy(patches(4))))
    assert output.shape == (4, 7)
    assert output.abs().max() < 1
    torch.testing.assert_close(network.head.bias, torch.zeros(7))


@pytest.mark.parametrize(("size", "least"), [(16, 2), (32, 4), (64, 8), (96, 6)])
def test_small_patches_are_not_crushed(size, least):
    network = build_network("resnet-tiny", 3, size)
    images = to_unit(torch.from_numpy(patches(1, size)))
    assert network.backbone(images).last_hidden_state.shape[-1] >= least


def test_the_paper_s_network_has_the_paper_s_layout():
    network = build_network("resnet-50", 250, 224)
    assert network.head.in_features == 2048
    count = sum(p.numel() for p in network.backbone.parameters())
    assert count == pytest.approx(23.5e6, rel=0.01)


def test_prediction_does_not_depend_on_orientation_or_batch():
    network = build_network("resnet-tiny", 5, 32)
    images = patches(6)
    recalibrate(network, images)
    torch.nn.init.normal_(network.head.weight)
    expected = predict_patches(network, images)
    assert expected.std() > 0.01
    turned = np.rot90(images, axes=(1, 2)).copy()
    np.testing.assert_allclose(predict_patches(network, turned), expected, atol=1e-4)
    mirrored = np.ascontiguousarray(images[:, :, ::-1])
    np.testing.assert_allclose(predict_patches(network, mirrored), expected, atol=1e-4)
    np.testing.assert_allclose(predict_patches(network, images, batch_size=2), expected, atol=1e-4)


def test_recalibration_gives_the_statistics_of_the_images():
    network = build_network("resnet-tiny", 5, 32)
    images = patches(8)
    recalibrate(network, images)
    layer = network.backbone.embedder.embedder
    scaled = (to_unit(torch.from_numpy(images)) - network.pixel_mean) / network.pixel_std
    expected = layer.convolution(scaled).mean(dim=(0, 2, 3))
    torch.testing.assert_close(layer.normalization.running_mean, expected, atol=1e-4, rtol=1e-4)
    assert layer.normalization.momentum == 0.1
    assert not network.training


def test_unknown_kind_and_tiny_patches_are_refused():
    with pytest.raises(InputError, match="unknown kind"):
        build_network("vgg", 5, 32)
    with pytest.raises(InputError, match="16 px"):
        build_network("resnet-tiny", 5, 8)
