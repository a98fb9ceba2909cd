from __future__ import annotations

import numpy as np
import pytest

from c2lst.prediction.crossfit import block_folds, fold_sets, gaps, left_out, random_folds


def lattice(side: int) -> np.ndarray:
    return np.argwhere(np.ones((side, side))) * 100.0


@pytest.mark.parametrize("parts", [2, 4, 8])
def test_blocks_are_alike_in_size_and_leave_wider_gaps_than_random_folds(parts):
    xy = lattice(12)
    fold = block_folds(xy, parts)
    sizes = np.bincount(fold)
    assert len(sizes) == parts
    assert np.ptp(sizes) <= 1
    assert gaps(xy, fold).mean() > 1.5 * gaps(xy, random_folds(len(xy), 0)).mean()


def test_larger_blocks_are_added_only_for_spots_that_are_farther_away():
    xy = lattice(12)
    assert len(fold_sets(xy, np.full(50, 100.0), 0)) == 1
    assert len(fold_sets(xy, np.array([]), 0)) == 1
    far = fold_sets(xy, np.full(50, 450.0), 0)
    assert len(far) > 1
    assert np.quantile(gaps(xy, far[-1]), 0.9) >= 450
    assert all(np.quantile(gaps(xy, fold), 0.9) < 450 for fold in far[:-1])


def test_nine_spots_are_left_out_one_by_one():
    assert np.bincount(random_folds(9, 0)).tolist() == [1] * 9
    assert len(fold_sets(lattice(3), np.full(100, 1e4), 0)) == 1


def test_no_spot_is_predicted_by_a_refit_that_saw_it():
    xy, seen = lattice(5), []
    y = np.random.default_rng(0).normal(size=(25, 2))

    def refit(rows, out):
        assert not set(rows) & set(out)
        assert len(rows) + len(out) == 25
        seen.extend(out)
        return np.tile(y[rows].mean(axis=0), (len(out), 1)), np.ones((len(out), 2))

    sets = [random_folds(25, 0), block_folds(xy, 2)]
    found = left_out(refit, xy, sets)
    assert sorted(seen) == sorted(list(range(25)) * 2)
    assert found.spots.tolist() == list(range(25)) * 2
    assert found.mean.shape == (50, 2)
    np.testing.assert_array_equal(found.distance, np.concatenate([gaps(xy, s) for s in sets]))
    assert len(found.first(25).mean) == 25
