from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from c2lst.errors import InputError
from c2lst.prediction.cotraining import CotrainingSettings, CrossFittedNetwork
from c2lst.prediction.folds import (
    draw_folds,
    draw_validation,
    first_pairs,
    synthetic_outside,
    visible_pairs,
)
from c2lst.prediction.pairs import Pairs

SETTINGS = CotrainingSettings(folds=3, steps=6, batch_size=8, seed=2)


@settings(deadline=None)
@given(st.integers(4, 60), st.integers(2, 8), st.integers(0, 99))
def test_folds_are_even_seeded_and_complete(n, folds, seed):
    fold = draw_folds(n, folds, seed)
    sizes = np.bincount(fold)
    assert len(sizes) == min(folds, n)
    assert sizes.max() - sizes.min() <= 1
    np.testing.assert_array_equal(fold, draw_folds(n, folds, seed))


@settings(deadline=None)
@given(st.integers(4, 60), st.integers(2, 8), st.floats(0.01, 0.99), st.integers(0, 99))
def test_held_out_spots_are_outside_their_fold_and_leave_some_to_learn_from(n, folds, share, seed):
    fold = draw_folds(n, folds, seed)
    held = draw_validation(fold, 1, share, seed)
    learnt = (fold != 1) & ~held
    assert not held[fold == 1].any() and learnt.sum() >= 2
    if (fold != 1).sum() > 2:
        assert held.any()
    np.testing.assert_array_equal(held, draw_validation(fold, 1, share, seed))
    assert not draw_validation(fold, 1, 0.0, seed).any()


def visible(training, hidden, chosen, synthetic):
    images, targets, barcodes = training
    drawn = Pairs.all_of(synthetic.images, synthetic.scaled)
    return visible_pairs(Pairs.all_of(images, targets), barcodes, hidden, chosen, synthetic, drawn)


def test_a_network_sees_none_of_its_hidden_spots_real_or_synthetic(training, synthetic):
    images, _, barcodes = training
    folds = draw_folds(len(images), 3, 0)
    for fold in range(3):
        hidden = folds == fold
        pairs = visible(training, hidden, SETTINGS, synthetic)
        real, _ = pairs.real.take(np.arange(len(pairs.real)))
        drawn, _ = pairs.synthetic.take(np.arange(len(pairs.synthetic)))
        assert len(real) == (~hidden).sum()
        assert not (real[:, None] == images[hidden]).all(axis=(2, 3, 4)).any()
        of_hidden = np.isin(synthetic.source_barcodes, barcodes[hidden])
        assert len(drawn) == (~of_hidden).sum()
        assert not (drawn[:, None] == synthetic.images[of_hidden]).all(axis=(2, 3, 4)).any()


def test_synthetic_only_sees_no_real_image_unless_a_curriculum_ends_with_some(training, synthetic):
    hidden = draw_folds(len(training[0]), 3, 0) == 0
    only = replace(SETTINGS, synthetic_share=1.0)
    assert len(visible(training, hidden, only, synthetic).real) == 0
    falling = replace(only, curriculum="linear")
    pairs = visible(training, hidden, falling, synthetic)
    assert len(pairs.real) == (~hidden).sum()
    assert (pairs.at(5).fetch(np.arange(6))["weights"] == 1).all()


def test_no_share_of_synthetic_pairs_is_the_twin(training, synthetic):
    hidden = draw_folds(len(training[0]), 3, 0) == 0
    pairs = visible(training, hidden, replace(SETTINGS, synthetic_share=0.0), synthetic)
    assert len(pairs.synthetic) == 0 and len(pairs) == (~hidden).sum()


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


def test_a_ratio_takes_as_many_pairs_of_every_spot_and_smaller_ones_are_nested(
    training, synthetic, caplog
):
    barcodes, rng = training[2], np.random.default_rng(0)
    shuffled = synthetic.subset(rng.permutation(len(synthetic)))
    one, two = (first_pairs(shuffled, barcodes, ratio) for ratio in (1, 2))
    assert sorted(one.source_barcodes) == sorted(barcodes)
    assert set(one.seeds) < set(two.seeds) and len(two) == 2 * len(barcodes)
    assert not caplog.records
    assert len(first_pairs(shuffled, barcodes, 5)) == len(synthetic)
    assert "fewer than 5" in caplog.text


def test_a_pair_of_two_parents_counts_for_its_first(training, synthetic):
    barcodes = training[2]
    mixed = replace(
        synthetic,
        source_barcodes=np.char.add(synthetic.source_barcodes.astype("<U64"), f"+{barcodes[0]}"),
    )
    assert len(first_pairs(mixed, barcodes, 1)) == len(barcodes)


def test_pairs_of_other_genes_or_sizes_are_refused(training, synthetic):
    images, targets, barcodes = training
    with pytest.raises(InputError, match="number of genes"):
        CrossFittedNetwork.fit(images, targets[:, 1:], barcodes, SETTINGS, synthetic=synthetic)
    with pytest.raises(InputError, match="another size"):
        bigger = np.repeat(np.repeat(images, 2, axis=1), 2, axis=2)
        CrossFittedNetwork.fit(bigger, targets, barcodes, SETTINGS, synthetic=synthetic)
    with pytest.raises(InputError, match="too few"):
        CrossFittedNetwork.fit(images[:3], targets[:3], barcodes[:3], SETTINGS)
