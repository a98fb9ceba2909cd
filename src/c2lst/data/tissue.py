"""Where the tissue is: a mask of the slide, and the share of tissue in a patch."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from c2lst.data.image import SlideImage
from c2lst.data.stain.conversion import optical_density

MASK_UM_PER_PX = 8.0
"""Resolution of the mask: about one nucleus a pixel."""

_MASK_MAX_PX = 3000
_SMOOTH_UM = 16.0
_FINE_UM = 4.0
_WALL = 0.03
_SPECK_UM = 30.0
_GAP_UM = 120.0
_SMALLEST_UM = 150.0
_HOLE_UM = 250.0

# Otsu's threshold is kept between the strongest background seen on frozen slides (mounting
# medium, diffuse eosin) and the weakest tissue, so that an empty slide stays empty and a field
# of nothing but tissue stays whole.
_LOWEST, _HIGHEST = 0.10, 0.22
_PIXEL_THRESHOLD = 0.15
_GREY = 0.1


def stain_score(images: np.ndarray, background: np.ndarray | None = None) -> np.ndarray:
    """How much a pixel looks stained: geometric mean of optical density and its colour spread.

    Grey shadows, bubbles and dust are dense but colourless; a colour cast of the background is
    coloured but thin. Stained tissue is both. A tenth of the density is taken off the spread,
    which a small error in the background's colour gives to a shadow.

    Parameters
    ----------
    images
        uint8 of shape (..., 3).
    background
        Colour of the empty slide, shape (3,); white by default.

    Returns
    -------
    float32 of shape (...), optical density units, at least 0.
    """
    density = optical_density(images, background)
    mean = density.mean(axis=-1)
    spread = density.max(axis=-1) - density.min(axis=-1) - _GREY * mean
    return np.sqrt(mean * np.clip(spread, 0, None))


def tissue_fraction(images: np.ndarray, background: np.ndarray | None = None) -> np.ndarray:
    """Share of stained pixels in each patch.

    Parameters
    ----------
    images
        uint8 of shape (n, S, S, 3).
    background
        Colour of the empty slide, shape (3,); white by default.

    Returns
    -------
    float64 of shape (n,), in [0, 1].
    """
    images = np.asarray(images)
    shares = np.zeros(len(images))
    for start in range(0, len(images), 256):
        part = stain_score(images[start : start + 256], background) > _PIXEL_THRESHOLD
        shares[start : start + 256] = part.mean(axis=(1, 2))
    return shares


def background_colour(thumbnail: np.ndarray) -> np.ndarray:
    """Colour of the empty slide, float64 (3,), from the bright pale pixels of a thumbnail.

    White where fewer than 1 % of the pixels are bright and pale.
    """
    pixels = thumbnail.reshape(-1, 3)
    values = pixels.astype(np.int16)
    pale = (values.mean(axis=1) > 180) & (np.ptp(values, axis=1) < 60)
    if pale.mean() < 0.01:
        return np.full(3, 255.0)
    return np.maximum(np.percentile(pixels[pale], 80, axis=0), 1.0)


@dataclass(frozen=True, eq=False)
class TissueMask:
    """Tissue of a slide on a coarse grid.

    Parameters
    ----------
    mask
        bool (h, w).
    scale
        Mask pixels per full-resolution pixel.
    background
        Colour of the empty slide, float64 (3,).
    """

    mask: np.ndarray
    scale: float
    background: np.ndarray

    @classmethod
    def of(cls, image: SlideImage, mpp: float) -> TissueMask:
        """Find the tissue of a slide of ``mpp`` µm per full-resolution px."""
        longer = max(image.width, image.height)
        wanted = max(16, min(longer, round(longer * mpp / MASK_UM_PER_PX), _MASK_MAX_PX))
        thumbnail = image.thumbnail(wanted)
        scale = max(thumbnail.shape[:2]) / longer
        background = background_colour(thumbnail)
        return cls(_mask(thumbnail, background, mpp / scale), scale, background)

    def at(self, positions_px: np.ndarray) -> np.ndarray:
        """Whether each (x, y) of shape (n, 2), full-resolution px, lies on tissue; bool (n,)."""
        columns, rows = np.floor(np.asarray(positions_px) * self.scale).astype(int).T
        height, width = self.mask.shape
        inside = (columns >= 0) & (rows >= 0) & (columns < width) & (rows < height)
        found = np.zeros(len(inside), dtype=bool)
        found[inside] = self.mask[rows[inside], columns[inside]]
        return found

    @cached_property
    def _summed(self) -> np.ndarray:
        """Mask pixels above and to the left of each corner of a pixel, int32 (h + 1, w + 1)."""
        summed = np.zeros((self.mask.shape[0] + 1, self.mask.shape[1] + 1), dtype=np.int32)
        np.cumsum(self.mask, axis=0, out=summed[1:, 1:])
        np.cumsum(summed, axis=1, out=summed)
        return summed

    def share(self, positions_px: np.ndarray, side_px: float) -> np.ndarray:
        """Tissue share of squares of ``side_px`` around (x, y) of shape (n, 2); float64 (n,).

        What lies outside the slide counts as empty.
        """
        height, width = self.mask.shape
        summed = self._summed
        side = max(1, round(side_px * self.scale))
        low = np.rint(np.asarray(positions_px) * self.scale - side / 2).astype(int)
        x0, x1 = (np.clip(low[:, 0] + step, 0, width) for step in (0, side))
        y0, y1 = (np.clip(low[:, 1] + step, 0, height) for step in (0, side))
        total = summed[y1, x1] - summed[y0, x1] - summed[y1, x0] + summed[y0, x0]
        return total / side**2


def _mask(thumbnail: np.ndarray, background: np.ndarray, um_per_px: float) -> np.ndarray:
    from scipy import ndimage

    score = stain_score(thumbnail, background)
    smooth = ndimage.gaussian_filter(score, _SMOOTH_UM / um_per_px, mode="nearest")
    fine = ndimage.gaussian_filter(score, _FINE_UM / um_per_px, mode="nearest")
    mask = smooth > np.clip(_otsu(smooth), _LOWEST, _HIGHEST)
    mask |= fine - smooth > _WALL
    # Fat is tissue too, and all that is stained of it are the walls between its cells. They stand
    # out from their surroundings, as a cast of the background never does; gaps as wide as a fat
    # cell are closed. Specks of dust go first, so that they are not joined.
    mask = _without_small(mask, (_SPECK_UM / um_per_px) ** 2)
    mask = _closed(mask, _GAP_UM / 2 / um_per_px)
    mask = _without_small(mask, (_SMALLEST_UM / um_per_px) ** 2)
    return ~_without_small(~mask, (_HOLE_UM / um_per_px) ** 2)


def _closed(mask: np.ndarray, radius: float) -> np.ndarray:
    """Close gaps narrower than twice ``radius``; what lies beyond the border counts as empty."""
    from scipy import ndimage

    rim = int(np.ceil(radius)) + 1
    wide = ndimage.distance_transform_edt(~np.pad(mask, rim)) <= radius
    return (ndimage.distance_transform_edt(wide) > radius)[rim:-rim, rim:-rim]


def _otsu(values: np.ndarray) -> float:
    """Threshold that parts ``values`` into two classes of least variance (Otsu 1979)."""
    counts, edges = np.histogram(values, bins=256)
    centres = (edges[:-1] + edges[1:]) / 2
    below = counts.cumsum()
    above = counts.sum() - below
    mass = (counts * centres).cumsum()
    with np.errstate(divide="ignore", invalid="ignore"):
        between = below * above * (mass / below - (mass[-1] - mass) / above) ** 2
    return float(centres[np.argmax(np.nan_to_num(between))])


def _without_small(mask: np.ndarray, area: float) -> np.ndarray:
    from scipy import ndimage

    labels, count = ndimage.label(mask)
    if count == 0:
        return mask
    keep = np.bincount(labels.ravel()) >= area
    keep[0] = False
    return keep[labels]
