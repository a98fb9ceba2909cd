"""What Visium and Visium HD share: Space Ranger's files, its image, and barcodes with places."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from c2lst.data.image import SLIDE_SUFFIXES, SlideImage, opened
from c2lst.data.raw import ReadRequest
from c2lst.data.readers.constants import ScaleFactor, SpaceRangerFile
from c2lst.data.readers.packed import read_length, read_packed_json
from c2lst.data.readers.positions import Places
from c2lst.errors import InputError
from c2lst.progress import logger
from c2lst.storage import is_litter

_NO_SLIDES = ("hires", "lowres", "aligned_", "detected_tissue", "cytassist", "barcode_fluor")
_RESOLUTION_TOLERANCE = 0.02
_MOST_OFF_TISSUE = 0.05
_WITHIN_OUTS = (SpaceRangerFile.OUTS, SpaceRangerFile.SPATIAL, SpaceRangerFile.BINNED)


@dataclass(frozen=True)
class SpatialFiles:
    """Space Ranger's files about places and images.

    Parameters
    ----------
    positions
        Tissue positions.
    scalefactors, hires
        Scale factors and ``tissue_hires_image.png``, where they are there.
    """

    positions: Path
    scalefactors: Path | None
    hires: Path | None

    @classmethod
    def beside(cls, positions: Path, prefix: str = "") -> SpatialFiles:
        """Find the files beside ``positions``, with a prefix or without."""
        prefixes = (prefix, "")
        factors = find(positions.parent, (SpaceRangerFile.SCALEFACTORS,), prefixes)
        hires = find(positions.parent, (SpaceRangerFile.HIRES,), prefixes)
        return cls(positions, factors, hires if hires and hires.suffix == ".png" else None)

    def hires_scale(self) -> float | None:
        """Px of the hires image for a full-resolution px; none where one of the files is missing.

        Raises
        ------
        InputError
            If the scale factors are damaged.
        """
        if self.scalefactors is None or self.hires is None:
            return None
        factors = read_packed_json(self.scalefactors)
        return read_length(self.scalefactors, factors, ScaleFactor.HIRES)


@dataclass(frozen=True)
class ChosenImage:
    """The image to cut patches from, and its px for each full-resolution px of the positions."""

    path: Path
    scale: float


def find(folder: Path, names: Iterable[str], prefixes: Iterable[str] = ("",)) -> Path | None:
    """Find the first of ``names``, plain or gzipped, with the first of ``prefixes`` it has."""
    prefixes = tuple(prefixes)
    for name in names:
        for prefix in prefixes:
            for path in (folder / f"{prefix}{name}", folder / f"{prefix}{name}.gz"):
                if path.exists():
                    return path
    return None


def prefixes_of(folder: Path, names: Iterable[str]) -> dict[str, Path]:
    """Prefixes such as ``GSM1_`` before one of ``names``, plain or gzipped, and their files."""
    found: dict[str, Path] = {}
    paths = sorted(folder.iterdir()) if folder.is_dir() else []
    paths = [path for path in paths if not is_litter(path)]
    for name in names:
        for path in paths:
            plain = path.name.removesuffix(".gz")
            prefix = plain.removesuffix(name)
            if plain.endswith(name) and (not prefix or prefix[-1] in "_-."):
                found.setdefault(prefix, path)
    return found


def sample_name(folder: Path) -> str:
    """Name of the folder that Space Ranger's own folders lie in."""
    folder = folder.resolve()
    while folder.name in _WITHIN_OUTS or folder.name.startswith("square_"):
        folder = folder.parent
    return folder.name or "section"


def join_places(matrix: Path, barcodes: np.ndarray, places: Places) -> np.ndarray:
    """Row of ``places`` for each barcode of a matrix.

    Slides of one kind share their barcodes, so positions of another sample join as well; but the
    filtered matrix holds the barcodes in tissue alone, and that gives them away.

    Parameters
    ----------
    matrix
        File of the counts.
    barcodes
        str (n,).
    places
        Where they are.

    Returns
    -------
    int (n,).

    Raises
    ------
    InputError
        If a barcode has no place, or a filtered matrix is of another tissue.
    """
    import pandas as pd

    rows = pd.Index(places.barcodes).get_indexer(pd.Index(barcodes.astype(object)))
    absent = rows < 0
    if absent.any():
        raise InputError(
            matrix,
            f"{absent.sum()} of {len(rows)} barcodes are not in {places.path.name}",
            found=repr(str(barcodes[absent][0])),
            expected=f"barcodes such as {str(places.barcodes[0])!r}",
            remedy=f"check that {places.path} is of the same sample",
        )
    off = ~places.in_tissue[rows]
    if "filtered" in matrix.name and off.mean() > _MOST_OFF_TISSUE:
        raise InputError(
            places.path,
            "is of another sample than the counts, or of another tissue detection",
            found=f"in_tissue 0 for {off.sum()} of {len(off)} barcodes of {matrix.name}",
            expected="in_tissue 1 for all barcodes of a filtered matrix",
            remedy="give spatial/ and matrix of the same run of Space Ranger",
        )
    return rows


