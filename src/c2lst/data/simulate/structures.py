"""Cells and structures of a simulated tissue: glands, fat, fibres. Lengths in µm."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from c2lst.data.simulate.fields import Field

CELL_TYPES = ("EPI", "PRO", "FIB", "IMM", "ADI")
"""Epithelium, proliferating epithelium, fibroblasts, immune cells, adipocytes."""
EPI, PRO, FIB, IMM, ADI = range(len(CELL_TYPES))

FAT_RADIUS_UM = 36.0
"""Radius of an adipocyte that no neighbour presses on."""

_HARMONICS = np.array([2, 3, 5])


@dataclass(frozen=True)
class Cells:
    """Nuclei of the tissue.

    Attributes
    ----------
    centres_um
        (m, 2) as (x, y).
    kinds
        (m,) index into ``CELL_TYPES``.
    axes_um
        (m, 2) semi-axes: along and across.
    angles
        (m,) direction of the long axis in radians.
    darkness
        (m,) haematoxylin concentration at the centre.
    """

    centres_um: np.ndarray
    kinds: np.ndarray
    axes_um: np.ndarray
    angles: np.ndarray
    darkness: np.ndarray


@dataclass(frozen=True)
class Glands:
    """Closed curves r(θ) = R·(1 + Σ a_k·cos(kθ + φ_k)) around centres.

    Attributes
    ----------
    centres_um, radii_um
        (m, 2) and (m,).
    amplitudes, phases
        (m, 3): a_k and φ_k of the harmonics 2, 3 and 5.
    wall_um
        (m,) height of the epithelium; as large as the radius where the gland is solid.
    dark
        (m,) share of proliferating cells.
    """

    centres_um: np.ndarray
    radii_um: np.ndarray
    amplitudes: np.ndarray
    phases: np.ndarray
    wall_um: np.ndarray
    dark: np.ndarray

    def __len__(self) -> int:
        return len(self.radii_um)

    def radius_at(self, which: np.ndarray | int, theta: np.ndarray) -> np.ndarray:
        """Outer radius in µm of the glands ``which`` in the directions ``theta``."""
        shape = np.ones_like(theta)
        for k, harmonic in enumerate(_HARMONICS):
            shape = shape + self.amplitudes[which, k] * np.cos(
                harmonic * theta + self.phases[which, k]
            )
        return self.radii_um[which] * shape

    def distance_inside(self, points_um: np.ndarray) -> np.ndarray:
        """How deep each point lies in its nearest glands, µm along the ray; negative outside."""
        from scipy.spatial import cKDTree

        if not len(self):
            return np.full(len(points_um), -np.inf)
        count = min(4, len(self))
        _, nearest = cKDTree(self.centres_um).query(points_um, k=count)
        nearest = np.reshape(nearest, (len(points_um), count))
        deepest = np.full(len(points_um), -np.inf)
        for which in nearest.T:
            offset = points_um - self.centres_um[which]
            theta = np.arctan2(offset[:, 1], offset[:, 0])
            depth = self.radius_at(which, theta) - np.hypot(*offset.T)
            deepest = np.maximum(deepest, depth)
        return deepest


@dataclass(frozen=True)
class Fat:
    """Adipocytes as rounded cells of a Voronoi diagram.

    Attributes
    ----------
    centres_um
        (m, 2).
    neighbours
        (m, k) index of the neighbours that press on each cell; m where there is none.
    """

    centres_um: np.ndarray
    neighbours: np.ndarray

    def walls(self, which: int) -> tuple[np.ndarray, np.ndarray]:
        """Outward normals (k, 2) and distances (k,) in µm of the walls of one adipocyte."""
        others = self.neighbours[which]
        others = others[others < len(self.centres_um)]
        towards = self.centres_um[others] - self.centres_um[which]
        distance = np.hypot(towards[:, 0], towards[:, 1])
        return towards / distance[:, None], distance / 2

    def depth_inside(self, points_um: np.ndarray) -> np.ndarray:
        """How deep each point lies in its nearest adipocyte, µm; negative outside."""
        from scipy.spatial import cKDTree

        if not len(self.centres_um):
            return np.full(len(points_um), -np.inf)
        distance, nearest = cKDTree(self.centres_um).query(points_um)
        depth = FAT_RADIUS_UM - distance
        # The last row stands for "no neighbour": so far away that it never presses.
        known = np.vstack([self.centres_um, [[1e9, 1e9]]])
        offset = points_um - self.centres_um[nearest]
        for others in self.neighbours[nearest].T:
            towards = known[others] - self.centres_um[nearest]
            length = np.hypot(towards[:, 0], towards[:, 1])
            depth = np.minimum(depth, length / 2 - (offset * towards).sum(axis=1) / length)
        return depth


@dataclass(frozen=True)
class Fibres:
    """Coordinates along and across the stroma's fibres: a rotation and a smooth warp.

    Attributes
    ----------
    angle
        Prevailing direction in radians.
    along, across
        Displacements in µm.
    """

    angle: float
    along: Field
    across: Field

    def direction_at(self, points_um: np.ndarray) -> np.ndarray:
        """Direction of the fibres in radians: where the coordinate across them stays the same."""
        d_x, d_y = (part.at(points_um) for part in self.across.gradient())
        return np.arctan2(np.sin(self.angle) - d_x, np.cos(self.angle) + d_y)
