"""The spots of a slide that could be sequenced, whether it has an array or only an image yet."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from c2lst.data.grid import SpotGrid, parse_um
from c2lst.data.image import SLIDE_SUFFIXES, SlideImage
from c2lst.data.patches import Patches
from c2lst.data.preprocessing import Preprocessing
from c2lst.data.section import Section
from c2lst.data.split import SpotSplit
from c2lst.errors import InputError

if TYPE_CHECKING:
    from c2lst.evaluation.encoders import ImageEncoder

PATCH_UM = 112.0
SIZE = 128
GENES = 250
_BATCH = 256
_SPOT_SHARE = 0.55
"""Diameter of a spot in pitches: 55 µm of Visium's 100 µm."""


@dataclass(frozen=True, eq=False)
class FirstRound:
    """What is sequenced already: rows of the spots, and their log1p expression (n, G) or None."""

    rows: list[int]
    expression: np.ndarray | None


@dataclass(frozen=True, eq=False)
class SlideSpots:
    """All spots of a slide that could be sequenced.

    Parameters
    ----------
    name
        Of the slide.
    names, centres_px
        Of the spots: str (n,), float64 (n, 2) as (x, y) in full-resolution px.
    mpp, diameter_um
        µm per full-resolution px; diameter of a spot.
    patches
        Around each spot.
    image_path
        The slide's file.
    section
        With the counts, where there are some.
    """

    name: str
    names: np.ndarray
    centres_px: np.ndarray
    mpp: float
    diameter_um: float
    patches: Patches
    image_path: Path
    section: Section | None = None

    def features(self, encoder: ImageEncoder) -> np.ndarray:
        """Image features of all spots, float32 (n, d); patches are read a batch at a time."""
        rows = [
            encoder.encode(self.patches[np.arange(start, min(start + _BATCH, len(self.names)))])
            for start in range(0, len(self.names), _BATCH)
        ]
        return np.concatenate(rows)

    def first_round(self, given: Path | None) -> FirstRound:
        """Read the split of a first round: its training, validation and buffer spots.

        Raises
        ------
        InputError
            If the slide has no counts, or the split is of another section.
        """
        if given is None:
            return FirstRound([], None)
        if self.section is None:
            raise InputError(
                self.image_path,
                "is an image without counts, so that no first round fits it",
                remedy="give the slide that was sequenced, or leave --given out",
            )
        split = SpotSplit.load(given)
        expressed = int((split.training(self.section).counts.sum(axis=0) > 0).sum())
        preprocessing = Preprocessing.fit(self.section, split, n_genes=min(GENES, expressed))
        seen = np.isin(split.of(self.section), ("train", "val", "buffer"))
        rows = np.flatnonzero(seen)
        sequenced = self.section.subset(self.section.barcodes[rows])
        return FirstRound(rows.tolist(), preprocessing.lognorm(sequenced))

    @contextmanager
    def open_image(self) -> Iterator[SlideImage]:
        """Open the slide's image."""
        with SlideImage.open(self.image_path) as image:
            yield image


def open_slide(
    where: Path,
    *,
    section: str | None = None,
    image: Path | None = None,
    mpp: float | None = None,
    pitch: str = "100um",
) -> SlideSpots:
    """Open a slide: an image, on whose tissue a hexagonal array is laid, or one with spots.

    Parameters
    ----------
    where
        Image file, folder of a slide of any format, or of a section.
    section, image, mpp
        As for :func:`c2lst.data.readers.read`.
    pitch
        Distance between the spots of an image, such as ``100um``.

    Raises
    ------
    InputError
        If it cannot be read, the width of its pixels is not known, or an image comes with what is
        of a slide with spots.
    """
    if where.is_file() and where.suffix.lower() in SLIDE_SUFFIXES:
        for option, value in (("--section", section), ("--image", image)):
            if value is not None:
                raise InputError(
                    option,
                    "is of a slide with spots",
                    found=f"the image {where.name}",
                    remedy="leave it out, or give the folder of the slide",
                )
        return _of_image(where, mpp, parse_um(pitch))
    from c2lst.data.readers import read

    found = read(where, section=section, image=image, mpp=mpp, patch_um=PATCH_UM, size=SIZE)
    return SlideSpots(
        found.name,
        found.barcodes,
        found.centres_px,
        found.mpp,
        _SPOT_SHARE * found.pitch_um,
        found.patches,
        found.image_path,
        found,
    )


def _of_image(path: Path, mpp: float | None, pitch_um: float) -> SlideSpots:
    with SlideImage.open(path) as image:
        mpp = mpp or image.mpp
        if mpp is None:
            raise InputError(path, "does not say how many µm a pixel is wide", remedy="give --mpp")
        grid = SpotGrid.on_tissue(image, mpp, pitch_um=pitch_um, patch_um=PATCH_UM, size=SIZE)
    return SlideSpots(
        path.stem, grid.names, grid.centres_px, mpp, _SPOT_SHARE * pitch_um, grid.patches, path
    )
