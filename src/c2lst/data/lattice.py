"""The array on the image: how far apart neighbouring spots are, in pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

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
