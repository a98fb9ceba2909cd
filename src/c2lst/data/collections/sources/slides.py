"""Whole-slide images, cut into patches on a grid where they show tissue."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from c2lst.data.collections.sources.base import (
    Source,
    SourceOptions,
    SourcePatch,
    unreadable,
)
from c2lst.data.collections.sources.folder import image_names
from c2lst.data.image import IMAGE_SUFFIXES, SLIDE_SUFFIXES, SlideImage, opened
from c2lst.data.patches import SlidePatches, tissue_positions
from c2lst.errors import InputError
from c2lst.progress import logger

TITLE = "whole-slide images"
LOOKS_FOR = (
    f"a slide, or a folder of slides ({', '.join(sorted(SLIDE_SUFFIXES - IMAGE_SUFFIXES))}, or "
    "images over 4,096 px)"
)

_LARGEST_PATCH_PX = 4096
_LARGEST_PATCH_BYTES = 1_000_000
_SAME_MPP = 0.05


def recognise(where: str) -> str | None:
    """Say why ``where`` is slides; none if it is not."""
    path = Path(where)
    if path.is_file():
        return "it is one image" if path.suffix.lower() in SLIDE_SUFFIXES else None
    if not path.is_dir():
        return None
    scanned = next(iter(_scanned(path)), None)
    if scanned is not None:
        return f"it has {scanned}"
    first = next(image_names(path), None)
    if first is not None and _is_large(path / first):
        return f"its first image, {first}, is over {_LARGEST_PATCH_PX:,} px"
    return None


def open_source(where: str, options: SourceOptions) -> Source:
    """Return the patches of one slide, or of all slides of a folder.

    Raises
    ------
    InputError
        If two slides have the same name.
    """
    path = Path(where)
    if path.is_file():
        return SlideTiles(where, [path], options)
    slides = [path / name for name in _scanned(path) or image_names(path)]
    by_name: dict[str, Path] = {}
    for slide in slides:
        if slide.stem in by_name:
            raise InputError(
                slide, "has the name of another slide", found=by_name[slide.stem],
                remedy="rename one of them",
            )  # fmt: skip
        by_name[slide.stem] = slide
    return SlideTiles(where, slides, options)


def _scanned(folder: Path) -> list[str]:
    """Paths of the scanners' own files; of a DICOM series, which fills a folder, the first."""
    found: list[str] = []
    series: set[str] = set()
    for name in image_names(folder, suffixes=SLIDE_SUFFIXES - IMAGE_SUFFIXES):
        inner, _, _ = name.rpartition("/")
        if not (name.lower().endswith(".dcm") and inner in series):
            found.append(name)
        series.add(inner)
    return found


def _is_large(path: Path) -> bool:
    try:
        with opened(path) as image:
            return max(image.size) > _LARGEST_PATCH_PX
    except InputError:  # Pillow refuses the largest TIFFs; a damaged patch is a small file
        large = path.is_file() and path.stat().st_size > _LARGEST_PATCH_BYTES
        return large and path.suffix.lower() in (".tif", ".tiff")


class SlideTiles:
    """Patches of several slides, named ``slide@x,y`` by their centre in full-resolution px.

    Parameters
    ----------
    origin
        What the user called it.
    paths
        The slides; the name of each is its file's name without suffix.
    options
        ``patch_um``, ``size`` and ``stride_um`` of the grid; ``mpp`` holds for slides whose file
        does not state theirs.
    """

    licence = None
    count = None

    def __init__(self, origin: str, paths: list[Path], options: SourceOptions) -> None:
        self.origin = origin
        self.paths = paths
        self.options = options

    def __iter__(self) -> Iterator[SourcePatch]:
        """Give the patches slide by slide, neighbours together."""
        found = 0
        for path in self.paths:
            for patch in self._of_slide(path):
                found += 1
                yield patch
        if not found:
            raise InputError(
                self.origin,
                f"no tissue for patches of {self.options.patch_um:g} µm was found",
                remedy="check --mpp and --patch-um",
            )

    def _of_slide(self, path: Path) -> Iterator[SourcePatch]:
        """Give the patches of a slide; where it is damaged, that in place of those to come."""
        try:
            image = SlideImage.open(path)
        except InputError as error:
            yield SourcePatch(path.stem, unreadable(error), slide=path.stem)
            return
        with image:
            mpp = self._mpp(image, path)
            try:
                yield from self._cut(image, mpp, path)
            except InputError as error:
                yield SourcePatch(path.stem, unreadable(error), slide=path.stem)

    def _cut(self, image: SlideImage, mpp: float, path: Path) -> Iterator[SourcePatch]:
        patch_um, size = self.options.patch_um, self.options.size
        stride_um = self.options.stride_um or patch_um
        places = tissue_positions(image, mpp, patch_um, stride_um)
        logger.info("%s: %d patches on tissue, %.3f µm/px", path.name, len(places), mpp)
        for rows, pixels in SlidePatches(image, places, mpp, patch_um, size).batches():
            for (x, y), patch in zip(places[rows], pixels, strict=True):
                name = f"{path.stem}@{x:.0f},{y:.0f}"
                yield SourcePatch(name, patch, slide=path.stem, mpp=patch_um / size)

    def _mpp(self, image: SlideImage, path: Path) -> float:
        given = self.options.mpp
        if image.mpp is None:
            if given is None:
                raise InputError(path, "does not state its µm/px", remedy="give --mpp")
            return given
        if given is not None and abs(given / image.mpp - 1) > _SAME_MPP:
            logger.warning(
                "%s: states %.4g µm/px, which is used, not %.4g", path.name, image.mpp, given
            )
        return image.mpp
