"""Patches that are read when they are asked for, behind what an array offers: shape and index."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from c2lst.data.collections.pixels import MAX_PIXELS, side_px, square
from c2lst.data.image import decode_rgb
from c2lst.storage import hash_arrays, hash_strings

_MOST_THREADS = 8


def content_hash(images: Any) -> str:
    """SHA-256 of an array, or what images that are read when asked for say of themselves."""
    if isinstance(images, np.ndarray):
        return hash_arrays({"images": images})
    return str(images.content_hash)


class ImageFiles:
    """Square patches in image files.

    Nothing is kept in memory: training keeps what fits there
    (:class:`c2lst.central.CentralModel`), and one place to do so is enough.

    Parameters
    ----------
    paths
        One image each.
    size
        Width in px that each is resampled to, antialiased.
    mpp
        µm per px of the files, where it is known.
    patch_um
        Width in µm to cut from the centre of each; needs ``mpp``. Else the largest centred
        square is taken whole.
    """

    dtype = np.dtype(np.uint8)

    def __init__(
        self,
        paths: Sequence[Path],
        size: int,
        mpp: float | None = None,
        patch_um: float | None = None,
    ) -> None:
        self.paths = tuple(paths)
        self.size = size
        self.mpp = mpp
        self.patch_um = patch_um

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(n, S, S, 3)."""
        return (len(self.paths), self.size, self.size, 3)

    @property
    def content_hash(self) -> str:
        """SHA-256 over the sizes of the files in bytes, and how they are cut."""
        sizes = [str(path.stat().st_size) for path in self.paths]
        return hash_strings([*sizes, f"{self.size}|{self.patch_um}"])

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, indices: Any) -> np.ndarray:
        wanted = np.arange(len(self))[indices]
        flat = np.atleast_1d(wanted)
        images = np.empty((len(flat), *self.shape[1:]), dtype=np.uint8)
        with ThreadPoolExecutor(min(_MOST_THREADS, os.cpu_count() or 1)) as pool:
            for row, image in enumerate(pool.map(self._patch, flat.tolist())):
                images[row] = image
        return images.reshape(*wanted.shape, *self.shape[1:])

    def _patch(self, index: int) -> np.ndarray:
        from PIL import Image

        path = self.paths[index]
        image = Image.fromarray(decode_rgb(path, MAX_PIXELS))
        side = side_px(image.size, self.mpp, self.patch_um, str(path))
        return square(image, side, self.size)


class Changed:
    """Images that are changed when they are read."""

    dtype = np.dtype(np.uint8)

    def __init__(self, images: Any, change: Callable[[np.ndarray], np.ndarray]) -> None:
        self.images = images
        self._change = change
        self.shape = tuple(images.shape)

    @property
    def content_hash(self) -> str:
        """That of the images before the change."""
        return content_hash(self.images)

    def __len__(self) -> int:
        return int(self.shape[0])

    def __getitem__(self, indices: Any) -> np.ndarray:
        found = np.asarray(self.images[indices])
        return self._change(found) if found.ndim == 4 else self._change(found[None])[0]


class Joined:
    """Several image sources read as one."""

    dtype = np.dtype(np.uint8)

    def __init__(self, parts: list[Any]) -> None:
        self.parts = parts
        self._starts = np.cumsum([0, *(len(part) for part in parts)])

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(n, S, S, 3)."""
        return (int(self._starts[-1]), *self.parts[0].shape[1:])

    @property
    def content_hash(self) -> str:
        """SHA-256 over those of the parts."""
        return hash_strings(map(content_hash, self.parts))

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __getitem__(self, indices: Any) -> np.ndarray:
        wanted = np.arange(len(self))[indices]
        flat = np.atleast_1d(wanted)
        images = np.empty((len(flat), *self.shape[1:]), dtype=np.uint8)
        home = np.searchsorted(self._starts, flat, side="right") - 1
        for number, part in enumerate(self.parts):
            rows = home == number
            if rows.any():
                images[rows] = part[flat[rows] - self._starts[number]]
        return images.reshape(*wanted.shape, *self.shape[1:])
