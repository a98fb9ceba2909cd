from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from c2lst.central import CentralModel
from c2lst.data.stain import StainReference
from c2lst.data.synthetic import SyntheticPairs
from c2lst.diffusion.noise import NoiseProcess
from c2lst.diffusion.stopping import kept_check
from c2lst.diffusion.unet import build_unet
from c2lst.errors import InputError
from c2lst.prediction.controls import shuffled_genes
from c2lst.prediction.cotraining import CotrainingSettings, CrossFittedNetwork
from c2lst.prediction.encoders import CentralEncoder, check_network, encoder_of
from c2lst.prediction.folds import draw_validation
from c2lst.prediction.frozen import FrozenHead, FrozenInputs
from toy import SHAPE

SETTINGS = CotrainingSettings(
    network="frozen", folds=2, steps=8, batch_size=8, learning_rate=2e-2, seed=2
)


class Pooled:
    """Pixels pooled to 4 × 4; it counts what it is asked for."""

    name, label, identity = "pooled", "pooled pixels", "pooled 1"

    def __init__(self):
        self.images = 0

    def encode(self, images):
        self.images += len(images)
        n, size = images.shape[:2]
        blocks = images.reshape(n, 4, size // 4, 4, size // 4, 3)
        return (blocks.mean(axis=(2, 4)).reshape(n, -1) / 255).astype(np.float32)


def test_features_of_all_turns_are_those_of_the_turned_patches(training):
    images = training[0][:5]
    features = FrozenInputs(SETTINGS, Pooled()).read(images)
    assert features.shape == (5, 8, 48)
    expected = Pooled().encode(np.rot90(images, 3, axes=(1, 2))[:, :, ::-1])
    np.testing.assert_array_equal(features[:, 7], expected)
    np.testing.assert_array_equal(features[:, 0], Pooled().encode(images))
    assert len(np.unique(features[0], axis=0)) == 8
    upright = replace(SETTINGS, augment=False, average_turns=False)
    assert FrozenInputs(upright, Pooled()).read(images).shape == (5, 1, 48)


def test_each_image_is_encoded_once_for_all_folds_ratios_and_restarts(
    training, synthetic, tmp_path
):
    encoder = Pooled()

    def fit(pairs):
        kept = {"encoder": encoder, "synthetic": pairs, "directory": tmp_path / "run"}
        return CrossFittedNetwork.fit(*training, SETTINGS, **kept)

    first = fit(synthetic)
    assert encoder.images == 8 * (len(training[0]) + len(synthetic))
    again = fit(synthetic)
    assert encoder.images == 8 * (len(training[0]) + len(synthetic))
    np.testing.assert_array_equal(again.out_of_fold, first.out_of_fold)


def test_a_head_standardises_and_starts_at_the_training_mean():
    features = np.random.default_rng(0).normal(7, 3, (50, 6))
    features[:, 2] = 5.0
    for width in (0, 4):
        head = FrozenHead(6, 3, width)
        head.standardise(features)
        scaled = (torch.from_numpy(features) - head.mean) / head.scale
        np.testing.assert_allclose(scaled.std(dim=0, correction=0)[[0, 1, 3]], 1, rtol=1e-5)
        assert scaled[:, 2].abs().max() < 1e-5
        assert head(torch.from_numpy(features).float()).abs().max() < 1.0
        far = torch.full((1, 6), 1e6)
        torch.testing.assert_close(head(far), head(10 * far))


@pytest.mark.parametrize("width", [0, 5])
def test_round_trip_and_only_with_the_encoder_that_it_was_trained_on(training, tmp_path, width):
    fitted = CrossFittedNetwork.fit(
        *training, replace(SETTINGS, head_width=width), encoder=Pooled()
    )
    fitted.save(tmp_path / "networks")
    images = training[0][:5]
    loaded = CrossFittedNetwork.load(tmp_path / "networks", encoder=Pooled())
    np.testing.assert_array_equal(loaded.predict(images), fitted.predict(images))
    loaded.save(tmp_path / "again")
    other = Pooled()
    other.label = "pooled pixels of another scale"
    with pytest.raises(InputError, match="another encoder"):
        CrossFittedNetwork.load(tmp_path / "again", encoder=other)
    nameless = CrossFittedNetwork.load(tmp_path / "again")
    np.testing.assert_array_equal(nameless.out_of_fold, fitted.out_of_fold)
    with pytest.raises(InputError, match="pooled"):
        nameless.predict(images)


def test_an_encoder_of_the_registry_is_found_again(training, tmp_path):
    from c2lst.evaluation.encoders import get_encoder

    fitted = CrossFittedNetwork.fit(*training, SETTINGS, encoder=get_encoder("random"))
    fitted.save(tmp_path / "networks")
    images = training[0][:3]
    loaded = CrossFittedNetwork.load(tmp_path / "networks")
    np.testing.assert_allclose(loaded.predict(images), fitted.predict(images), rtol=1e-6)


def central_model(seed):
    torch.manual_seed(seed)
    return CentralModel(build_unet(SHAPE).eval(), NoiseProcess(), 112.0, StainReference.standard())


def test_a_central_model_is_an_encoder_and_is_asked_for_again(training, tmp_path):
    central, other = central_model(0), central_model(1)
    chosen = replace(SETTINGS, encoder="central")
    fitted = CrossFittedNetwork.fit(*training, chosen, encoder=CentralEncoder(central))
    fitted.save(tmp_path / "networks")
    with pytest.raises(InputError, match=f"central model {central.hash[:12]}"):
        CrossFittedNetwork.load(tmp_path / "networks").predict(training[0])
    with pytest.raises(InputError, match="another encoder"):
        CrossFittedNetwork.load(tmp_path / "networks", central=other)
    loaded = CrossFittedNetwork.load(tmp_path / "networks", central=central)
    images = training[0][:3]
    np.testing.assert_array_equal(loaded.predict(images), fitted.predict(images))


def test_central_models_of_other_weights_share_no_kept_features(training, tmp_path):
    chosen, found = replace(SETTINGS, encoder="central"), []
    for seed in (0, 1):
        central_model(seed).save(tmp_path / f"{seed}")
        encoder = encoder_of(chosen, tmp_path / f"{seed}", kept=tmp_path / "kept")
        found.append(encoder.encode(training[0][:2]))
        again = encoder_of(chosen, tmp_path / f"{seed}", kept=tmp_path / "kept")
        np.testing.assert_array_equal(again.encode(training[0][:2]), found[-1])
    assert len(list((tmp_path / "kept").iterdir())) == 2
    assert not np.allclose(*found)


def test_settings_name_a_network_and_an_encoder_that_are_there(tmp_path):
    check_network(replace(SETTINGS, encoder="central"))
    assert encoder_of(replace(SETTINGS, network="resnet-tiny"), tmp_path) is None
    with pytest.raises(InputError, match=r"clip.*central, imagenet, random"):
        check_network(replace(SETTINGS, encoder="clip"))
    with pytest.raises(InputError, match=r"is of a frozen network.*resnet-tiny"):
        check_network(replace(SETTINGS, network="resnet-tiny", encoder="central"))
    with pytest.raises(InputError, match=r"vgg.*frozen"):
        check_network(replace(SETTINGS, network="vgg"))


def test_what_a_frozen_network_cannot_do_is_refused(training):
    with pytest.raises(InputError, match="encoder"):
        CrossFittedNetwork.fit(*training, SETTINGS)
    with pytest.raises(InputError, match="stain_jitter"):
        replace(SETTINGS, stain_jitter=0.1)


def test_a_held_out_spot_is_not_learnt_from_through_its_synthetic_pairs(training, synthetic):
    """The leak: what was made from a validation spot would tell the training its profile."""
    chosen = replace(SETTINGS, validation_share=0.3, patience=20, steps=60)

    def fit(pairs):
        return CrossFittedNetwork.fit(*training, chosen, synthetic=pairs, encoder=Pooled())

    fitted = fit(synthetic)
    assert all(kept_check(history) > 0 for history in fitted.histories)
    held = draw_validation(fitted.folds, 0, 0.3, chosen.seed) | (fitted.folds == 0)
    planted = synthetic.scaled.copy()
    planted[np.isin(synthetic.source_barcodes, training[2][held])] += 50
    other, own = fit(replace(synthetic, scaled=planted)), fitted.folds == 0
    np.testing.assert_array_equal(other.out_of_fold[own], fitted.out_of_fold[own])
    assert not np.allclose(other.out_of_fold[~own], fitted.out_of_fold[~own])


def simulate(profiles, rng):
    """Patches whose brightness follows a profile's first gene, under a pattern of their own."""
    pattern = rng.normal(0, 30, (len(profiles), 4, 4, 3)).repeat(4, axis=1).repeat(4, axis=2)
    bright = 128 + 10 * profiles[:, :1, None, None]
    return np.clip(bright + pattern, 0, 255).astype(np.uint8)


def test_synthetic_pairs_help_by_their_pairing_alone():
    rng = np.random.default_rng(0)
    profiles = np.repeat(rng.normal(size=(32 + 200, 1)), 3, axis=1).astype(np.float32)
    images, train = simulate(profiles, rng), slice(0, 32)
    barcodes = np.array([f"spot-{i}" for i in range(32)])
    rows = np.repeat(np.arange(32), 8)
    pairs = SyntheticPairs(
        images=simulate(profiles[rows], rng),
        scaled=profiles[rows],
        lognorm=profiles[rows],
        source_barcodes=barcodes[rows],
        seeds=np.arange(len(rows)),
        guidance_scale=1.0,
        sampler="simulated",
    )
    chosen = replace(SETTINGS, steps=100, batch_size=16)

    def error(synthetic):
        fitted = CrossFittedNetwork.fit(
            images[train], profiles[train], barcodes, chosen, synthetic=synthetic, encoder=Pooled()
        )
        return np.abs(fitted.predict(images[32:]) - profiles[32:]).mean()

    alone = error(None)
    assert error(pairs) < 0.95 * alone
    assert error(shuffled_genes(pairs)) > alone
