from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from c2lst.diffusion.draws import Draws
from c2lst.errors import InputError
from c2lst.prediction.cotraining import (
    AbsoluteError,
    CotrainingSettings,
    CrossFittedNetwork,
    PairSource,
    draw_folds,
    fold_source,
    synthetic_outside,
)
from c2lst.prediction.networks import predict_patches

SETTINGS = CotrainingSettings(folds=3, steps=6, batch_size=8, seed=2)


@pytest.fixture(scope="module")
def training(section, split, preprocessing):
    spots = split.training(section)
    return preprocessing.images(spots), preprocessing.expression(spots), spots.barcodes


def tagged(n: int, tag: int) -> np.ndarray:
    """Images that carry their index, and ``tag``, in their first pixel."""
    images = np.zeros((n, 16, 16, 3), dtype=np.uint8)
    images[:, 0, 0, 0], images[:, 0, 0, 1] = np.arange(n), tag
    return images


def source(real: int, synthetic: int, share: float) -> PairSource:
    return PairSource(
        tagged(real, 0),
        np.zeros((real, 2), np.float32),
        tagged(synthetic, 1),
        np.ones((synthetic, 2), np.float32),
        share,
        weight=0.25,
    )


@settings(deadline=None)
@given(
    st.integers(1, 9), st.integers(1, 30), st.sampled_from([0.25, 0.5, 0.75]), st.integers(2, 12)
)
def test_every_batch_has_the_stated_mix_with_matching_targets(real, synthetic, share, size):
    pairs = source(real, synthetic, share)
    batch = pairs.fetch(np.random.default_rng(size).integers(0, len(pairs), size))
    is_synthetic = batch["images"][:, 0, 0, 1] == 1
    assert is_synthetic.sum() == round(share * size)
    torch.testing.assert_close(batch["targets"][:, 0], is_synthetic.float())
    torch.testing.assert_close(batch["weights"], torch.where(is_synthetic, 0.25, 1.0))


def test_one_pass_meets_every_pair():
    pairs = source(4, 11, 0.5)
    ones = [pairs.fetch(np.array([i, i]))["images"][:, 0, 0, 0].tolist() for i in range(len(pairs))]
    assert {s for s, _ in ones} == set(range(11))
    assert np.bincount([r for _, r in ones]).tolist() == [3, 3, 3, 3]


def test_the_loss_is_the_mean_absolute_error_times_the_weight():
    class Zero(torch.nn.Module):
        def forward(self, images):
            return torch.zeros(len(images), 2)

    batch = source(2, 2, 0.5).fetch(np.array([0, 1, 2, 3]))
    loss = AbsoluteError()(Zero(), batch, Draws(0, 0, range(4)))
    torch.testing.assert_close(loss, torch.tensor([0.25, 0.25, 0.0, 0.0]))


def test_augmentation_depends_on_the_sample_not_the_batch():
    class Pixel(torch.nn.Module):
        def forward(self, images):
            return images[:, :2, 0, 0]

    batch = PairSource(
        np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3), dtype=np.uint8),
        np.zeros((4, 2), np.float32),
        np.zeros((0, 16, 16, 3), np.uint8),
        np.zeros((0, 2), np.float32),
    ).fetch(np.arange(4))
    whole = AbsoluteError()(Pixel(), batch, Draws(0, 5, range(4)))
    half = AbsoluteError()(Pixel(), {k: v[2:] for k, v in batch.items()}, Draws(0, 5, [2, 3]))
    torch.testing.assert_close(whole[2:], half)
    assert not torch.equal(whole, AbsoluteError()(Pixel(), batch, Draws(0, 6, range(4))))


@settings(deadline=None)
@given(st.integers(4, 60), st.integers(2, 8), st.integers(0, 99))
def test_folds_are_even_seeded_and_complete(n, folds, seed):
    fold = draw_folds(n, folds, seed)
    sizes = np.bincount(fold)
    assert len(sizes) == min(folds, n)
    assert sizes.max() - sizes.min() <= 1
    np.testing.assert_array_equal(fold, draw_folds(n, folds, seed))


def test_a_fold_sees_none_of_its_spots_real_or_synthetic(training, synthetic):
    images, targets, barcodes = training
    folds = draw_folds(len(images), 3, 0)
    for fold in range(3):
        pairs = fold_source(images, targets, barcodes, folds, fold, SETTINGS, synthetic)
        hidden = folds == fold
        assert len(pairs.images) == (~hidden).sum()
        assert not (pairs.images[:, None] == images[hidden]).all(axis=(2, 3, 4)).any()
        of_hidden = np.isin(synthetic.source_barcodes, barcodes[hidden])
        assert len(pairs.synthetic_images) == (~of_hidden).sum()
        seen = (pairs.synthetic_images[:, None] == synthetic.images[of_hidden]).all(axis=(2, 3, 4))
        assert not seen.any()


