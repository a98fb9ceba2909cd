"""The array on the image: what the positions of its spots must agree on."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from c2lst.data.image import SlideImage
from c2lst.data.lattice import Lattice, fit_lattice
from c2lst.data.readers.constants import PositionColumn
from c2lst.data.readers.positions import Places
from c2lst.data.tissue import TissueMask
from c2lst.errors import InputError

_MOST_FITTED = 50_000
_LATTICE_TOLERANCE = 0.25
_MOST_COMPARED = 20_000
_CLEARLY = 0.02


def array_lattice(places: Places) -> Lattice:
    """Fit the array to its positions; of very many, an even draw.

    Raises
    ------
    InputError
        If they do not span the array, or disagree with it.
    """
    some = np.arange(len(places))
    if len(some) > _MOST_FITTED:
        some = np.random.default_rng(0).choice(some, _MOST_FITTED, replace=False)
    array = places.array[some]
    lattice = fit_lattice(array.astype(np.float64), places.centres_px[some], array)
    if lattice is None:
        raise InputError(
            places.path,
            "µm/px cannot be derived: the spots do not span the array",
            found=f"{len(places)} spots",
            expected="three or more, not on one line",
            remedy="give the positions of all spots, as Space Ranger wrote them",
        )
    if lattice.residual_px > _LATTICE_TOLERANCE * lattice.unit_px:
        raise InputError(
            places.path,
            "pixel and array coordinates disagree",
            found=f"a median distance of {lattice.residual_px:.0f} px",
            expected=f"below a quarter of an array unit ({lattice.unit_px / 4:.0f} px)",
            remedy="copy the file again; check that no column was sorted on its own",
        )
    return lattice


def check_axes(places: Places, image: Path, mpp: float, scale: float = 1.0) -> None:
    """Refuse positions whose pixel row and column are exchanged.

    On an upright image, pixel rows go with array rows. Where they go with array columns instead,
    either the two pixel columns are exchanged, the best-known mistake of the field, or the image
    is a mirrored one that was also turned, as it may be after CytAssist. The tissue decides.

    Parameters
    ----------
    places
        The positions.
    image
        The image they lie on.
    mpp
        µm per px of ``image``.
    scale
        Px of ``image`` for each full-resolution px.

    Raises
    ------
    InputError
        If they are exchanged.
    """
    if not _transposed(places):
        return
    with SlideImage.open(image) as slide:
        mask = TissueMask.of(slide, mpp)
    some = np.linspace(0, len(places) - 1, min(len(places), _MOST_COMPARED)).astype(int)
    told, centres = places.in_tissue[some], places.centres_px[some] * scale
    given, exchanged = ((mask.at(c) == told).mean() for c in (centres, centres[:, ::-1]))
    if given <= exchanged + _CLEARLY:
        raise InputError(
            places.path,
            f"columns {PositionColumn.PXL_ROW.value!r} and {PositionColumn.PXL_COL.value!r} "
            "look exchanged: pixel rows go with array columns",
            found=f"in_tissue agrees with the image at {given:.0%} of the spots",
            expected=f"{exchanged:.0%} as with the two exchanged",
            remedy="exchange the two columns; where the image itself is mirrored and turned, "
            "mirror it back",
        )


def _transposed(places: Places) -> bool:
    """Whether pixel rows grow with array columns, and pixel columns with array rows."""
    values = np.column_stack([places.array_row, places.array_col, places.centres_px])
    if len(values) < 3 or (np.ptp(values, axis=0) == 0).any():
        return False
    row_x, row_y, col_x, col_y = np.corrcoef(values.T)[:2, 2:].ravel()
    return bool(min(row_x, col_y) > max(abs(row_y), abs(col_x)))
