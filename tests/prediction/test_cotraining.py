from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from c2lst.errors import InputError
from c2lst.prediction import cotraining
from c2lst.prediction.cotraining import CotrainingSettings, CrossFittedNetwork
from c2lst.prediction.networks import ARCHITECTURES, predict_patches

SETTINGS = CotrainingSettings(folds=3, steps=6, batch_size=8, seed=2)


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


def test_spots_that_none_of_them_saw_are_predicted_by_the_mean_of_all(twin, training):
    each = [predict_patches(network, training[0][:4]) for network in twin.networks]
    np.testing.assert_allclose(twin.predict(training[0][:4]), np.mean(each, axis=0), atol=1e-5)
    assert not np.allclose(each[0], each[1])


def test_spots_that_end_a_training_are_not_learnt_from(training, monkeypatch):
    met, fit = [], cotraining.fit_network

    def noted(inputs, source, *given, held_out, **options):
        met.append((set(source.real.rows), set(held_out.rows)))
        return fit(inputs, source, *given, held_out=held_out, **options)

    monkeypatch.setattr(cotraining, "fit_network", noted)
    CrossFittedNetwork.fit(*training, replace(SETTINGS, steps=1, validation_share=0.3))
    for learnt, watched in met:
        assert watched and learnt and not learnt & watched


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


def test_round_trip(tmp_path, cotrained, training):
    cotrained.save(tmp_path / "networks")
    loaded = CrossFittedNetwork.load(tmp_path / "networks")
    images = training[0][:5]
    np.testing.assert_array_equal(loaded.predict(images), cotrained.predict(images))
    np.testing.assert_array_equal(loaded.out_of_fold, cotrained.out_of_fold)
    assert loaded.settings == SETTINGS
    with pytest.raises(InputError, match="another size"):
        loaded.predict(images[:, :8, :8])


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_every_kind_of_network_is_read_back(tmp_path, training, kind):
    images, targets, barcodes = training
    chosen = replace(SETTINGS, network=kind, folds=2, steps=1, batch_size=2)
    fitted = CrossFittedNetwork.fit(images[:6], targets[:6], barcodes[:6], chosen)
    fitted.save(tmp_path / kind)
    loaded = CrossFittedNetwork.load(tmp_path / kind)
    np.testing.assert_array_equal(loaded.predict(images[:2]), fitted.predict(images[:2]))


def test_a_ratio_limits_the_pairs_and_the_share_says_how_often_they_are_met(training, synthetic):
    one = CrossFittedNetwork.fit(
        *training, replace(SETTINGS, synthetic_ratio=1), synthetic=synthetic
    )
    assert one.synthetic_pairs == len(training[0]) == len(synthetic) // 2


def test_without_averaging_a_prediction_follows_the_turn_of_the_patch(training, twin):
    images = training[0][:4]
    turned = np.rot90(images, axes=(1, 2)).copy()
    upright = replace(
        twin, inputs=replace(twin.inputs, settings=replace(SETTINGS, average_turns=False))
    )
    np.testing.assert_allclose(twin.predict(turned), twin.predict(images), atol=1e-5)
    assert not np.allclose(upright.predict(turned), upright.predict(images), atol=1e-5)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("folds", 1),
        ("synthetic_share", 1.5),
        ("final_share", -0.1),
        ("synthetic_ratio", 0),
        ("synthetic_ratio", "3"),
        ("synthetic_weight", float("nan")),
        ("curriculum", "sudden"),
        ("stain_jitter", 2.0),
        ("validation_share", 1.0),
        ("patience", 0),
        ("head_width", -1),
    ],
)
def test_settings_out_of_range_are_refused(name, value):
    with pytest.raises(InputError, match=name):
        CotrainingSettings(**{name: value})
