"""Nuclei without a network: colour deconvolution, a threshold, and a watershed between them.

Haematoxylin is parted from eosin by the stain's own vectors (Ruifrok and Johnston 2001); what is
denser than a threshold is nuclear. Touching nuclei are parted where the product of their distance
to the border and their density has a valley. All patches are seen on a grid of 1 µm, so that those
of few pixels are judged like those of many; a patch of 48 px shows fewer of its crowded nuclei.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from c2lst.evaluation.appearance import nuclear_threshold, on_grid, stain_densities
from c2lst.evaluation.cells.nuclei import Segmentation

if TYPE_CHECKING:
    from c2lst.data.stain import StainReference

BLUR_UM = 0.6
SMOOTH_UM = 0.8
APART_UM = 5
"""Width of the square in which a nucleus has one centre; odd."""

LEAST_UM2 = 10.0
"""Smaller areas are no nuclei."""

_WITHIN_PATCH = np.zeros((3, 3, 3), dtype=bool)
_WITHIN_PATCH[1] = True


class WatershedFinder:
    """Finds nuclei of one kind by their haematoxylin.

    Parameters
    ----------
    threshold
        Density from which on a pixel is nuclear; sets that are compared need the same.
    stain
        The stain of the patches; typical H&E by default.
    """

    name = "watershed"
    label = "watershed (colour deconvolution)"
    kinds: tuple[str, ...] = ("nucleus",)

    def __init__(self, threshold: float, stain: StainReference | None = None) -> None:
        self.threshold, self.stain = threshold, stain

    @classmethod
    def fit(
        cls, images: np.ndarray, patch_um: float, stain: StainReference | None = None
    ) -> WatershedFinder:
        """Take the threshold from real patches, uint8 ``(n, S, S, 3)``."""
        return cls(nuclear_threshold(images, patch_um, stain=stain), stain)

    def segment(self, images: np.ndarray, patch_um: float) -> Segmentation:
        """Find the nuclei of uint8 RGB patches ``(n, S, S, 3)``, ``patch_um`` wide."""
        from scipy.ndimage import distance_transform_edt, gaussian_filter, label, maximum_filter
        from skimage.segmentation import watershed

        density = on_grid(stain_densities(images, self.stain)[0], patch_um, BLUR_UM)
        nuclear = density > self.threshold
        # Patches are stacked, and infinitely far from each other.
        depth = distance_transform_edt(nuclear, sampling=(1e6, 1, 1)).clip(max=patch_um)
        height = gaussian_filter(depth, (0, SMOOTH_UM, SMOOTH_UM)) * density
        highest = height == maximum_filter(height, (1, APART_UM, APART_UM))
        centres, _ = label(nuclear & highest, _WITHIN_PATCH)
        labels = watershed(-height, centres, mask=nuclear, connectivity=_WITHIN_PATCH)
        pixel = (patch_um / labels.shape[-1]) ** 2
        numbers = _without_small(labels, LEAST_UM2 / pixel)
        return Segmentation(numbers, np.zeros(numbers.max(initial=0), dtype=int))


def _without_small(labels: np.ndarray, least: float) -> np.ndarray:
    """Drop areas of fewer than ``least`` pixels and number the rest anew."""
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    kept = sizes >= least
    return np.asarray(np.where(kept, np.cumsum(kept), 0)[labels])
