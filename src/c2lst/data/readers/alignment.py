"""Where Xenium's places are on the H&E image of the same section.

Xenium Explorer aligns an image and exports a 3 x 3 matrix as ``…_imagealignment.csv``. After
10x's knowledge base ("How can I convert coordinates between H&E image and Xenium data?") it maps
px of the H&E image to px of the morphology image, which are µm / ``pixel_size``.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from c2lst.data.image import SLIDE_SUFFIXES, SlideImage
from c2lst.data.readers.packed import opened_text
from c2lst.data.tissue import TissueMask
from c2lst.errors import InputError
from c2lst.progress import logger
from c2lst.storage import is_litter

_MOST_SHEAR = 1.05
_MOST = 0.5
_CLEARLY = 0.1
_REMEDY = "align the image in Xenium Explorer and export the matrix beside it"
_ALIGNMENTS = ("*imagealignment.csv", "*alignment.csv", "*matrix.csv")


@dataclass(frozen=True, eq=False)
class Alignment:
    """Affine map from px of an H&E image to px of the morphology image.

    Parameters
    ----------
    path
        File of the matrix.
    matrix
        (3, 3), acting on (x, y, 1).
    """

    path: Path
    matrix: np.ndarray

    @property
    def scale(self) -> float:
        """Morphology px for each H&E px."""
        return float(np.sqrt(abs(np.linalg.det(self.matrix[:2, :2]))))

    def to_image(self, morphology_px: np.ndarray) -> np.ndarray:
        """Places (n, 2) as (x, y) in px of the H&E image."""
        inverse = np.linalg.inv(self.matrix)
        return np.asarray(morphology_px) @ inverse[:2, :2].T + inverse[:2, 2]

    def inverted(self) -> Alignment:
        """Return the map of a file that was written the other way round."""
        return Alignment(self.path, np.linalg.inv(self.matrix))


def find_image(folder: Path) -> Path:
    """Path of the one H&E image of a Xenium folder, or beside it.

    Raises
    ------
    InputError
        If there is none, or more than one.
    """
    found: list[Path] = []
    for place in (folder, folder.parent):
        found = found or sorted(
            path
            for path in place.iterdir()
            if path.suffix.lower() in SLIDE_SUFFIXES
            and "he_image" in path.name.lower()
            and not is_litter(path)
        )
    if len(found) != 1:
        raise InputError(
            folder,
            "which is the H&E image?" if found else "the H&E image is missing",
            found=", ".join(path.name for path in found) or "no *he_image*",
            expected="one H&E image of the section, such as *_he_image.ome.tif",
            remedy="give it with --image",
        )
    return found[0]


def find_alignment(image: Path, folder: Path) -> Path:
    """Path of the matrix of ``image``: named after it, else the only one there.

    Raises
    ------
    InputError
        If there is none, or more than one.
    """
    stem = image.name
    while Path(stem).suffix.lower() in (*SLIDE_SUFFIXES, ".ome"):
        stem = Path(stem).stem
    places = list(dict.fromkeys((image.parent, folder)))
    for place in places:
        for name in (f"{stem}alignment.csv", f"{stem}_alignment.csv", f"{stem}_matrix.csv"):
            if (place / name).is_file():
                return place / name
    for pattern in _ALIGNMENTS:
        listed = {path for place in places for path in place.glob(pattern)}
        found = sorted(path for path in listed if not is_litter(path))
        if len(found) == 1:
            return found[0]
    raise InputError(
        image.parent,
        f"the alignment of {image.name} to the morphology image is missing",
        found=", ".join(path.name for path in found) or "no *_imagealignment.csv",
        expected=f"{stem}alignment.csv",
        remedy=_REMEDY,
    )


def read_alignment(path: Path) -> Alignment:
    """Read a matrix.

    Raises
    ------
    InputError
        If it is no 3 x 3 matrix of a rotation, a mirroring, a scale and a shift.
    """
    with opened_text(path) as lines:
        try:
            matrix = np.array([[float(v) for v in row] for row in csv.reader(lines) if row])
        except (ValueError, csv.Error) as error:
            raise _no_matrix(path, error) from error
    if matrix.shape != (3, 3) or not np.isfinite(matrix).all():
        raise _no_matrix(path, f"numbers of shape {matrix.shape}")
    widths = np.linalg.svd(matrix[:2, :2], compute_uv=False)
    if not np.allclose(matrix[2], (0, 0, 1)) or not 0 < widths[0] <= _MOST_SHEAR * widths[1]:
        raise _no_matrix(path, matrix.round(4).tolist())
    return Alignment(path, matrix)


def _no_matrix(path: Path, found: object) -> InputError:
    return InputError(
        path,
        "is no alignment of an image",
        found=found,
        expected="a 3 x 3 matrix of numbers with the last row 0,0,1, without shear",
        remedy=_REMEDY,
    )


def direction(
    alignment: Alignment, slide: SlideImage, morphology_px: np.ndarray, pixel_um: float
) -> Alignment:
    """Return the alignment as documented, or inverted where only that puts the spots on the image.

    Parameters
    ----------
    alignment
        As its file gives it.
    slide
        The H&E image.
    morphology_px
        (n, 2) spot centres in px of the morphology image.
    pixel_um
        µm per px of the morphology image.

    Raises
    ------
    InputError
        If neither does, or the other way round fits the tissue better.
    """
    ways = (alignment, alignment.inverted())
    size = (slide.width, slide.height)
    inside = [_inside(way.to_image(morphology_px), size).mean() for way in ways]
    if inside[0] < _MOST <= inside[1]:
        logger.warning(
            "%s maps morphology px to image px, the other way round than Xenium Explorer writes "
            "it, and is inverted", alignment.path,
        )  # fmt: skip
        return ways[1]
    if inside[0] < _MOST:
        raise InputError(
            alignment.path,
            f"puts most spots outside the image ({slide.path})",
            found=f"{inside[0]:.0%} inside, {inside[1]:.0%} if it is inverted",
            expected=f"at least {_MOST:.0%} inside {size[0]}x{size[1]} px",
            remedy="check that image and alignment belong together and are in full resolution",
        )
    if inside[1] >= _MOST:
        on = [
            TissueMask.of(slide, way.scale * pixel_um).at(way.to_image(morphology_px)).mean()
            for way in ways
        ]
        if on[1] > on[0] + _CLEARLY:
            raise InputError(
                alignment.path,
                "its direction is in doubt: inverted, it fits the tissue better",
                found=f"{on[0]:.0%} of the spots on tissue, {on[1]:.0%} if it is inverted",
                expected="image px to morphology px, as Xenium Explorer writes it",
                remedy="export the matrix from Xenium Explorer again",
            )
    return ways[0]


def _inside(centres: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Whether each (x, y) lies on an image of ``size``; bool (n,)."""
    return np.asarray(((centres >= 0) & (centres < size)).all(axis=1))


def inside_image(centres: np.ndarray, slide: SlideImage) -> np.ndarray:
    """Whether each (x, y) of shape (n, 2) lies on the image; bool (n,)."""
    return _inside(centres, (slide.width, slide.height))
