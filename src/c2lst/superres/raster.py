"""The image of a slide on the grid of a map: read block by block, turned and averaged."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from c2lst.data.cutting import level_for
from c2lst.data.image import SlideImage
from c2lst.data.tissue import TissueMask, background_colour
from c2lst.errors import InputError

_BLOCK_PX = 512
_LEAST_ON_IMAGE = 0.5


@dataclass(frozen=True, eq=False)
class Placement:
    """Affine map from places on a map, (x, y) in µm from its first bin's corner, to slide px.

    Parameters
    ----------
    matrix
        (2, 3), acting on (x, y, 1).
    """

    matrix: np.ndarray

    @classmethod
    def along_image(cls, origin_um: tuple[float, float], mpp: float) -> Placement:
        """Return that of a map whose axes are the image's, at ``origin_um`` on it."""
        return cls(np.array([[1, 0, origin_um[0]], [0, 1, origin_um[1]]], dtype=float) / mpp)

    @classmethod
    def fitted(cls, places_um: np.ndarray, slide_px: np.ndarray) -> Placement:
        """Return the least-squares one of places (n, 2) that are known on the slide (n, 2)."""
        known = np.column_stack([places_um, np.ones(len(places_um))])
        return cls(np.linalg.lstsq(known, slide_px, rcond=None)[0].T)

    @property
    def px_per_um(self) -> float:
        """Slide px along a µm."""
        return float(np.sqrt(abs(np.linalg.det(self.matrix[:, :2]))))

    def __call__(self, places_um: np.ndarray) -> np.ndarray:
        """Slide px of places (n, 2)."""
        return np.asarray(places_um @ self.matrix[:, :2].T + self.matrix[:, 2])


def warp(
    slide: SlideImage, placement: Placement, shape: tuple[int, int], px_um: float
) -> np.ndarray:
    """Bring a slide to the px of a map.

    Parameters
    ----------
    slide
        The slide.
    placement
        Where the map lies on it.
    shape
        Rows and columns in px.
    px_um
        Side of a px in µm.

    Returns
    -------
    numpy.ndarray
        uint8 ``(*shape, 3)``: averages over the px; of the empty slide's colour beyond the slide.

    Raises
    ------
    InputError
        If most of the map lies beyond the slide.
    """
    _check_on_image(slide, placement, shape, px_um)
    empty = background_colour(slide.thumbnail(512)).astype(np.uint8)
    result = np.empty((*shape, 3), dtype=np.uint8)
    for top in range(0, shape[0], _BLOCK_PX):
        for left in range(0, shape[1], _BLOCK_PX):
            part = result[top : top + _BLOCK_PX, left : left + _BLOCK_PX]
            part[:] = _block(slide, placement, (left, top), part.shape[:2], px_um, empty)
    return result


def _block(
    slide: SlideImage,
    placement: Placement,
    corner: tuple[int, int],
    shape: tuple[int, ...],
    px_um: float,
    empty: np.ndarray,
) -> np.ndarray:
    from PIL import Image

    downsample = placement.px_per_um * px_um
    level = level_for(slide.levels, downsample)
    times = slide.levels[level]
    factor = max(1, int(downsample / times + 0.01))
    height, width = shape
    corners = np.array([(x, y) for x in (0, width) for y in (0, height)], dtype=float)
    on_level = placement((corners + corner) * px_um) / times
    low = np.maximum(np.floor(on_level.min(axis=0)) - 2 * factor, 0).astype(int)
    high = np.minimum(np.ceil(on_level.max(axis=0)) + 2 * factor, slide.sizes[level]).astype(int)
    if (high <= low).any():
        return np.broadcast_to(empty, (height, width, 3))
    region = Image.fromarray(slide.read(low[0], low[1], high[0] - low[0], high[1] - low[1], level))
    if factor > 1:
        region = region.reduce(factor)
    # From px of the block to px of the region, which PIL takes as the map of px centres.
    linear = placement.matrix[:, :2] * px_um / times / factor
    shift = (placement(np.array([corner]) * px_um)[0] / times - low) / factor
    coefficients = (*linear[0], shift[0], *linear[1], shift[1])
    turned = region.transform(
        (width, height), Image.Transform.AFFINE, tuple(map(float, coefficients)),
        Image.Resampling.BILINEAR, fillcolor=tuple(map(int, empty)),
    )  # fmt: skip
    return np.asarray(turned)


def tissue_of_bins(
    slide: SlideImage, placement: Placement, shape: tuple[int, int], bin_um: float
) -> np.ndarray:
    """Which bins lie on tissue by at least half, bool of ``shape``."""
    row, column = np.divmod(np.arange(shape[0] * shape[1]), shape[1])
    places = placement((np.stack([column, row], axis=1) + 0.5) * bin_um)
    mask = TissueMask.of(slide, 1 / placement.px_per_um)
    share = mask.share(places, bin_um * placement.px_per_um)
    return np.asarray(share >= 0.5).reshape(shape)


def _check_on_image(
    slide: SlideImage, placement: Placement, shape: tuple[int, int], px_um: float
) -> None:
    y, x = (np.linspace(0, side * px_um, 21) for side in shape)
    places = placement(np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2))
    size = (slide.width, slide.height)
    inside = float(((places >= 0) & (places <= size)).all(axis=1).mean())
    if inside < _LEAST_ON_IMAGE:
        raise InputError(
            str(slide.path or "slide"), "map and image do not match",
            found=f"{inside:.0%} of the map on the image of {slide.width}×{slide.height} px",
            expected=f"at least {_LEAST_ON_IMAGE:.0%}",
            remedy="check µm per px, and that the image is that of the map in full resolution",
        )  # fmt: skip
