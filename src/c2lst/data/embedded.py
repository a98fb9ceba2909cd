"""Slides that come inside another file: written as a TIFF, and taken along by what is saved.

AnnData and SpatialData hold images as arrays. A section needs its slide as a file, for patches
are cut from it long after it was read; so the array is written to a folder of this process, and
``Section.save`` copies it to where it stays.
"""

from __future__ import annotations

import atexit
import math
import shutil
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

_TILE_PX = 512
_UM_PER_CM = 10_000.0
_CLASSIC_BYTES = 2**31


def write_slide(name: str, pixels: Any, mpp: float | None = None) -> Path:
    """Write an image as a tiled TIFF without loss, a row of tiles at a time.

    Parameters
    ----------
    name
        What to call it.
    pixels
        uint8 (h, w, 3): a numpy array, or one that is read when it is indexed, as dask's are.
    mpp
        µm per px, noted in the file.

    Returns
    -------
    Its path, valid until this process ends.
    """
    import tifffile

    # A name that is none for a file is refused by the section, which says what to give instead.
    path = Path(tempfile.mkdtemp(dir=_folder())) / f"{Path(name).name}.tif"
    per_cm = None if mpp is None else (_UM_PER_CM / mpp, _UM_PER_CM / mpp)
    tifffile.imwrite(
        path,
        _tiles(pixels),
        shape=tuple(pixels.shape),
        dtype=np.uint8,
        tile=(_TILE_PX, _TILE_PX),
        photometric="rgb",
        compression="zlib",
        resolution=per_cm,
        resolutionunit=None if per_cm is None else "CENTIMETER",
        metadata=None,
        # tifffile cannot know how long what it is given tile by tile will be; a classic TIFF
        # ends, in the middle of the work, at 4 GiB.
        bigtiff=math.prod(pixels.shape) > _CLASSIC_BYTES,
    )
    return path


def is_embedded(path: Path) -> bool:
    """Whether ``write_slide`` wrote the file, so that it goes when this process ends."""
    return _folder() in path.parents


def _tiles(pixels: Any) -> Iterator[np.ndarray]:
    height, width = pixels.shape[:2]
    for y in range(0, height, _TILE_PX):
        row = np.asarray(pixels[y : y + _TILE_PX])
        for x in range(0, width, _TILE_PX):
            tile = np.zeros((_TILE_PX, _TILE_PX, 3), dtype=np.uint8)
            part = row[:, x : x + _TILE_PX]
            tile[: part.shape[0], : part.shape[1]] = part
            yield tile


@cache
def _folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="c2lst-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
