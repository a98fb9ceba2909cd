"""The nuclei of several sets of patches, whoever finds them: here, or CellViT beforehand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from c2lst.evaluation.cells.nuclei import Nuclei, NucleusFinder, Segmentation, find_nuclei


class NucleusSets(Protocol):
    """Knows the nuclei of sets of patches by their name."""

    @property
    def label(self) -> str:
        """What found them, for tables."""

    @property
    def kinds(self) -> tuple[str, ...]:
        """Names of the kinds of nuclei that are told apart."""

    def nuclei(self, key: str) -> Nuclei:
        """Return the nuclei of all patches of a set."""

    def segment(self, key: str, rows: np.ndarray) -> Segmentation:
        """Return those of some of its patches as areas."""


@dataclass(frozen=True, eq=False)
class FoundNuclei:
    """Nuclei that a finder finds when they are asked for.

    Parameters
    ----------
    finder
        What finds them.
    images
        uint8 patches ``(n, S, S, 3)`` of each set.
    patch_um
        Width of a patch in µm.
    """

    finder: NucleusFinder
    images: Mapping[str, Any]
    patch_um: float

    @property
    def label(self) -> str:
        """What found them."""
        return self.finder.label

    @property
    def kinds(self) -> tuple[str, ...]:
        """Names of their kinds."""
        return self.finder.kinds

    def nuclei(self, key: str) -> Nuclei:
        """Find and measure the nuclei of a set."""
        return find_nuclei(self.finder, self.images[key], self.patch_um)

    def segment(self, key: str, rows: np.ndarray) -> Segmentation:
        """Find those of some patches."""
        return self.finder.segment(np.asarray(self.images[key][rows]), self.patch_um)