def choose_image(
    spatial: SpatialFiles,
    folders: Iterable[Path],
    prefix: str,
    places: Places,
    mpp: float,
    request: ReadRequest,
) -> ChosenImage:
    """Choose the image: the one asked for, else one that lies there, else the hires image.

    The full-resolution image is not part of Space Ranger's output. Its size is known from the
    hires image and its scale factor, which tells it from images of another resolution.

    Parameters
    ----------
    spatial
        Files about the image.
    folders, prefix
        Where an image may lie, and the prefix of its name where it has one.
    places
        The positions.
    mpp
        µm per full-resolution px.
    request
        How the section is to be read.

    Raises
    ------
    InputError
        If there is no image, or the given one is not in the resolution of the positions.
    """
    scale = spatial.hires_scale()
    full = None
    if spatial.hires is not None and scale is not None:
        width, height = _size(spatial.hires)
        full = (width / scale, height / scale)
    if request.image is not None:
        _check_resolution(request.image, places, full)
        return ChosenImage(request.image, 1.0)
    found = _slides(folders, prefix)
    fitting = [path for path in found if full is None or _agrees(_size(path), full)]
    if len(fitting) == 1:
        logger.info("%s: taken as the full-resolution image", fitting[0])
        return ChosenImage(fitting[0], 1.0)
    seen = ", ".join(path.name for path in found) or "none"
    if spatial.hires is None or scale is None:
        raise InputError(
            spatial.positions.parent,
            "the image is missing",
            found=f"images: {seen}",
            expected=f"the full-resolution image, or {SpaceRangerFile.HIRES} and "
            f"{SpaceRangerFile.SCALEFACTORS}",
            remedy="give the full-resolution image with --image",
        )
    px = request.patch_um / mpp * scale
    logger.warning(
        "%s is used, at %.2f µm/px: a patch of %g µm is %.0f px there%s. Give the full-resolution "
        "image with --image (images here: %s)",
        spatial.hires.name, mpp / scale, request.patch_um, px,
        f", and is upsampled to {request.size} px" if px < request.size else "", seen,
    )  # fmt: skip
    return ChosenImage(spatial.hires, scale)


def _slides(folders: Iterable[Path], prefix: str) -> list[Path]:
    """Images that may be the slide; those with the sample's prefix where there are any."""
    found = {
        path.resolve(): path
        for folder in folders
        if folder.is_dir()
        for path in sorted(folder.iterdir())
        if path.suffix.lower() in SLIDE_SUFFIXES
        and path.is_file()
        and not is_litter(path)
        and not any(part in path.name.lower() for part in _NO_SLIDES)
    }
    named = [path for path in found.values() if prefix and path.name.startswith(prefix)]
    return named or list(found.values())


def _size(path: Path) -> tuple[int, int]:
    if path.suffix.lower() in (".png", ".jpg", ".jpeg"):
        with opened(path) as image:  # reads no more than the header
            return image.size
    with SlideImage.open(path) as slide:
        return slide.width, slide.height


def _agrees(size: tuple[float, float], full: tuple[float, float]) -> bool:
    return all(abs(a / b - 1) <= _RESOLUTION_TOLERANCE for a, b in zip(size, full, strict=True))


def _check_resolution(path: Path, places: Places, full: tuple[float, float] | None) -> None:
    size = _size(path)
    shown = f"{size[0]}x{size[1]} px"
    remedy = "give the image that Space Ranger was run on; without --image, the hires image is used"
    if full is not None and not _agrees(size, full):
        ratio = np.divide(size, full)
        scaled = abs(ratio[0] / ratio[1] - 1) <= _RESOLUTION_TOLERANCE
        raise InputError(
            path,
            f"is the image at {ratio[0]:.3g} times the resolution of the positions"
            if scaled
            else "is not the image of the positions",
            found=shown,
            expected=f"about {full[0]:.0f}x{full[1]:.0f} px, from the hires image and its scale",
            remedy=remedy,
        )
    needed = places.centres_px[places.in_tissue].max(axis=0)
    if (needed > size).any():
        raise InputError(
            path,
            "is too small for the positions: it is not in full resolution, or of another sample",
            found=shown,
            expected=f"at least {needed[0]:.0f}x{needed[1]:.0f} px, where the spots end",
            remedy=remedy if full is not None else "give the image that Space Ranger was run on",
        )
