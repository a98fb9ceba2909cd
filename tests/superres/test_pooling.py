"""Spots from bins: what is kept, and where."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from c2lst.superres.consistency import disagreement, project
from c2lst.superres.pooling import disc, pool_sum, spot_counts, spread

SHAPES = st.tuples(st.integers(3, 17), st.integers(3, 17), st.integers(2, 6), st.integers(0, 999))


def draw(height: int, width: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.poisson(0.7, (2, height, width)).astype(np.float32)


@given(SHAPES)
def test_squares_keep_all_counts(case):
    height, width, scale, seed = case
    counts = draw(height, width, seed)
    spots = spot_counts(counts, scale)
    assert spots.shape == (2, -(-height // scale), -(-width // scale))
    np.testing.assert_allclose(spots.sum(axis=(1, 2)), counts.sum(axis=(1, 2)))


@given(SHAPES)
def test_a_spot_counts_its_own_bins(case):
    height, width, scale, seed = case
    counts = draw(height, width, seed)
    assert spot_counts(counts, scale)[0, 0, 0] == counts[0, :scale, :scale].sum()


def test_discs_have_the_area_of_55_um_spots_on_100_um_squares():
    for scale in (2, 3, 4, 5, 10, 100):
        assert disc(scale).mean() == pytest.approx(np.pi / 4 * 0.55**2, rel=2e-3)
    assert (disc(10) == disc(10)[::-1]).all() and (disc(10) == disc(10).T).all()


def test_discs_count_less_than_squares_and_only_within():
    counts = np.ones((1, 20, 20), dtype=np.float32)
    np.testing.assert_allclose(spot_counts(counts, 10, "discs"), disc(10).sum(), rtol=1e-5)
    counts[0, 0, 0] = 50  # a corner, outside the disc
    np.testing.assert_allclose(spot_counts(counts, 10, "discs"), disc(10).sum(), rtol=1e-5)


@pytest.mark.parametrize("scale", [2, 5, 10])
def test_counts_of_discs_mean_the_same_at_any_scale(scale):
    # Spots counted on bins of 10 to the side, bins wanted on others: as pooled maps have it.
    spots = spot_counts(np.ones((1, 20, 20), dtype=np.float32), 10, "discs")
    per_bin = (10 / scale) ** 2
    side = 2 * scale
    tissue = np.ones((side, side), dtype=bool)
    for start in (np.zeros, np.ones):
        found = project(start((1, side, side), dtype=np.float32), spots, tissue, scale, "discs")
        inside = np.tile(disc(scale) > 0, (2, 2))
        assert inside.any()
        np.testing.assert_allclose(found[0, inside], per_bin, rtol=3e-3)


@given(SHAPES)
def test_spreading_and_pooling_is_the_identity_times_the_area(case):
    height, width, scale, seed = case
    values = draw(height, width, seed)
    np.testing.assert_allclose(pool_sum(spread(values, scale), scale), values * scale**2)


@given(SHAPES, st.sampled_from(["squares", "discs"]))
def test_projection_gives_the_spots_exactly(case, sampling):
    height, width, scale, seed = case
    height, width = height * scale, width * scale
    counts = draw(height, width, seed) * (np.random.default_rng(seed).random((height, width)) < 0.3)
    spots = np.random.default_rng(seed + 1).poisson(3.0, (2, height // scale, width // scale))
    tissue = np.random.default_rng(seed + 2).random((height, width)) < 0.6
    projected = project(
        counts.astype(np.float32), spots.astype(np.float32), tissue, scale, sampling
    )
    reachable = spot_counts(np.ones_like(counts, dtype=np.float32), scale, sampling) > 0
    found = spot_counts(projected, scale, sampling)
    np.testing.assert_allclose(found[reachable], spots[reachable], rtol=1e-4, atol=1e-4)
    assert (projected >= 0).all()


def test_projection_leaves_a_map_that_agrees_as_it_is():
    counts = draw(20, 20, 3) + 0.1
    spots = spot_counts(counts, 5)
    projected = project(counts, spots, np.ones((20, 20), dtype=bool), 5)
    np.testing.assert_allclose(projected, counts, rtol=1e-5)
    assert disagreement(counts, spots, 5) == pytest.approx(0, abs=1e-6)
    assert disagreement(counts * 2, spots, 5) == pytest.approx(1, rel=1e-5)


def test_empty_squares_get_their_counts_on_tissue():
    tissue = np.zeros((4, 4), dtype=bool)
    tissue[:2] = True
    projected = project(
        np.zeros((1, 4, 4), np.float32), np.full((1, 1, 1), 8.0, np.float32), tissue, 4
    )
    assert (projected[0, :2] == 1).all() and (projected[0, 2:] == 0).all()
