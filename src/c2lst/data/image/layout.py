"""Where the pixels of a TIFF lie: its levels, the tiles of each, and the µm/px it states."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import numpy as np

from c2lst.data.image.plain import not_8_bit_rgb
from c2lst.data.image.resolution import mpp_of_dpi, square_mpp
from c2lst.data.image.tiff import Plane, TiffImage, TiffLevel
from c2lst.errors import InputError

if TYPE_CHECKING:
    from tifffile import TiffFile, TiffPage, TiffPageSeries

_SMALL_PX = 100_000_000  # Striped images up to here are plain: faster whole than by strips.
_LARGEST_TILE_PX = 64_000_000
_PLAIN_STRIP_ROWS = 64
_GREY, _RGB, _YCBCR = 1, 2, 6
_CONTIGUOUS = 1
_NONE, _LZW, _JPEG, _DEFLATE, _PACKBITS, _OLD_DEFLATE = 1, 5, 7, 8, 32773, 32946
_OF_PILLOW = frozenset({_NONE, _LZW, _JPEG, _DEFLATE, _PACKBITS, _OLD_DEFLATE})
_IN_JPEG = frozenset({6, _JPEG, 33007, 34892})
_UM = {"µm": 1.0, "μm": 1.0, "um": 1.0, "micron": 1.0, "nm": 1e-3, "mm": 1e3, "cm": 1e4}


def is_tiff(path: Path) -> bool:
    """Whether the file begins as a TIFF or BigTIFF does."""
    with path.open("rb") as file:
        return file.read(4) in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def open_tiff(path: Path) -> TiffImage | None:
    """Open a TIFF tile by tile; none where it is a plain image, or no TIFF after all.

    Raises
    ------
    InputError
        If it is no 8-bit RGB, cut short, or in tiles too large to decode.
    """
    try:
        with _parsed(path) as file:
            series = max(file.series, key=lambda found: _area(found.keyframe))
            if _is_plain(series):
                return None
            levels = [_level(path, level, file) for level in series.levels]
            return TiffImage(path, levels, _stated_mpp(path, file, series.keyframe))
    except InputError:
        raise
    except Exception:  # The parser meets damage with errors of every kind; Pillow says which.
        return None


def open_aperio(
    path: Path, sizes: tuple[tuple[int, int], ...], mpp: float | None
) -> TiffImage | None:
    """Open an Aperio slide tile by tile; none unless its levels have ``sizes`` and JPEG tiles."""
    try:
        with _parsed(path) as file:
            levels = [_level(path, level, file) for level in file.series[0].levels]
            if file.series[0].keyframe.compression != _JPEG:
                return None
    except Exception:  # Whatever it is, OpenSlide has opened the file.
        return None
    found = tuple(level.size for level in levels)
    return TiffImage(path, levels, mpp) if found == sizes else None


@contextmanager
def _parsed(path: Path) -> Iterator[TiffFile]:
    """Open with tifffile, whose remarks on odd or damaged files are nobody's to act on."""
    import tifffile

    logger = logging.getLogger("tifffile")
    before, logger.disabled = logger.disabled, True
    try:
        with tifffile.TiffFile(path) as file:
            yield file
    finally:
        logger.disabled = before


def _area(page: TiffPage) -> int:
    return int(page.imagewidth) * int(page.imagelength)


def _is_plain(series: TiffPageSeries) -> bool:
    """Whether Pillow decodes it whole: small, or compressed in strips that are hardly smaller."""
    page = series.keyframe
    strip_px = int(page.rowsperstrip or page.imagelength) * int(page.imagewidth)
    return (
        not page.is_tiled
        and len(series.levels) == 1
        and len(series.pages) == 1
        and page.planarconfig == _CONTIGUOUS
        and page.compression in _OF_PILLOW
        and (
            _area(page) <= _SMALL_PX or (page.compression != _NONE and strip_px > _LARGEST_TILE_PX)
        )
    )


def _level(path: Path, level: TiffPageSeries, file: TiffFile) -> TiffLevel:
    page = level.keyframe
    _check_kind(path, level)
    size = (int(page.imagewidth), int(page.imagelength))
    tile = (
        (int(page.tilewidth), int(page.tilelength))
        if page.is_tiled
        else (size[0], min(int(page.rowsperstrip), size[1]))
    )
    if not page.is_tiled and page.compression == _NONE and page.is_contiguous:
        return _uncompressed(level, size)
    if tile[0] * tile[1] > _LARGEST_TILE_PX:
        raise InputError(
            path,
            "the tiles of the image are too large to decode",
            found=f"{tile[0]}x{tile[1]} px",
            expected=f"at most {_LARGEST_TILE_PX / 1e6:g} megapixels",
            remedy="save it as a tiled TIFF",
        )
    planes = [
        _plane(path, single, first, file)
        for single in level.pages
        for first in _first_tiles(page, size, tile)
    ]
    return TiffLevel(size, tile, tuple(planes), int(next(iter(page.extrasamples), 0)))


