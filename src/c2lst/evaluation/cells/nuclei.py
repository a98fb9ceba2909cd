"""Nuclei of patches: where they are, how large, how long, of which kind; whoever found them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from c2lst.progress import progress_bar

BATCH = 64


@dataclass(frozen=True, eq=False)
class Segmentation:
    """Nuclei of a few patches as areas.

    Parameters
    ----------
    labels
        int ``(n, G, G)``: 0, or the number of the nucleus, 1 to m over all patches.
    kinds
        int ``(m,)``: kind of each nucleus, an index into the finder's ``kinds``.
    """

    labels: np.ndarray
    kinds: np.ndarray


class NucleusFinder(Protocol):
    """Finds nuclei in patches.

    Attributes
    ----------
    name, label
        Under which it is known, and what it does, for tables.
    kinds
        Names of the kinds of nuclei that it tells apart.
    """

    name: str
    label: str
    kinds: tuple[str, ...]

    def segment(self, images: np.ndarray, patch_um: float) -> Segmentation:
        """Find the nuclei of uint8 RGB patches ``(n, S, S, 3)``, ``patch_um`` wide."""


@dataclass(frozen=True, eq=False)
class Nuclei:
    """The nuclei of n patches, in any order.

    Parameters
    ----------
    patch
        int ``(m,)``: the patch that each is in, 0 to n - 1.
    centres_um
        ``(m, 2)`` as (x, y) from the upper left corner of its patch.
    area_um2
        ``(m,)``.
    eccentricity
        ``(m,)``: of the ellipse with the same second moments; 0 round, 1 a line.
    kind
        int ``(m,)``: index into ``kinds``.
    kinds
        Names.
    patches, patch_um
        How many patches there are, and how wide.
    """

    patch: np.ndarray
    centres_um: np.ndarray
    area_um2: np.ndarray
    eccentricity: np.ndarray
    kind: np.ndarray
    kinds: tuple[str, ...]
    patches: int
    patch_um: float

    def __len__(self) -> int:
        return len(self.patch)

    @property
    def counts(self) -> np.ndarray:
        """Int (n,): nuclei in each patch."""
        return np.bincount(self.patch, minlength=self.patches)

    def per_patch(self) -> dict[str, np.ndarray]:
        """Return measures of each patch, ``(n,)``; NaN where means of none would be taken.

        ``nuclei`` and ``nuclei_per_mm2``; ``nuclear_area`` (µm², mean), ``eccentricity`` (mean),
        ``nuclear_share`` of the area of the patch.
        """
        counts, n = self.counts, self.patches
        area = np.bincount(self.patch, self.area_um2, n)
        longness = np.bincount(self.patch, self.eccentricity, n)
        some = np.where(counts > 0, counts, np.nan)
        return {
            "nuclei": counts.astype(float),
            "nuclei_per_mm2": counts / (self.patch_um / 1000) ** 2,
            "nuclear_area": area / some,
            "eccentricity": longness / some,
            "nuclear_share": area / self.patch_um**2,
        }


def find_nuclei(finder: NucleusFinder, images: np.ndarray, patch_um: float) -> Nuclei:
    """Find and measure the nuclei of patches, a batch at a time.

    Parameters
    ----------
    finder
        What finds them.
    images
        uint8 RGB ``(n, S, S, 3)``: an array, or anything that gives one when sliced.
    patch_um
        Width of a patch in µm.
    """
    found = []
    with progress_bar("nuclei", len(images)) as bar:
        for start in range(0, len(images), BATCH):
            some = np.asarray(images[start : start + BATCH])
            measured = measure_nuclei(finder.segment(some, patch_um), finder.kinds, patch_um)
            found.append((start + measured.patch, measured))
            bar.advance(len(some))
    parts = [nuclei for _, nuclei in found]
    empty = np.empty(0)

    def joined(name: str) -> np.ndarray:
        return np.concatenate([getattr(part, name) for part in parts] or [empty])

    return Nuclei(
        patch=np.concatenate([patch for patch, _ in found] or [empty]).astype(int),
        centres_um=joined("centres_um").reshape(-1, 2),
        area_um2=joined("area_um2"),
        eccentricity=joined("eccentricity"),
        kind=joined("kind").astype(int),
        kinds=finder.kinds,
        patches=len(images),
        patch_um=patch_um,
    )


def measure_nuclei(segmentation: Segmentation, kinds: tuple[str, ...], patch_um: float) -> Nuclei:
    """Measure areas by their moments."""
    labels = segmentation.labels
    um = patch_um / labels.shape[-1]
    patch, row, column = np.nonzero(labels)
    number = labels[patch, row, column] - 1
    count = len(segmentation.kinds)

    def mean(values: np.ndarray) -> np.ndarray:
        return np.asarray(np.bincount(number, values, count) / np.maximum(pixels, 1))

    pixels = np.bincount(number, minlength=count)
    x, y = mean(column), mean(row)
    # A pixel is a square: its own second moment counts, too.
    xx, yy = mean(column**2) - x**2 + 1 / 12, mean(row**2) - y**2 + 1 / 12
    half_gap = np.hypot((xx - yy) / 2, mean(row * column) - x * y)
    middle = (xx + yy) / 2
    longness = np.sqrt(np.clip(2 * half_gap / (middle + half_gap), 0, 1))
    there = pixels > 0
    return Nuclei(
        patch=mean(patch)[there].round().astype(int),
        centres_um=(np.column_stack([x, y])[there] + 0.5) * um,
        area_um2=pixels[there] * um**2,
        eccentricity=longness[there],
        kind=np.asarray(segmentation.kinds)[there].astype(int),
        kinds=kinds,
        patches=len(labels),
        patch_um=patch_um,
    )
