from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from c2lst.diffusion.stopping import kept_check
from c2lst.errors import InputError
from c2lst.prediction.cotraining import CotrainingSettings, CrossFittedNetwork
from c2lst.prediction.fitting import fit_network, inputs_for
from c2lst.prediction.folds import visible_pairs
from c2lst.prediction.inputs import AbsoluteError
from c2lst.prediction.pairs import Pairs, PairSource
from toy_training import KilledError, same, weights

SETTINGS = CotrainingSettings(folds=2, steps=20, batch_size=8, learning_rate=3e-3, seed=2)


@pytest.fixture
def few_checkpoints(monkeypatch):
    """Checkpoints every four steps."""
    plain = CotrainingSettings.training
    monkeypatch.setattr(
        CotrainingSettings,
        "training",
        lambda self, fold: replace(plain(self, fold), checkpoint_every=4),
    )


def fit(training, synthetic, chosen, directory=None):
    images, targets, barcodes = training
    real = Pairs.all_of(images, targets)
    held_out = np.arange(len(images)) % 4 == 0
    source = visible_pairs(
        real,
        barcodes,
        held_out,
        chosen,
        synthetic,
        Pairs.all_of(synthetic.images, synthetic.scaled),
    )
    watched = real.where(held_out) if chosen.validation_share else None
    return fit_network(inputs_for(chosen), source, chosen, held_out=watched, directory=directory)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"curriculum": "cosine", "synthetic_share": 1.0},
        {"validation_share": 0.25, "patience": 20},
        {"validation_share": 0.25, "patience": 20, "curriculum": "linear", "precision": "bf16"},
    ],
)
@pytest.mark.parametrize("killed_at", [1, 9, 18])
def test_a_killed_training_ends_bit_for_bit_like_the_uninterrupted(
    training, synthetic, tmp_path, monkeypatch, few_checkpoints, options, killed_at
):
    chosen = replace(SETTINGS, **options)
    whole, history = fit(training, synthetic, chosen)
    varied, calls = AbsoluteError.__call__, iter(range(-1, 1000))

    def dying(self, model, batch, draws):
        if model.training and next(calls) == killed_at:
            raise KilledError
        return varied(self, model, batch, draws)

    with monkeypatch.context() as patch, pytest.raises(KilledError):
        patch.setattr(AbsoluteError, "__call__", dying)
        fit(training, synthetic, chosen, tmp_path)
    resumed, again = fit(training, synthetic, chosen, tmp_path)
    assert same(weights(whole), weights(resumed))
    assert again == history


def test_a_training_is_not_continued_with_other_pairs_or_settings(training, synthetic, tmp_path):
    fit(training, synthetic, SETTINGS, tmp_path)
    changed = replace(synthetic, scaled=synthetic.scaled[::-1])
    with pytest.raises(InputError, match="pairs"):
        fit(training, changed, SETTINGS, tmp_path)
    with pytest.raises(InputError, match="cotraining"):
        fit(training, synthetic, replace(SETTINGS, synthetic_weight=0.5), tmp_path)


@pytest.mark.parametrize("curriculum", ["linear", "cosine"])
def test_every_update_has_the_share_that_its_step_is_due(
    training, synthetic, monkeypatch, curriculum
):
    chosen = replace(SETTINGS, curriculum=curriculum, synthetic_share=1.0, final_share=0.25)
    found, fetch = [], PairSource.fetch

    def noted(self, indices):
        found.append(self.synthetic_count(len(indices)))
        return fetch(self, indices)

    monkeypatch.setattr(PairSource, "fetch", noted)
    fit(training, synthetic, chosen)
    # Before, one pair is fetched to say what an image costs.
    assert found[-20:] == [round(8 * chosen.share_at(step)) for step in range(20)]
    assert (found[-20], found[-1]) == (8, 2)
    assert np.all(np.diff(found[-20:]) <= 0)


@pytest.mark.parametrize(
    ("curriculum", "shares"),
    [
        ("constant", [0.8, 0.8, 0.8]),
        ("linear", [0.8, 0.5, 0.2]),
        ("cosine", [0.8, 0.5, 0.2]),
    ],
)
def test_a_share_goes_from_its_start_to_its_end(curriculum, shares):
    chosen = CotrainingSettings(
        steps=101, curriculum=curriculum, synthetic_share=0.8, final_share=0.2
    )
    np.testing.assert_allclose([chosen.share_at(step) for step in (0, 50, 100)], shares)
    if curriculum == "cosine":
        assert chosen.share_at(10) > replace(chosen, curriculum="linear").share_at(10)


def test_early_stopping_keeps_the_best_weights_and_the_twin_goes_by_the_same_rule(training):
    images, targets, barcodes = training
    noise = np.random.default_rng(0).normal(size=targets.shape)  # nothing can be learnt
    chosen = replace(SETTINGS, steps=60, validation_share=0.25, patience=3)
    fitted = CrossFittedNetwork.fit(images, noise, barcodes, chosen)
    for history in fitted.histories:
        best = kept_check(history)
        assert history.checked[-1] < 60 and len(history.checked) - 1 - best == 3
        assert history.held_out[best] == min(history.held_out)
    again = CrossFittedNetwork.fit(images, noise, barcodes, chosen)
    assert again.histories == fitted.histories


def test_what_was_checked_is_what_is_kept(training, synthetic):
    chosen = replace(SETTINGS, validation_share=0.25, average_turns=False)
    network, history = fit(training, synthetic, chosen)
    images, targets, _ = training
    held_out = np.arange(len(images)) % 4 == 0
    predicted = inputs_for(chosen).predict(network, images[held_out])
    error = np.abs(predicted - targets[held_out]).mean()
    assert error == pytest.approx(min(history.held_out), rel=1e-4)


def test_given_validation_spots_are_watched_and_all_others_learnt_from(training, monkeypatch):
    images, targets, barcodes = training
    lengths = []
    monkeypatch.setattr(
        PairSource,
        "fetch",
        lambda self, indices, fetch=PairSource.fetch: (
            lengths.append(len(self)),
            fetch(self, indices),
        )[1],
    )
    fitted = CrossFittedNetwork.fit(
        images[6:], targets[6:], barcodes[6:], SETTINGS, validation=(images[:6], targets[:6])
    )
    assert set(lengths) == {6, *(len(images[6:]) - np.bincount(fitted.folds))}
    assert all(h.checked for h in fitted.histories)


def test_stain_jitter_needs_a_stain_and_changes_the_training(training, preprocessing):
    chosen = replace(SETTINGS, steps=3, stain_jitter=0.2)
    with pytest.raises(InputError, match="stain"):
        CrossFittedNetwork.fit(*training, chosen)
    jittered = CrossFittedNetwork.fit(*training, chosen, stain=preprocessing.stain)
    plain = CrossFittedNetwork.fit(*training, replace(chosen, stain_jitter=0.0))
    assert not np.allclose(jittered.out_of_fold, plain.out_of_fold)
    assert torch.isfinite(torch.from_numpy(jittered.out_of_fold)).all()


def test_an_untrained_network_is_drawn_without_a_look_at_every_gpu(
    training, synthetic, monkeypatch
):
    """PyTorch's own default saves the state of each, and warns where there are several."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 8)
    fit(training, synthetic, replace(SETTINGS, steps=1))
