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
from scarce import hold_at_most


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


@pytest.mark.parametrize(
    ("kind", "width", "millions"),
    [
        ("resnet-10", 512, 4.906),
        ("resnet-18", 512, 11.18),
        ("resnet-50", 2048, 23.51),
        # Huang et al. (2017): 7.98 M with the 1,000 classes of ImageNet, 1.025 M of them its head.
        ("densenet-121", 1024, 6.954),
    ],
)
def test_published_networks_have_their_published_size(kind, width, millions):
    network = build_network(kind, 250, 224)
    assert network.head.in_features == width
    count = sum(p.numel() for p in network.backbone.parameters())
    assert count == pytest.approx(1e6 * millions, rel=1e-3)


def test_a_dense_network_keeps_what_came_in_and_halves_between_blocks():
    network = build_network("densenet-121", 3, 96).eval()
    layer = network.backbone.layers[4]
    maps = torch.randn(1, 64, 6, 6)
    assert layer(maps).shape == (1, 96, 6, 6)
    torch.testing.assert_close(layer(maps)[:, :64], maps)
    images = to_unit(torch.from_numpy(patches(1, 96)))
    assert network.backbone(images).last_hidden_state.shape == (1, 1024, 3, 3)
    small = build_network("densenet-121", 3, 32).eval()
    assert small.backbone(images[..., :32, :32]).last_hidden_state.shape[-1] == 2


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
    hold_at_most(network, 4)
    np.testing.assert_allclose(predict_patches(network, images), expected, atol=1e-4)


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
