"""Whether the spots fit their slide, or would fit it better turned or mirrored."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from c2lst.data.image import SlideImage
from c2lst.data.overlay import Overlay, draw_overlays
from c2lst.data.placement import Placement
from c2lst.errors import InputError
from c2lst.progress import logger

LEAST_TISSUE_SHARE = 0.5
"""Share of the spots that must lie on tissue."""

CLEARLY_BETTER = 0.1
"""By how much another orientation's share must exceed the given one's to be taken for the right."""

MOST_OUTSIDE = 0.05
"""Share of the spots that may lie outside the image; they are dropped."""

_MOST_COMPARED = 20_000
_THUMBNAIL_PX = 900

Turn = Callable[[np.ndarray, np.ndarray, float, float], tuple[np.ndarray, np.ndarray]]

ORIENTATIONS: dict[str, Turn] = {
    "exchange the pixel columns x and y": lambda x, y, w, h: (y, x),
    "mirror the image left to right": lambda x, y, w, h: (w - x, y),
    "mirror the image top to bottom": lambda x, y, w, h: (x, h - y),
    "turn the image by 180 degrees": lambda x, y, w, h: (w - x, h - y),
    "turn the image by 90 degrees clockwise": lambda x, y, w, h: (y, h - x),
    "turn the image by 90 degrees counterclockwise": lambda x, y, w, h: (w - y, x),
    "turn the image by 180 degrees and exchange x and y": lambda x, y, w, h: (w - y, h - x),
}
"""The seven other ways to lay a slide, each by what mends it.

Each takes spots (x, y) that were placed on the other image to an image of w by h px.
"""


def check_orientation(
    name: str,
    image: SlideImage,
    centres_px: np.ndarray,
    placement: Placement,
    *,
    radius_px: float,
    overlay: Path | None = None,
    places: Path | None = None,
) -> None:
    """Refuse spots that do not fit the slide; report what little lies off it.

    Parameters
    ----------
    name
        The section.
    image
        Its slide.
    centres_px
        (n, 2) spot centres as (x, y) in full-resolution px.
    placement
        How they lie on the slide.
    radius_px
        Radius of a spot in full-resolution px.
    overlay
        Where to draw the spots, as they are and as they would fit best, if they are refused.
    places
        The file that the centres came from.

    Raises
    ------
    InputError
        If more than 5 % of the spots lie outside the image, fewer than half lie on tissue, or
        clearly more would in another orientation. The message says what to try.
    """
    share, outside = placement.tissue_share, placement.outside
    best, best_share = _best_orientation(image, centres_px, placement)
    better = best_share >= max(LEAST_TISSUE_SHARE, share + CLEARLY_BETTER)
    fits = outside.mean() <= MOST_OUTSIDE and share >= LEAST_TISSUE_SHARE and not better
    if fits:
        logger.info("%s: %s", name, placement)
        return
    remedy = (
        f"to put {best_share:.0%} on tissue, {best}"
        if better
        else "check that image and spots belong together and are in the same resolution"
    )
    if overlay is not None:
        _draw(overlay, image, centres_px, placement, radius_px, best if better else None)
        remedy += f"; see {overlay}"
    problem = (
        f"{outside.sum()} of {len(outside)} spot centres lie outside the image"
        if outside.mean() > MOST_OUTSIDE
        else f"only {share:.0%} of the spots lie on tissue"
    )
    raise InputError(
        places or f"section {name!r}",
        problem,
        found=f"centres x {_span(centres_px[:, 0])}, y {_span(centres_px[:, 1])} px "
        f"on an image of {image.width}x{image.height} px",
        expected=f"at least {1 - MOST_OUTSIDE:.0%} inside, at least {LEAST_TISSUE_SHARE:.0%} on "
        "tissue, and in no other orientation clearly more",
        remedy=remedy,
    )


def _best_orientation(
    image: SlideImage, centres_px: np.ndarray, placement: Placement
) -> tuple[str, float]:
    """Which other orientation puts most spots on tissue, and what share of them."""
    some = np.linspace(0, len(centres_px) - 1, min(len(centres_px), _MOST_COMPARED)).astype(int)
    x, y = np.asarray(centres_px, dtype=float)[some].T
    shares = {
        remedy: float(
            placement.mask.at(np.stack(turn(x, y, image.width, image.height), axis=1)).mean()
        )
        for remedy, turn in ORIENTATIONS.items()
    }
    best = max(shares, key=lambda remedy: shares[remedy])
    return best, shares[best]


def _draw(
    path: Path,
    image: SlideImage,
    centres_px: np.ndarray,
    placement: Placement,
    radius_px: float,
    best: str | None,
) -> None:
    thumbnail = image.thumbnail(_THUMBNAIL_PX)
    scale = max(thumbnail.shape[:2]) / max(image.width, image.height)
    placed = {"as given": centres_px}
    if best is not None:
        x, y = np.transpose(centres_px)
        turned = ORIENTATIONS[best](x, y, image.width, image.height)
        placed[best] = np.stack(turned, axis=1)
    panels = []
    for caption, centres in placed.items():
        on_tissue = placement.mask.at(centres)
        caption = f"{caption}: {on_tissue.mean():.0%} on tissue"
        panels.append(Overlay(caption, centres * scale, on_tissue, radius_px * scale))
    draw_overlays(path, thumbnail, panels)


def _span(values: np.ndarray) -> str:
    return f"{values.min():.0f}..{values.max():.0f}"
