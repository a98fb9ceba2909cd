"""What is asked of the explorer, and what is seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Choice:
    """What is to be seen.

    Parameters
    ----------
    spot
        Barcode of a training spot, whose profile is the start.
    moves
        Handles (genes or programmes) and the standard deviations to move them by.
    seed, noises
        Noise *j* of 0 … ``noises`` - 1 depends on (seed, j) alone; it is that of
        ``c2lst sweep --seed``.
    guidance, sampler
        As in :class:`~c2lst.local.SynthesisSettings`.
    """

    spot: str
    moves: Mapping[str, float] = field(default_factory=dict)
    seed: int = 0
    noises: int = 3
    guidance: float = 3.0
    sampler: str = "fast"


@dataclass(frozen=True, eq=False)
class View:
    """What is seen of a choice: patches of S px, one per noise N.

    Parameters
    ----------
    real
        uint8 (S, S, 3), the spot's own patch, stain-normalised.
    own, moved
        uint8 (N, S, S, 3), drawn for the spot's own and for the moved profile, noise by noise.
    measures
        Nuclei and stains of the real patch, and the means over noises of own and moved ones.
    outside
        Handles along which the moved profile lies beyond every training spot: what is drawn
        there is extrapolated.
    below_zero
        Genes that the move takes below no count at all: no tissue is like that.
    """

    real: np.ndarray
    own: np.ndarray
    moved: np.ndarray
    measures: dict[str, tuple[float, float, float]]
    outside: tuple[str, ...]
    below_zero: tuple[str, ...]

    @property
    def difference(self) -> np.ndarray:
        """uint8 (N, S, S, 3): grey where nothing changed, lighter or darker where it did."""
        change = self.moved.astype(np.int16) - self.own
        return np.asarray((128 + change).clip(0, 255), dtype=np.uint8)

    @property
    def pixels(self) -> float:
        """Mean absolute change of a pixel, in grey levels of 255."""
        return float(np.abs(self.moved.astype(np.int16) - self.own).mean())
