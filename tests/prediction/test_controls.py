from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from c2lst.data.synthetic import SyntheticPairs
from c2lst.errors import InputError
from c2lst.prediction.controls import (
    duplicated,
    neighbour_mixup,
    real_pairs,
    shuffled_genes,
    strongly_augmented,
)
from c2lst.prediction.cotraining import CotrainingSettings, CrossFittedNetwork
from c2lst.prediction.folds import synthetic_outside


@pytest.fixture(scope="module")
def real(section, split, preprocessing) -> SyntheticPairs:
    return real_pairs(section, split, preprocessing)


def pairs_of(sources: list[str]) -> SyntheticPairs:
    """Pairs whose first pixel and every gene tell their row."""
    rows = np.arange(len(sources))
    images = np.zeros((len(rows), 4, 4, 3), np.uint8)
    images[:, 0, 0, 0] = rows
    profiles = np.tile(rows[:, None], (1, 3)).astype(np.float32)
    return SyntheticPairs(images, profiles, profiles + 1, np.array(sources), rows, 2.0, "fast")


def test_real_pairs_are_the_training_spots(real, section, split, preprocessing):
    spots = split.training(section)
    np.testing.assert_array_equal(real.source_barcodes, spots.barcodes)
    np.testing.assert_array_equal(real.images, preprocessing.images(spots))
    np.testing.assert_array_equal(real.scaled, preprocessing.expression(spots))
    assert not np.isin(real.source_barcodes, split.test).any()


def test_duplicates_hold_every_pair_alike(real):
    twice = duplicated(real, 2)
    np.testing.assert_array_equal(twice.images[len(real) :], real.images)
    np.testing.assert_array_equal(twice.scaled[: len(real)], real.scaled)
    assert twice.provenance["control"] == {"name": "duplicated", "copies": 2}
    assert real.provenance["control"] == {"name": "real"}


def test_strong_augmentation_changes_images_alone(real, preprocessing):
    changed = strongly_augmented(real, 3, preprocessing.stain, seed=4)
    again = strongly_augmented(real, 3, preprocessing.stain, seed=4)
    other = strongly_augmented(real, 3, preprocessing.stain, seed=5)
    np.testing.assert_array_equal(changed.images, again.images)
    assert (changed.images != other.images).any()
    np.testing.assert_array_equal(changed.scaled, np.tile(real.scaled, (3, 1)))
    first, second = changed.images[: len(real)], changed.images[len(real) : 2 * len(real)]
    assert (first != second).any(axis=(1, 2, 3)).mean() > 0.9
    unstained = strongly_augmented(real, 1, preprocessing.stain, strength=0.0, seed=4)
    for before, after in zip(real.images, unstained.images, strict=True):
        ways = [np.rot90(x, turn) for x in (before, before[:, ::-1]) for turn in range(4)]
        assert any(np.array_equal(after, way) for way in ways)


def test_mixtures_lie_between_neighbours(real, section, split):
    centres = split.training(section).centres_um
    mixed = neighbour_mixup(real, centres, 4, seed=1)
    assert len(mixed) == 4 * len(real)
    row = {barcode: i for i, barcode in enumerate(real.source_barcodes)}
    order = np.sort(np.linalg.norm(centres[:, None] - centres[None], axis=2), axis=1)
    for i, source in enumerate(mixed.source_barcodes):
        a, b = (row[name] for name in source.split("+"))
        assert a != b
        assert np.linalg.norm(centres[a] - centres[b]) <= order[a, 6] + 1e-6
        difference = real.scaled[a] - real.scaled[b]
        share = ((mixed.scaled[i] - real.scaled[b]) @ difference) / (difference @ difference)
        assert -1e-5 <= share <= 1 + 1e-5
        for values in ("scaled", "lognorm", "images"):
            first, second = (getattr(real, values)[j].astype(float) for j in (a, b))
            expected = share * first + (1 - share) * second
            np.testing.assert_allclose(getattr(mixed, values)[i], expected, atol=0.51)