def _check_kind(path: Path, level: TiffPageSeries) -> None:
    """Refuse what is no 8-bit RGB, in one page or in a page for each colour."""
    page = level.keyframe
    colours = len(level.pages) * page.samplesperpixel
    rgb = page.photometric == _RGB or (page.photometric == _YCBCR and page.compression in _IN_JPEG)
    by_page = len(level.pages) == 3 and page.samplesperpixel == 1 and page.photometric == _GREY
    if (
        page.dtype != np.uint8
        or page.bitspersample != 8
        or colours not in (3, 4)
        or None in level.pages
        or not (rgb or by_page)
    ):
        raise not_8_bit_rgb(
            path,
            f"{page.dtype} of {page.bitspersample} bits, {colours} channels, "
            f"{getattr(page.photometric, 'name', page.photometric)}",
        )


def _first_tiles(page: TiffPage, size: tuple[int, int], tile: tuple[int, int]) -> range:
    """Index of the first tile of each colour, or of all colours where they lie side by side."""
    count = -(-size[0] // tile[0]) * -(-size[1] // tile[1])
    planes = 1 if page.planarconfig == _CONTIGUOUS else page.samplesperpixel
    return range(0, planes * count, count)


def _plane(path: Path, page: Any, first: int, file: TiffFile) -> Plane:
    offsets, counts = page.dataoffsets, page.databytecounts
    end = max((o + c for o, c in zip(offsets, counts, strict=True)), default=0)
    if end > file.filehandle.size:
        raise InputError(
            path,
            "the image file is cut short",
            found=f"{file.filehandle.size:,} bytes",
            expected=f"at least {end:,}",
            remedy="copy it again",
        )
    tables = page.jpegtables
    decode = partial(page.decode, jpegtables=tables) if tables else page.decode
    colours = page.keyframe.samplesperpixel if page.keyframe.planarconfig == _CONTIGUOUS else 1
    return Plane(lambda data, index: decode(data, index)[0], offsets, counts, colours, first)


def _uncompressed(level: TiffPageSeries, size: tuple[int, int]) -> TiffLevel:
    """Cut pixels that lie in the file as they are into strips of a few rows."""
    page = level.keyframe
    colours = page.samplesperpixel if page.planarconfig == _CONTIGUOUS else 1
    row_bytes = size[0] * colours
    starts = range(0, size[1], _PLAIN_STRIP_ROWS)
    counts = [min(_PLAIN_STRIP_ROWS, size[1] - start) * row_bytes for start in starts]
    begins = [
        single.dataoffsets[0] + k * size[1] * row_bytes
        for single in level.pages
        for k in range(page.samplesperpixel // colours)
    ]
    planes = [
        Plane(
            _as_it_is(size[0], colours),
            [begin + start * row_bytes for start in starts],
            counts,
            colours,
        )
        for begin in begins
    ]
    extra = int(next(iter(page.extrasamples), 0))
    return TiffLevel(size, (size[0], _PLAIN_STRIP_ROWS), tuple(planes), extra)


def _as_it_is(width: int, colours: int) -> Callable[[bytes, int], np.ndarray]:
    return lambda data, _: np.frombuffer(data, np.uint8).reshape(1, -1, width, colours)


def _stated_mpp(path: Path, file: TiffFile, page: TiffPage) -> float | None:
    """µm/px from OME metadata, from ImageJ's, or from the resolution where it is credible."""
    if file.is_ome and file.ome_metadata:
        return _ome_mpp(path, file.ome_metadata, page)
    x, y = page.resolution
    if file.is_imagej:
        unit = _UM.get(str((file.imagej_metadata or {}).get("unit", "")).replace("\\u00B5", "µ"))
        return None if unit is None or not x or not y else square_mpp(path, unit / x, unit / y)
    per_inch = {2: 1.0, 3: 2.54}.get(int(page.resolutionunit))
    return None if per_inch is None else mpp_of_dpi((x * per_inch, y * per_inch))


def _ome_mpp(path: Path, xml: str, page: TiffPage) -> float | None:
    try:
        found = ElementTree.fromstring(xml).findall(".//{*}Pixels")
    except ElementTree.ParseError:
        return None
    size = (str(page.imagewidth), str(page.imagelength))
    for pixels in found:
        if (pixels.get("SizeX"), pixels.get("SizeY")) == size:
            x, y = (_ome_um(pixels, axis) for axis in "XY")
            return square_mpp(path, x, y)
    return None


def _ome_um(pixels: ElementTree.Element, axis: str) -> float:
    """µm of ``PhysicalSizeX`` or ``PhysicalSizeY``; 0 where it is not stated."""
    try:
        value = float(pixels.get(f"PhysicalSize{axis}", 0))
    except ValueError:
        return 0.0
    return value * _UM.get(pixels.get(f"PhysicalSize{axis}Unit", "µm"), 0.0)
