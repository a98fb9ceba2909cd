"""Arguments of a simulation, checked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from c2lst.data.simulate.expression import MOST_EXPLAINED
from c2lst.data.simulate.tissue import STEP_UM
from c2lst.errors import InputError

SPOT_DIAMETER_UM = 100.0
MARGIN_UM = 400.0
"""Slide around the outermost spot centres."""

_MOST_PIXELS = 400_000_000


@dataclass(frozen=True)
class Settings:
    """Arguments of `simulate_tissue`, checked; see there."""

    name: str
    spots: tuple[int, int]
    pitch_um: float
    mpp: float
    genes: int
    seed: int
    image_share: float
    space_share: float
    median_library_size: float
    uninformative_image: bool

    def __post_init__(self) -> None:
        if Path(self.name).name != self.name or not self.name.strip(".") or "\\" in self.name:
            self._refuse("name", repr(self.name), "a plain file name such as SIM")
        if len(self.spots) != 2 or not all(
            isinstance(count, int | np.integer) and 3 <= count <= 200 for count in self.spots
        ):
            self._refuse("spots", self.spots, "columns and rows, each 3 to 200")
        self._within("pitch_um", SPOT_DIAMETER_UM, 1000.0)
        self._within("mpp", 0.1, 20.0)
        self._whole("genes", 10, 50_000)
        self._whole("seed", 0, 2**63 - 1)
        self._within("image_share", 0.0, MOST_EXPLAINED)
        self._within("space_share", 0.0, MOST_EXPLAINED)
        explained = self.image_share + self.space_share
        if explained > MOST_EXPLAINED + 1e-9:
            self._refuse("image_share + space_share", explained, f"at most {MOST_EXPLAINED}")
        self._within("median_library_size", 100.0, 1e7)
        width, height = self.extent_um
        if width * height / self.mpp**2 > _MOST_PIXELS:
            found = f"{width / self.mpp:.0f}×{height / self.mpp:.0f} px"
            self._refuse("image", found, f"at most {_MOST_PIXELS:.0e} px", "raise mpp")

    @property
    def extent_um(self) -> tuple[float, float]:
        """Width and height of the slide: whole steps of the layout's grid."""
        width, height = (
            float(np.ceil(((count - 1) * self.pitch_um + 2 * MARGIN_UM) / STEP_UM) * STEP_UM)
            for count in self.spots
        )
        return width, height

    def _within(self, name: str, low: float, high: float) -> None:
        value = getattr(self, name)
        if not np.isfinite(value) or not low <= value <= high:
            self._refuse(name, value, f"a number from {low:g} to {high:g}")

    def _whole(self, name: str, low: int, high: int) -> None:
        value = getattr(self, name)
        if isinstance(value, bool) or not isinstance(value, int | np.integer):
            self._refuse(name, value, "a whole number")
        self._within(name, low, high)

    def _refuse(self, name: str, found: object, expected: str, remedy: str | None = None) -> None:
        raise InputError("simulate", name, found=found, expected=expected, remedy=remedy)
