from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from c2lst.data.lattice import fit_lattice


def _grid(kind, count=12):
    grid = np.stack(np.meshgrid(np.arange(count), np.arange(count)), -1).reshape(-1, 2)
    return grid if kind == "square" else grid[grid.sum(axis=1) % 2 == 0]


@given(
    st.sampled_from(["square", "chessboard"]),
    st.floats(0, 2 * np.pi),
    st.floats(1, 500),
    st.booleans(),
    st.integers(0, 5),
)
def test_the_pitch_does_not_depend_on_rotation_or_reflection(kind, angle, scale, flip, seed):
    grid = _grid(kind)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    pixels = (grid * ([1, -1] if flip else [1, 1])) @ turn.T * scale + [300, 70]
    rng = np.random.default_rng(seed)
    pixels = pixels + rng.normal(0, 0.02 * scale, pixels.shape)
    lattice = fit_lattice(grid, pixels, grid)
    expected = scale * (np.sqrt(2) if kind == "chessboard" else 1)
    assert lattice.pitch_px == pytest.approx(expected, rel=0.02)
    assert lattice.chessboard == (kind == "chessboard")
    assert lattice.residual_px < 0.05 * scale


def test_visium_rows_and_columns_give_its_pitch():
    grid = _grid("chessboard")
    pixels = grid * [50.0, 50.0 * np.sqrt(3)]  # columns count in half pitches
    assert fit_lattice(grid, pixels, grid).pitch_px == pytest.approx(100.0)


@pytest.mark.parametrize("array", [[[1, 1], [2, 2]], [[1, 1], [2, 2], [3, 3]], [[1, 1]] * 4])
def test_spots_that_do_not_span_the_array_give_no_lattice(array):
    array = np.array(array)
    assert fit_lattice(array, array * 100.0, array) is None
