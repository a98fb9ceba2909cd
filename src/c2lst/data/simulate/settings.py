"""Arguments of a simulation, checked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from c2lst.data.simulate.expression import MOST_EXPLAINED
from c2lst.data.simulate.tissue import STEP_UM
from c2lst.errors import InputError
from c2lst.rules import Rule, hold, whole, within

SPOT_DIAMETER_UM = 100.0
MARGIN_UM = 400.0
"""Slide around the outermost spot centres."""

_MOST_PIXELS = 400_000_000
_WHERE = "simulate"
_PLAIN_NAME = Rule(
    lambda name: Path(name).name == name and name.strip(".") != "" and "\\" not in name,
    "a plain file name such as SIM",
)
_COLUMNS_AND_ROWS = Rule(
    lambda spots: whole(3, 200).each().fits(spots) and len(spots) == 2,
    "columns and rows, each 3 to 200",
)


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
        hold(
            self,
            _WHERE,
            name=_PLAIN_NAME,
            spots=_COLUMNS_AND_ROWS,
            pitch_um=within(SPOT_DIAMETER_UM, 1000),
            mpp=within(0.1, 20),
            genes=whole(10, 50_000),
            seed=whole(0, 2**63 - 1),
            image_share=within(0, MOST_EXPLAINED),
            space_share=within(0, MOST_EXPLAINED),
            median_library_size=within(100, 1e7),
        )
        explained = self.image_share + self.space_share
        if explained > MOST_EXPLAINED + 1e-9:
            self._refuse("image_share + space_share", explained, f"at most {MOST_EXPLAINED}")
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

    def _refuse(self, name: str, found: object, expected: str, remedy: str | None = None) -> None:
        raise InputError(_WHERE, name, found=found, expected=expected, remedy=remedy)
