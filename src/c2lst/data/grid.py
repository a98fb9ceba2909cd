"""Places on a slide that have an image and no counts: before sequencing, or between the spots."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from c2lst.data.image import SlideImage
from c2lst.data.patches import Patches, SlidePatches
from c2lst.data.tissue import TissueMask
from c2lst.errors import InputError

Lattice = Literal["hexagonal", "square"]

_ON_TISSUE = 0.5


@dataclass(frozen=True, eq=False)
class SpotGrid:
    """Spots of a lattice laid over the tissue of a slide.

    Parameters
    ----------
    names
        str (n,): ``COLUMNxROW`` on the lattice.
    centres_px
        float64 (n, 2), as (x, y) in full-resolution px.
    mpp
        µm per full-resolution px.
    pitch_um
        Distance between neighbours in µm.
    patches
        The patch around each spot, cut from the slide when it is asked for.
    """

    names: np.ndarray
    centres_px: np.ndarray
    mpp: float
    pitch_um: float
    patches: Patches

    def __len__(self) -> int:
        return len(self.names)

    @property
    def centres_um(self) -> np.ndarray:
        """Centres in µm, float64 (n, 2)."""
        return self.centres_px * self.mpp

    @classmethod
    def on_tissue(
        cls,
        slide: str | Path | SlideImage,
        mpp: float,
        *,
        pitch_um: float,
        patch_um: float,
        size: int,
        lattice: Lattice = "hexagonal",
    ) -> SpotGrid:
        """Lay a lattice over the tissue of a slide.

        Parameters
        ----------
        slide
            The slide, or its file.
        mpp
            µm per full-resolution px.
        pitch_um
            Distance between neighbours in µm.
        patch_um, size
            Width of a patch in µm and in px.
        lattice
            ``hexagonal``, as Visium's array, or ``square``.

        Raises
        ------
        InputError
            If the pitch is no length, or there is no tissue.
        """
        if not pitch_um > 0:
            raise InputError("grid", "pitch in µm", found=pitch_um, expected="above 0")
        image = slide if isinstance(slide, SlideImage) else SlideImage.open(slide)
        names, centres = _lattice(image.width * mpp, image.height * mpp, pitch_um, lattice)
        centres_px = centres / mpp
        inside = _inside(centres_px, image, patch_um / mpp)
        share = TissueMask.of(image, mpp).share(centres_px, patch_um / mpp)
        kept = inside & (share >= _ON_TISSUE)
        if not kept.any():
            raise InputError(
                str(image.path or "slide"),
                "no tissue was found on it",
                expected="an H&E slide, with patches that fit on it",
                remedy="check --mpp and --image",
            )
        cut = SlidePatches(image if image.path is None else image.path, centres_px[kept], mpp,
                           patch_um, size)  # fmt: skip
        return cls(names[kept], centres_px[kept], mpp, pitch_um, Patches(cut, patch_um))


def _lattice(
    width_um: float, height_um: float, pitch_um: float, lattice: Lattice
) -> tuple[np.ndarray, np.ndarray]:
    """Return names and centres in µm of the lattice points of a rectangle."""
    step = pitch_um * (np.sqrt(3) / 2 if lattice == "hexagonal" else 1.0)
    columns, rows = int(width_um // pitch_um) + 1, int(height_um // step) + 1
    row, column = np.divmod(np.arange(columns * rows), columns)
    shift = (row % 2) / 2 if lattice == "hexagonal" else 0.0
    centres = np.column_stack([(column + 0.25 + shift) * pitch_um, (row + 0.5) * step])
    names = np.array([f"{c}x{r}" for c, r in zip(column, row, strict=True)], dtype=str)
    return names, centres


def _inside(centres_px: np.ndarray, image: SlideImage, side_px: float) -> np.ndarray:
    """Whether the whole patch lies on the slide; bool (n,)."""
    low, high = centres_px - side_px / 2, centres_px + side_px / 2
    fits = (low >= 0) & (high <= (image.width, image.height))
    return np.asarray(fits.all(axis=1))


def parse_um(text: str) -> float:
    """Read a length such as ``50um``, ``50 µm`` or ``50``.

    Raises
    ------
    InputError
        If it is none.
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(?:um|µm|μm)?\s*", text)
    if not found or not float(found[1]) > 0:
        raise InputError("pitch", "is no length", found=text, expected="such as 50um")
    return float(found[1])
