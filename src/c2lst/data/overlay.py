"""Pictures of the spots on their slide, so that a person sees whether they fit."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from c2lst.storage import whole_file

ON_TISSUE = (0, 210, 255)
OFF_TISSUE = (213, 94, 0)
"""Colours of spots: cyan and orange, which H&E has not, and all eyes tell apart."""

_CAPTION_PX = 44
_MOST_SPOTS = 20_000


@dataclass(frozen=True, eq=False)
class Overlay:
    """One panel: spots as circles on a slide.

    Parameters
    ----------
    caption
        What stands above it.
    centres_px
        (n, 2) centres as (x, y) in px of the thumbnail; those outside it are not seen.
    on_tissue
        bool (n,).
    radius_px
        Radius of a spot in px of the thumbnail.
    """

    caption: str
    centres_px: np.ndarray
    on_tissue: np.ndarray
    radius_px: float


def draw_overlays(path: Path, thumbnail: np.ndarray, panels: list[Overlay]) -> None:
    """Write a PNG with the panels side by side.

    Parameters
    ----------
    path
        The file.
    thumbnail
        The slide, uint8 (h, w, 3).
    panels
        What to draw on it.
    """
    from PIL import Image, ImageDraw, ImageFont

    height, width = thumbnail.shape[:2]
    canvas = Image.new("RGB", (width * len(panels), height + _CAPTION_PX), "white")
    font = ImageFont.load_default(size=18)
    for index, panel in enumerate(panels):
        slide = Image.fromarray(thumbnail)
        _draw_spots(ImageDraw.Draw(slide), panel)
        canvas.paste(slide, (index * width, _CAPTION_PX))
        place = (index * width + 10, 10)
        ImageDraw.Draw(canvas).text(place, panel.caption, fill="black", font=font)
    with whole_file(path) as partial:
        canvas.save(partial, format="PNG")


def _draw_spots(draw, panel: Overlay) -> None:  # type: ignore[no-untyped-def]
    radius = max(1.5, panel.radius_px)
    line = 2 if radius > 4 else 1
    some = np.linspace(0, len(panel.centres_px) - 1, min(len(panel.centres_px), _MOST_SPOTS))
    for index in some.astype(int):
        x, y = panel.centres_px[index]
        colour = ON_TISSUE if panel.on_tissue[index] else OFF_TISSUE
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), outline=colour, width=line)