def test_a_leak_through_a_second_parent_is_closed(synthetic, training):
    barcodes = training[2]
    sources = synthetic.source_barcodes.astype("<U64")
    sources[0] = f"{barcodes[5]}+{barcodes[9]}"
    pairs = replace(synthetic, source_barcodes=sources)
    assert not synthetic_outside(pairs, barcodes, barcodes[[9]])[0]
    assert not synthetic_outside(pairs, barcodes, barcodes[[5]])[0]
    assert synthetic_outside(pairs, barcodes, barcodes[[7]])[0]


def test_pairs_made_from_a_test_spot_are_refused(training, synthetic, split):
    sources = synthetic.source_barcodes.copy()
    sources[3] = split.test[0]
    leaking = replace(synthetic, source_barcodes=sources)
    with pytest.raises(InputError, match="not training spots"):
        CrossFittedNetwork.fit(*training, SETTINGS, synthetic=leaking)


def test_pairs_of_other_genes_or_sizes_are_refused(training, synthetic):
    images, targets, barcodes = training
    with pytest.raises(InputError, match="number of genes"):
        CrossFittedNetwork.fit(images, targets[:, 1:], barcodes, SETTINGS, synthetic=synthetic)
    with pytest.raises(InputError, match="another size"):
        bigger = np.repeat(np.repeat(images, 2, axis=1), 2, axis=2)
        CrossFittedNetwork.fit(bigger, targets, barcodes, SETTINGS, synthetic=synthetic)
    with pytest.raises(InputError, match="too few"):
        CrossFittedNetwork.fit(images[:3], targets[:3], barcodes[:3], SETTINGS)


@pytest.fixture(scope="module")
def cotrained(training, synthetic):
    return CrossFittedNetwork.fit(*training, SETTINGS, synthetic=synthetic)


@pytest.fixture(scope="module")
def twin(training):
    return CrossFittedNetwork.fit(*training, SETTINGS)


def test_the_twin_has_the_same_number_of_steps(cotrained, twin):
    assert [h.steps[-1] for h in cotrained.histories] == [SETTINGS.steps] * 3
    assert [h.steps[-1] for h in twin.histories] == [SETTINGS.steps] * 3
    assert twin.synthetic_pairs == 0 < cotrained.synthetic_pairs
    assert not np.allclose(cotrained.out_of_fold, twin.out_of_fold)


def test_out_of_fold_predictions_come_from_the_network_that_did_not_see_the_spot(twin, training):
    images = training[0]
    for fold, network in enumerate(twin.networks):
        own = twin.folds == fold
        np.testing.assert_allclose(
            twin.out_of_fold[own], predict_patches(network, images[own]), atol=1e-5
        )


def test_changing_a_hidden_target_changes_nothing_of_its_own_fold(twin, training):
    images, targets, barcodes = training
    changed = targets.copy()
    changed[twin.folds == 0] += 5
    other = CrossFittedNetwork.fit(images, changed, barcodes, SETTINGS)
    own = twin.folds == 0
    np.testing.assert_array_equal(other.out_of_fold[own], twin.out_of_fold[own])
    assert not np.allclose(other.out_of_fold[~own], twin.out_of_fold[~own])


def test_training_learns_what_the_image_shows(training):
    images, targets, barcodes = training
    chosen = replace(SETTINGS, steps=60, learning_rate=3e-3, folds=2)
    fitted = CrossFittedNetwork.fit(images, targets, barcodes, chosen)
    correlation = [np.corrcoef(targets[:, g], fitted.out_of_fold[:, g])[0, 1] for g in range(12)]
    assert np.mean(correlation) > 0.4


def test_synthetic_only_sees_no_real_image(training, synthetic):
    folds = draw_folds(len(training[0]), 3, 0)
    chosen = replace(SETTINGS, synthetic_share=1.0)
    pairs = fold_source(*training, folds, 0, chosen, synthetic)
    assert len(pairs.images) == 0
    assert (pairs.fetch(np.arange(6))["weights"] == 1).all()


def test_round_trip(tmp_path, cotrained, training):
    cotrained.save(tmp_path / "networks")
    loaded = CrossFittedNetwork.load(tmp_path / "networks")
    images = training[0][:5]
    np.testing.assert_array_equal(loaded.predict(images), cotrained.predict(images))
    np.testing.assert_array_equal(loaded.out_of_fold, cotrained.out_of_fold)
    assert loaded.settings == SETTINGS
    with pytest.raises(InputError, match="another size"):
        loaded.predict(images[:, :8, :8])


def test_settings_out_of_range_are_refused():
    with pytest.raises(InputError, match="folds"):
        CotrainingSettings(folds=1)
    with pytest.raises(InputError, match="share"):
        CotrainingSettings(synthetic_share=1.5)
