"""The array on the image: how far apart neighbouring spots are, in pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from c2lst.data.readers.constants import ObsColumn

if TYPE_CHECKING:
    from anndata import AnnData

_STEPS = np.array([(x, y) for x in range(-2, 3) for y in range(-2, 3) if (x, y) > (0, 0)])
_CHESSBOARD_SHARE = 0.95
_ALIKE = 1.15


@dataclass(frozen=True, eq=False)
class Lattice:
    """Affine map from array to pixel coordinates: pixel = A @ array + b.

    Parameters
    ----------
    matrix
        A, (2, 2): px per array unit.
    chessboard
        Whether only positions of one parity of row + column are filled, as on Visium and on the
        legacy array of 2,000 spots.
    residual_px
        Median distance of a spot to where the map puts it.
    """

    matrix: np.ndarray
    chessboard: bool
    residual_px: float

    @property
    def unit_px(self) -> float:
        """Side of the square that has the area of one array unit, px."""
        return float(np.sqrt(abs(np.linalg.det(self.matrix))))

    @property
    def pitch_px(self) -> float:
        """Distance of neighbouring spots: mean over the steps that are about the shortest."""
        steps = _STEPS[_STEPS.sum(axis=1) % 2 == 0] if self.chessboard else _STEPS
        lengths = np.linalg.norm(steps @ self.matrix.T, axis=1)
        return float(lengths[lengths <= _ALIKE * lengths.min()].mean())


def fit_lattice(array: np.ndarray, pixels: np.ndarray, grid: np.ndarray) -> Lattice | None:
    """Fit the map by least squares over all spots.

    Parameters
    ----------
    array
        (n, 2) array coordinates, refined ones where there are any.
    pixels
        (n, 2) the same spots as (x, y) in px.
    grid
        (n, 2) whole array coordinates.

    Returns
    -------
    The lattice; none where the spots do not span the array.
    """
    if len(array) < 3:
        return None
    design = np.column_stack([array, np.ones(len(array))]).astype(np.float64)
    solution, _, rank, _ = np.linalg.lstsq(design, pixels, rcond=None)
    matrix = solution[:2].T
    if rank < 3 or abs(np.linalg.det(matrix)) < 1e-9:
        return None
    residual = np.linalg.norm(pixels - design @ solution, axis=1)
    odd = float((np.asarray(grid).sum(axis=1) % 2).mean())
    chessboard = len(grid) >= 8 and max(odd, 1 - odd) > _CHESSBOARD_SHARE
    return Lattice(matrix, chessboard, float(np.median(residual)))


_COLUMNS = [ObsColumn.ARRAY_COL.value, ObsColumn.ARRAY_ROW.value]


def stated_array(adata: AnnData) -> np.ndarray | None:
    """Places on the array as (column, row), float64 (n, 2); none where ``obs`` lacks one of them.

    Tables that were joined have places for some of their spots alone.
    """
    if not all(column in adata.obs for column in _COLUMNS):
        return None
    try:
        array = adata.obs[_COLUMNS].to_numpy(np.float64)
    except (TypeError, ValueError):
        return None
    return array if np.isfinite(array).all() else None


def array_positions(adata: AnnData, centres: np.ndarray) -> np.ndarray:
    """Places on the array as (column, row), int (n, 2), as ``obs`` has them.

    Where it has none, they are counted off from the centres (n, 2), in steps of the distance to
    the nearest neighbour.
    """
    stated = stated_array(adata)
    if stated is not None:
        return np.rint(stated).astype(np.int64)
    return np.rint((centres - centres.min(axis=0)) / nearest_px(centres)).astype(np.int64)


def pitch_in_px(adata: AnnData, centres: np.ndarray) -> float | None:
    """Distance of neighbouring spots in the px of ``centres``; none where they are on no array."""
    array = stated_array(adata)
    if array is None:
        return None
    lattice = fit_lattice(array, centres, np.rint(array).astype(int))
    if lattice is None or lattice.residual_px > lattice.unit_px / 4:
        return None
    return lattice.pitch_px


def nearest_px(centres: np.ndarray) -> float:
    """Median distance of the centres (n, 2) to their nearest neighbour; 1 for a single one."""
    from scipy.spatial import KDTree

    if len(centres) < 2:
        return 1.0
    return float(np.median(KDTree(centres).query(centres, k=2)[0][:, 1])) or 1.0
