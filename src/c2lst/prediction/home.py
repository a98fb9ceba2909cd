"""What a predictor keeps of the section of its fit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from c2lst.data.section import Section


@dataclass(frozen=True, eq=False)
class Home:
    """The section of the fit: reduced features and places of all its spots, never their genes.

    Parameters
    ----------
    section
        Its name.
    barcodes, centres_um
        Of all spots: (n,), and (n, 2) in µm.
    pitch_um
        Distance of neighbouring spots of the array.
    train
        Rows of the training spots.
    features
        View name to its reduced values (n, k), for every view but the place.
    """

    section: str
    barcodes: np.ndarray
    centres_um: np.ndarray
    pitch_um: float
    train: np.ndarray
    features: Mapping[str, np.ndarray]

    def rows(self, section: Section) -> np.ndarray | None:
        """Rows of the spots of ``section``; None if it is another one.

        Barcodes alone prove nothing: legacy arrays use the same ones on every section.
        """
        position = {barcode: row for row, barcode in enumerate(self.barcodes.tolist())}
        rows = [position.get(barcode, -1) for barcode in section.barcodes.tolist()]
        if section.name != self.section or min(rows) < 0:
            return None
        found = np.asarray(rows)
        near = np.abs(section.centres_um - self.centres_um[found]).max() < 1.0
        return found if near else None

    def training_rows(self, rows: np.ndarray) -> np.ndarray:
        """Which training spot each of ``rows`` is, int (q,); -1 for another spot."""
        position = np.full(len(self.barcodes), -1)
        position[self.train] = np.arange(len(self.train))
        return position[rows]

    def distance_um(self, centres_um: np.ndarray) -> np.ndarray:
        """Distance of places (q, 2) to the nearest training spot, (q,)."""
        from scipy.spatial import KDTree

        return KDTree(self.centres_um[self.train]).query(centres_um)[0]

    @property
    def unsampled_um(self) -> np.ndarray:
        """Distances of the spots that are no training spots to the nearest one that is."""
        others = np.ones(len(self.barcodes), dtype=bool)
        others[self.train] = False
        return self.distance_um(self.centres_um[others])
