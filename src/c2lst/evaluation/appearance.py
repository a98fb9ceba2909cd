"""What a patch shows in numbers that a pathologist knows: nuclei and the amount of each stain.

Nuclei are the maxima of the haematoxylin density, smoothed to less than the size of a nucleus and
above a threshold of Otsu (1979). Everything is seen on a grid of 1 µm, whatever the patches' pixel
size, so that patches of 32 px and of 224 px are measured alike. It counts what a watershed of the
same density would part, without drawing the borders.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from c2lst.data.stain.conversion import optical_density
from c2lst.errors import InputError

if TYPE_CHECKING:
    from c2lst.data.stain import StainReference

MEASURES = ("nuclei_per_mm2", "nuclear_share", "haematoxylin", "eosin")
"""Names of what :func:`measure` returns, in this order."""

BLUR_UM = 1.0
APART_UM = 7
"""Width of the square in which a nucleus must be the darkest place; odd."""

LEAST_DENSITY = 0.2
"""Haematoxylin below which nothing is a nucleus, for a set of patches that holds none."""

_BATCH = 64
_PATCHES_FOR_OTSU = 512


def measure(
    images: np.ndarray,
    patch_um: float,
    *,
    stain: StainReference | None = None,
    threshold: float | None = None,
) -> dict[str, np.ndarray]:
    """Measure nuclei and stains of patches.

    Parameters
    ----------
    images
        uint8 RGB ``(n, S, S, 3)``.
    patch_um
        Width of a patch in µm.
    stain
        The stain that all the patches have; typical H&E by default.
    threshold
        Haematoxylin density from which on a pixel is nuclear; :func:`nuclear_threshold` of these
        images by default. Sets that are compared with each other need the same.

    Returns
    -------
    dict of float32 ``(n,)``
        ``nuclei_per_mm2``; ``nuclear_share`` of the area; ``haematoxylin`` and ``eosin``, the mean
        amount of each stain as optical density (natural logarithm).

    Raises
    ------
    InputError
        If the images are no patches.
    """
    _check(images, patch_um)
    if threshold is None:
        threshold = nuclear_threshold(images, patch_um, stain=stain)
    starts = range(0, len(images), _BATCH)
    rows = [
        _measured(stain_densities(images[i : i + _BATCH], stain), patch_um, threshold)
        for i in starts
    ]
    columns = np.concatenate(rows, axis=1) if rows else np.empty((len(MEASURES), 0))
    return dict(zip(MEASURES, columns.astype(np.float32), strict=True))


def nuclear_threshold(
    images: np.ndarray, patch_um: float, *, stain: StainReference | None = None
) -> float:
    """Find the haematoxylin density that parts nuclei from the rest, over all patches together.

    One threshold for a whole set: a patch without nuclei must be allowed to have none.

    Parameters
    ----------
    images, patch_um, stain
        As for :func:`measure`; of large sets, an even choice of patches is looked at.
    """
    from skimage.filters import threshold_otsu

    _check(images, patch_um)
    some = images[:: max(1, -(-len(images) // _PATCHES_FOR_OTSU))]
    if not some.size:
        return LEAST_DENSITY
    return max(
        LEAST_DENSITY, float(threshold_otsu(on_grid(stain_densities(some, stain)[0], patch_um)))
    )


def _measured(stains: np.ndarray, patch_um: float, threshold: float) -> np.ndarray:
    """Measures ``(4, n)`` of stain densities ``(2, n, S, S)``."""
    from scipy.ndimage import label, maximum_filter

    density = on_grid(stains[0], patch_um)
    nuclear = density > threshold
    peaks = nuclear & (density == maximum_filter(density, (1, APART_UM, APART_UM)))
    # Touching pixels of one density, as in a patch that is black throughout, are one peak.
    within_patch = np.zeros((3, 3, 3), dtype=bool)
    within_patch[1] = True
    numbers, _ = label(peaks, within_patch)
    _, first = np.unique(numbers[numbers > 0], return_index=True)
    owner = np.nonzero(numbers)[0][first]
    nuclei = np.bincount(owner, minlength=len(density)) / (patch_um / 1000) ** 2
    haematoxylin, eosin = stains.mean(axis=(2, 3))
    return np.stack([nuclei, nuclear.mean(axis=(1, 2)), haematoxylin, eosin])


def stain_densities(images: np.ndarray, stain: StainReference | None = None) -> np.ndarray:
    """Part uint8 patches into stains: haematoxylin and eosin, float32 ``(2, n, S, S)``, ≥ 0."""
    from c2lst.data.stain import StainReference

    matrix = (stain or StainReference.standard()).matrix
    unmixed = optical_density(np.asarray(images)) @ np.linalg.pinv(matrix).astype(np.float32)
    return np.moveaxis(unmixed.clip(min=0), -1, 0)


def on_grid(density: np.ndarray, patch_um: float, blur_um: float = BLUR_UM) -> np.ndarray:
    """Bring densities ``(n, S, S)`` to a grid of about 1 µm, smoothed."""
    import torch
    from scipy.ndimage import gaussian_filter
    from torch.nn.functional import interpolate

    side = max(1, round(patch_um))
    pixels = torch.from_numpy(np.ascontiguousarray(density))[:, None]
    grid = interpolate(pixels, size=(side, side), mode="bilinear", antialias=True)[:, 0].numpy()
    smooth: np.ndarray = gaussian_filter(grid, (0, blur_um, blur_um))
    return smooth


def _check(images: np.ndarray, patch_um: float) -> None:
    shape, dtype = tuple(images.shape), np.dtype(images.dtype)
    if len(shape) != 4 or shape[3] != 3 or shape[1] != shape[2] or dtype != np.uint8:
        raise InputError(
            "patches",
            "cannot be measured",
            found=f"{dtype} of shape {shape}",
            expected="uint8 of shape (n, S, S, 3)",
        )
    if not (np.isfinite(patch_um) and patch_um > 0):
        raise InputError("patches", "patch_um is no width", found=patch_um, expected="µm above 0")
