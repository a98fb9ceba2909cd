from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from c2lst.evaluation.spatial import linked, morans_i, neighbour_graph
from toy_predictions import lattice


def dense(values: np.ndarray, xy: np.ndarray, radius: float) -> np.ndarray:
    """Textbook formula, with every pair written out."""
    distance = np.linalg.norm(xy[:, None] - xy[None], axis=2)
    near = (distance <= radius) & ~np.eye(len(xy), dtype=bool)
    has = near.any(axis=1)
    weights = near[has][:, has] / near[has].sum(axis=1, keepdims=True)
    z = values[has] - values[has].mean(axis=0)
    return len(z) / weights.sum() * np.einsum("ig,ij,jg->g", z, weights, z) / (z**2).sum(axis=0)


def test_a_chessboard_and_halves_by_hand():
    xy = lattice(4, 1.0)
    graph = neighbour_graph(xy, 1.25)
    chessboard = xy.sum(axis=1) % 2
    halves = (xy[:, 0] > 1.5).astype(float)
    # Spots on the seam: of their neighbours one is unlike, of 3 in the outer two rows, of 4 else;
    # z is ±1, so that I is the mean of (alike - unlike) / neighbours.
    seam = (2 * 2 * (3 - 2) / 3 + 2 * 2 * (4 - 2) / 4) / 16 + 8 / 16
    np.testing.assert_allclose(
        morans_i(np.column_stack([chessboard, halves]), graph), [-1.0, seam], rtol=1e-12
    )


def test_a_gradient_is_alike_nearby():
    xy = lattice(20, 1.0)
    values = np.column_stack([xy[:, 0], np.random.default_rng(0).permutation(xy[:, 0])])
    gradient, mixed = morans_i(values, neighbour_graph(xy, 1.25))
    assert gradient > 0.95
    assert abs(mixed) < 0.1


@given(st.integers(0, 2**32 - 1), st.integers(5, 40), st.floats(0.1, 0.6), st.floats(0.01, 100.0))
def test_the_dense_formula_whatever_the_spots_order_place_or_unit(seed, n, radius, unit):
    rng = np.random.default_rng(seed)
    xy, values = rng.uniform(0, 1, (n, 2)), rng.normal(size=(n, 3))
    graph = neighbour_graph(xy, radius)
    found = morans_i(values, graph)
    if linked(graph).sum() < 3:
        assert np.isnan(found).all()
        return
    np.testing.assert_allclose(found, dense(values, xy, radius), atol=1e-10)
    order = rng.permutation(n)
    again = morans_i(3 - 2 * values[order], neighbour_graph(unit * xy[order] - 7, unit * radius))
    np.testing.assert_allclose(found, again, atol=1e-8)


def test_spots_without_neighbour_are_left_out():
    xy = lattice(5, 1.0)
    far = np.vstack([xy, [[50.0, 50.0]]])
    values = np.random.default_rng(0).normal(size=(25, 2))
    graph = neighbour_graph(far, 1.25)
    assert linked(graph).sum() == 25
    np.testing.assert_array_equal(
        morans_i(np.vstack([values, [[1e6, -1e6]]]), graph),
        morans_i(values, neighbour_graph(xy, 1.25)),
    )


def test_a_map_without_variance_has_none():
    xy = lattice(3, 1.0)
    values = np.column_stack([np.ones(9), xy[:, 0]])
    found = morans_i(values, neighbour_graph(xy, 1.25))
    assert np.isnan(found[0])
    assert np.isfinite(found[1])
    assert np.isnan(morans_i(values[:2], neighbour_graph(xy[:2], 1.25))).all()


def test_counting_noise_deflates_it():
    rng = np.random.default_rng(0)
    xy = lattice(30, 1.0)
    smooth = np.sin(xy[:, 0] / 4)[:, None]
    noise = 0.8 * rng.normal(size=(900, 20))
    graph = neighbour_graph(xy, 1.25)
    reliability = smooth.var() / (smooth + noise).var(axis=0)
    observed = morans_i(smooth + noise, graph)
    assert observed.max() < 0.7 * morans_i(smooth, graph)
    assert (observed / reliability).mean() == pytest.approx(morans_i(smooth, graph)[0], abs=0.03)
