"""Patches: square crops of a slide, of a size in µm, sampled to a size in pixels."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np

from c2lst.data.image import SlideImage
from c2lst.data.tissue import TissueMask, background_colour, tissue_fraction
from c2lst.errors import InputError
from c2lst.progress import logger, progress_bar

__all__ = [
    "Patches",
    "extract_patches",
    "patch_overlap",
    "tissue_fraction",
    "tissue_positions",
]

_MIN_TISSUE_SHARE = 0.5
_FEW = 64
_RIM = 3  # reach of the Lanczos filter, in px of the patch


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


def extract_patches(
    image: SlideImage,
    centres_px: np.ndarray,
    mpp: float,
    patch_um: float,
    size: int,
    label: str = "patches",
) -> np.ndarray:
    """Crop and resample a patch around every centre.

    The crop is exact to a fraction of a pixel and resampled by an antialiased Lanczos filter.
    What lies outside the slide takes the slide's background colour.

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
    width_px = patch_um / mpp
    fill = np.rint(background_colour(image.thumbnail(512))).astype(np.uint8)
    patches = np.empty((len(centres), size, size, 3), dtype=np.uint8)

    def crop(index: int) -> None:
        patches[index] = _crop(image, centres[index], width_px, size, fill)

    # A handful is cut sooner than a bar is drawn.
    shown = progress_bar(label, len(centres)) if len(centres) > _FEW else nullcontext()
    with ThreadPoolExecutor(_threads()) as pool, shown as bar:
        for _ in pool.map(crop, range(len(centres))):
            if bar is not None:
                bar.advance()
    return patches


def _crop(
    image: SlideImage, centre: np.ndarray, width_px: float, size: int, fill: np.ndarray
) -> np.ndarray:
    from PIL import Image

    # Pillow's filter stops at the box; with a rim of its own reach, sampled and cut off again,
    # the outer pixels of a patch see their true neighbours.
    wide_px = width_px * (1 + 2 * _RIM / size)
    low, high = centre - wide_px / 2, centre + wide_px / 2
    x0, y0 = np.floor(low).astype(int).tolist()
    x1, y1 = np.ceil(high).astype(int).tolist()
    region = np.empty((y1 - y0, x1 - x0, 3), dtype=np.uint8)
    region[:] = fill
    left, top = max(x0, 0), max(y0, 0)
    right, bottom = min(x1, image.width), min(y1, image.height)
    if right > left and bottom > top:
        region[top - y0 : bottom - y0, left - x0 : right - x0] = image.read(
            left, top, right - left, bottom - top
        )
    limits = np.array([x1 - x0, y1 - y0] * 2, dtype=float)
    box = np.clip([*(low - [x0, y0]), *(high - [x0, y0])], 0, limits).tolist()
    wide = (size + 2 * _RIM, size + 2 * _RIM)
    sampled = Image.fromarray(region).resize(wide, Image.Resampling.LANCZOS, box=tuple(box))
    return np.asarray(sampled)[_RIM:-_RIM, _RIM:-_RIM]


def _threads() -> int:
    available = getattr(os, "sched_getaffinity", None)
    count = len(available(0)) if available else os.cpu_count() or 1
    return min(8, count)


def tissue_positions(
    image: SlideImage,
    mpp: float,
    patch_um: float,
    stride_um: float,
    exclude_um: np.ndarray | None = None,
    exclude_radius_um: float | None = None,
) -> np.ndarray:
    """Grid positions on tissue whose patches share no pixel with the excluded ones.

    Patches are squares along the image's axes: two of width w share a pixel if and only if their
    centres differ by less than w both in x and in y. A position is therefore dropped where its
    Chebyshev distance to an excluded centre is below ``exclude_radius_um``.

    Parameters
    ----------
    image, mpp
        The slide and its µm per full-resolution px.
    patch_um
        Width of a patch in µm; at least half of it must be tissue, all of it on the slide.
    stride_um
        Step of the grid in µm.
    exclude_um
        (m, 2) centres as (x, y) in µm to stay away from, such as the test spots.
    exclude_radius_um
        ``patch_um`` by default.

    Returns
    -------
    float64 (k, 2) centres as (x, y) in full-resolution px, row by row; k may be 0.
    """
    if not (stride_um > 0 and patch_um > 0):
        raise InputError(
            "tissue positions", "stride_um and patch_um must be above 0", found=stride_um
        )
    half = patch_um / 2
    x = np.arange(half, image.width * mpp - half + 1e-9, stride_um)
    y = np.arange(half, image.height * mpp - half + 1e-9, stride_um)
    grid_um = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    if len(grid_um) == 0:
        return np.empty((0, 2))
    share = TissueMask.of(image, mpp).share(grid_um / mpp, patch_um / mpp)
    keep = share >= _MIN_TISSUE_SHARE
    if exclude_um is not None and len(exclude_um):
        from scipy.spatial import KDTree

        radius = patch_um if exclude_radius_um is None else exclude_radius_um
        nearest, _ = KDTree(np.asarray(exclude_um, dtype=float)).query(grid_um, p=np.inf)
        keep &= nearest >= radius
    return grid_um[keep] / mpp


def patch_overlap(centres_um: np.ndarray, patch_um: float) -> np.ndarray:
    """Share of each patch that also lies in the patch of another spot.

    Parameters
    ----------
    centres_um
        (n, 2) centres in µm.
    patch_um
        Width of a patch in µm.

    Returns
    -------
    float64 (n,), in [0, 1].
    """
    from scipy.spatial import KDTree

    centres = np.asarray(centres_um, dtype=float)
    neighbours = KDTree(centres).query_ball_point(centres, patch_um, p=np.inf)
    return np.array(
        [
            _covered(centres[[other for other in near if other != index]] - centre, patch_um)
            for index, (near, centre) in enumerate(zip(neighbours, centres, strict=True))
        ]
    )


def _covered(offsets: np.ndarray, width: float) -> float:
    """Share of a square that equal squares at ``offsets`` (m, 2) cover together."""
    low = np.clip(offsets - width / 2, -width / 2, width / 2)
    high = np.clip(offsets + width / 2, -width / 2, width / 2)
    edges = [np.unique([*low[:, axis], *high[:, axis]]) for axis in (0, 1)]
    x, y = ((edge[1:] + edge[:-1]) / 2 for edge in edges)
    in_x = (low[:, 0, None] < x) & (x < high[:, 0, None])
    in_y = (low[:, 1, None] < y) & (y < high[:, 1, None])
    covered = (in_x[:, :, None] & in_y[:, None, :]).any(axis=0)
    area = np.diff(edges[0])[:, None] * np.diff(edges[1])[None]
    return float((area * covered).sum() / width**2)


def report_resolution(name: str, mpp: float, patch_um: float, size: int) -> None:
    """Warn where the slide has fewer pixels in a patch than the patch is given."""
    native = patch_um / mpp
    if native < size:
        logger.warning(
            "%s: a patch of %g µm is %.0f px on this slide (%.2f µm/px) and is upsampled to "
            "%d px; no detail below %.1f µm is there. Use the full-resolution image, or size %d",
            name, patch_um, native, mpp, size, mpp, max(8, int(native) // 8 * 8),
        )  # fmt: skip
