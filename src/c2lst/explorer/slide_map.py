"""The slide with its spots: a picture to point at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from c2lst.data.readers.constants import HEST_LIBRARY, SpatialKey

if TYPE_CHECKING:
    from c2lst.data.section import Section

WIDTH = 640
"""Of the picture, in px."""

_RING = (20, 20, 20)
_CHOSEN = (230, 0, 0)
_LIMIT = 2.0


@dataclass(frozen=True, eq=False)
class SlideMap:
    """Spots on a small picture of the slide.

    Parameters
    ----------
    image
        uint8 RGB (h, w, 3).
    places
        (n, 2) centres as (x, y) in px of the picture.
    radius
        Of a spot on it, in px.
    """

    image: np.ndarray
    places: np.ndarray
    radius: float

    @classmethod
    def of(cls, section: Section) -> SlideMap:
        """Lay the spots of a section on its thumbnail, or on white where it has none.

        What lies more than two pitches from every spot is cut away.
        """
        from PIL import Image

        centres, pitch = section.centres_px, section.pitch_um / section.mpp
        low = np.maximum(centres.min(axis=0) - 2 * pitch, 0)
        high = centres.max(axis=0) + 2 * pitch
        found = _thumbnail(section)
        if found is not None:
            slide, scale = found
            high = np.minimum(high, np.array(slide.shape[1::-1]) / scale)
        size = np.maximum((high - low) * (WIDTH / (high - low)[0]), 1).round().astype(int)
        picture = Image.new("RGB", tuple(size.tolist()), "white")
        if found is not None:
            box = tuple((np.concatenate([low, high]) * scale).tolist())
            picture = Image.fromarray(slide).resize(picture.size, Image.Resampling.BILINEAR, box)
        shrink = size / (high - low)
        places = (centres - low) * shrink
        return cls(np.asarray(picture), places, float(0.35 * pitch * shrink[0]))

    def nearest(self, x: float, y: float) -> int:
        """Return which spot lies nearest to a point of the picture."""
        return int(np.linalg.norm(self.places - (x, y), axis=1).argmin())

    def draw(self, chosen: int, values: np.ndarray | None = None) -> np.ndarray:
        """Return the picture with its spots, uint8 RGB (h, w, 3).

        Parameters
        ----------
        chosen
            Which spot is marked.
        values
            (n,) standardised values that colour the spots from -2 (dark) to 2 (light).
        """
        from matplotlib import colormaps
        from PIL import Image, ImageDraw

        picture = Image.fromarray(self.image)
        pen = ImageDraw.Draw(picture)
        fills: list[tuple[int, ...] | None] = [None] * len(self.places)
        if values is not None:
            shades = colormaps["cividis"]((values + _LIMIT) / (2 * _LIMIT), bytes=True)
            fills = [tuple(shade[:3].tolist()) for shade in shades]
        for number, (place, fill) in enumerate(zip(self.places, fills, strict=True)):
            corners = [*(place - self.radius), *(place + self.radius)]
            if number == chosen:
                wide = [*(place - 1.5 * self.radius), *(place + 1.5 * self.radius)]
                pen.ellipse(wide, outline=_CHOSEN, width=4)
            pen.ellipse(corners, fill=fill, outline=_RING, width=1)
        return np.asarray(picture)


def _thumbnail(section: Section) -> tuple[np.ndarray, float] | None:
    """Return the finest thumbnail, uint8 RGB, and its px per full-resolution px."""
    library = section.adata.uns.get(SpatialKey.SPATIAL, {}).get(HEST_LIBRARY, {})
    images = library.get(SpatialKey.IMAGES, {})
    key = max(images, key=lambda name: images[name].shape[0], default=None)
    if key is None:
        return None
    image = np.asarray(images[key])[..., :3]
    if image.dtype != np.uint8:  # 0 … 1, as scanpy keeps them
        image = np.rint(255 * image.clip(0, 1)).astype(np.uint8)
    return image, float(library[SpatialKey.SCALEFACTORS][f"tissue_{key}_scalef"])
