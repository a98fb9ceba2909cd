"""Patches: square crops of a slide, of a size in µm, sampled to a size in pixels."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import nullcontext
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from c2lst.data.cutting import Cutter
from c2lst.data.image import SlideImage
from c2lst.data.placement import patch_overlap, report_resolution, tissue_positions
from c2lst.errors import InputError
from c2lst.progress import progress_bar

__all__ = [
    "Patches",
    "SlidePatches",
    "extract_patches",
    "patch_overlap",
    "report_resolution",
    "tissue_positions",
]

_FEW = 64
_BATCH = 256
_NEARBY = 4  # widths of a patch


@dataclass(frozen=True, eq=False)
class Patches:
    """Square H&E patches that all show the same width of tissue.

    Parameters
    ----------
    images
        uint8 RGB of shape (n, S, S, 3): a numpy array, or anything with ``shape``, ``dtype`` and
        indexing by an integer array, such as a file that is read when asked.
    patch_um
        Width of a patch in µm.
    """

    images: Any
    patch_um: float

    def __post_init__(self) -> None:
        shape, dtype = tuple(self.images.shape), np.dtype(self.images.dtype)
        if len(shape) != 4 or shape[3] != 3 or shape[1] != shape[2] or dtype != np.uint8:
            raise InputError(
                "patches",
                "are no square 8-bit RGB images",
                found=f"{dtype} of shape {shape}",
                expected="uint8 of shape (n, S, S, 3)",
            )
        if not (np.isfinite(self.patch_um) and self.patch_um > 0):
            raise InputError(
                "patches", "patch_um is no width", found=self.patch_um, expected="µm above 0"
            )

    @property
    def size(self) -> int:
        """Width of a patch in px."""
        return int(self.images.shape[1])

    @property
    def mpp(self) -> float:
        """µm per patch pixel."""
        return self.patch_um / self.size

    def __len__(self) -> int:
        return int(self.images.shape[0])

    def __getitem__(self, indices: Any) -> np.ndarray:
        """uint8 patches of ``indices``: an integer, a slice, or an integer array."""
        return np.asarray(self.images[indices])

    def subset(self, indices: np.ndarray) -> Patches:
        """Patches of ``indices`` in that order; file-backed patches stay in their file."""
        take = getattr(self.images, "subset", None)
        images = self.images[indices] if take is None else take(indices)
        return Patches(images, self.patch_um)


class SlidePatches:
    """Patches that are cut from their slide when they are asked for: an array that holds none.

    Any choice of patches in any order gives the same pixels, and all methods may be called from
    several threads. The slide is opened when it is first needed; to another process goes only
    its path, where it has one.

    Parameters
    ----------
    source
        The slide, or the path of its file.
    centres_px
        (n, 2) centres as (x, y) in full-resolution px.
    mpp
        µm per full-resolution px.
    patch_um
        Width of a patch in µm.
    size
        Width of a patch in px, S.
    """

    dtype = np.dtype(np.uint8)

    def __init__(
        self,
        source: SlideImage | str | Path,
        centres_px: np.ndarray,
        mpp: float,
        patch_um: float,
        size: int,
    ) -> None:
        self.size = size
        self.centres_px = np.asarray(centres_px, dtype=np.float64).reshape(-1, 2)
        self._slide = _LazySlide(source, self.centres_px, patch_um / mpp, size)
        self._rows = np.arange(len(self.centres_px))

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(n, S, S, 3)."""
        return (len(self._rows), self.size, self.size, 3)

    def __len__(self) -> int:
        return len(self._rows)

    def subset(self, indices: np.ndarray) -> Self:
        """Return the patches of ``indices`` in that order, not yet cut."""
        chosen = copy(self)
        chosen.centres_px, chosen._rows = self.centres_px[indices], self._rows[indices]
        return chosen

    def __getitem__(self, indices: Any) -> np.ndarray:
        """uint8 patches of ``indices``: an integer, a slice, or an integer or bool array."""
        rows = self._rows[indices]
        patches = self._slide.cutter().cut(np.atleast_1d(rows))
        return patches if np.ndim(rows) else patches[0]

    def batches(self, count: int = _BATCH) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield all patches, (indices, uint8 patches), neighbours together.

        In this order each part of the slide is decoded about once, however the spots are sorted.
        """
        band = np.floor(self.centres_px / (_NEARBY * self._slide.width_px))
        order = np.lexsort((self.centres_px[:, 0], band[:, 1]))
        for start in range(0, len(order), count):
            indices = order[start : start + count]
            yield indices, self[indices]

    def release(self) -> None:
        """Close a slide that was opened here; it is opened again when a patch is asked for."""
        self._slide.release()


class _LazySlide:
    """A slide with the places of patches on it, opened when the first is cut."""

    def __init__(
        self, source: SlideImage | str | Path, centres: np.ndarray, width_px: float, size: int
    ) -> None:
        self.width_px = width_px
        self._given = source if isinstance(source, SlideImage) else None
        self._path = source.path if isinstance(source, SlideImage) else Path(source)
        self._centres = centres
        self._size = size
        self._cutter: Cutter | None = None
        self._lock = threading.Lock()

    def cutter(self) -> Cutter:
        with self._lock:
            if self._cutter is None:
                image = self._given
                if image is None:
                    assert self._path is not None
                    image = SlideImage.open(self._path)
                self._cutter = Cutter(image, self._centres, self.width_px, self._size)
            return self._cutter

    def release(self) -> None:
        with self._lock:
            if self._given is None and self._cutter is not None:
                self._cutter.image.close()
                self._cutter = None

    def __getstate__(self) -> dict[str, Any]:
        given = None if self._path is not None else self._given
        return {**self.__dict__, "_given": given, "_cutter": None, "_lock": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _lock=threading.Lock())


def extract_patches(
    image: SlideImage,
    centres_px: np.ndarray,
    mpp: float,
    patch_um: float,
    size: int,
    label: str = "patches",
) -> np.ndarray:
    """Cut a patch around every centre.

    A patch is cut to a fraction of a pixel from the coarsest level of the slide that is no
    coarser than the patch, and resampled by an antialiased Lanczos filter. One of as many px as
    the slide has there, within 0.5 %, is copied from the nearest whole pixel. What lies outside
    the slide takes the slide's background colour.

    Parameters
    ----------
    image
        The slide.
    centres_px
        (n, 2) centres as (x, y) in full-resolution px.
    mpp
        µm per full-resolution px.
    patch_um
        Width of a patch in µm.
    size
        Width of a patch in px, S.
    label
        What the progress bar shows.

    Returns
    -------
    uint8 (n, S, S, 3), in the order of ``centres_px``.
    """
    centres = np.asarray(centres_px, dtype=float).reshape(-1, 2)
    cutter = Cutter(image, centres, patch_um / mpp, size)
    # A handful is cut sooner than a bar is drawn.
    shown = progress_bar(label, len(centres)) if len(centres) > _FEW else nullcontext()
    with shown as bar:
        return cutter.cut(np.arange(len(centres)), None if bar is None else bar.advance)