def test_mixup_of_coinciding_spots_takes_another_spot():
    pairs = pairs_of([f"s{i}" for i in range(9)])
    mixed = neighbour_mixup(pairs, np.zeros((9, 2)), 3)
    assert all(a != b for a, b in (s.split("+") for s in mixed.source_barcodes))
    with pytest.raises(InputError, match="two spots"):
        neighbour_mixup(pairs_of(["a"]), np.zeros((1, 2)), 1)


@settings(deadline=None)
@given(
    st.integers(2, 6).flatmap(lambda n: st.lists(st.integers(0, n), min_size=4, max_size=40)),
    st.integers(0, 99),
)
def test_shuffled_profiles_never_stay_with_their_spot(numbers, seed):
    sources = [f"s{i}" for i in numbers]
    pairs = pairs_of(sources)
    if 2 * max(np.bincount(numbers)) > len(numbers):
        with pytest.raises(InputError, match="too many pairs"):
            shuffled_genes(pairs, seed=seed)
        return
    dealt = shuffled_genes(pairs, seed=seed)
    taken = dealt.scaled[:, 0].astype(int)
    assert sorted(taken) == list(range(len(sources)))
    np.testing.assert_array_equal(dealt.images, pairs.images)
    np.testing.assert_array_equal(dealt.lognorm, dealt.scaled + 1)
    for own, other, both in zip(sources, taken, dealt.source_barcodes, strict=True):
        assert own != sources[other]
        assert both == f"{own}+{sources[other]}"


def test_shuffling_knows_both_parents_of_a_pair():
    sources = ["a+b", "b+c", "c+d", "d+a", "a+c", "b+d"]
    dealt = shuffled_genes(pairs_of(sources))
    for source in dealt.source_barcodes:
        assert len(set(source.split("+"))) == 4


def test_counts_and_missing_genes_go_with_their_profile():
    sources = ["a", "b", "c"]
    pairs = pairs_of(sources)
    scaled, lognorm = pairs.scaled.copy(), pairs.lognorm.copy()
    scaled[0, 1] = lognorm[0, 1] = np.nan
    pairs = replace(pairs, scaled=scaled, lognorm=lognorm, counts=pairs.scaled * 10)
    dealt = shuffled_genes(pairs)
    np.testing.assert_array_equal(dealt.counts[:, 0], 10 * dealt.scaled[:, 0])
    assert np.isnan(dealt.scaled[:, 1]).sum() == 1


def test_folds_see_no_control_that_holds_anything_of_their_spots(real, section, split):
    """The leak: a mixture, or a dealt profile, carries a hidden spot into training."""
    centres = split.training(section).centres_um
    for control in (shuffled_genes(duplicated(real, 2)), neighbour_mixup(real, centres, 2)):
        hidden = real.source_barcodes[:5]
        outside = control.subset(
            np.flatnonzero(synthetic_outside(control, real.source_barcodes, hidden))
        )
        rows = {tuple(profile) for profile in real.scaled[:5].tolist()}
        assert not rows & {tuple(profile) for profile in outside.scaled.tolist()}
        assert not (outside.images[:, None] == real.images[:5]).all(axis=(2, 3, 4)).any()


def test_controls_can_be_co_trained_on(real, section, split, preprocessing):
    chosen = CotrainingSettings(folds=2, steps=2, batch_size=8)
    centres = split.training(section).centres_um
    for control in (
        duplicated(real, 2),
        neighbour_mixup(real, centres, 2),
        shuffled_genes(real),
        strongly_augmented(real, 2, preprocessing.stain),
    ):
        fitted = CrossFittedNetwork.fit(
            real.images, real.scaled, real.source_barcodes, chosen, synthetic=control
        )
        assert fitted.synthetic_pairs == len(control)


def test_no_copies_are_refused(real):
    with pytest.raises(InputError, match="copies"):
        duplicated(real, 0)
