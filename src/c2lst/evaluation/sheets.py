"""Many patches in one picture."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from c2lst.storage import whole_file

GAP = 2


def contact_sheet(images: np.ndarray, columns: int | None = None) -> np.ndarray:
    """Lay patches out in rows on white.

    Parameters
    ----------
    images
        uint8 RGB ``(n, S, S, 3)``, at least one.
    columns
        Patches in a row; about as many as rows by default.

    Returns
    -------
    numpy.ndarray
        uint8 RGB ``(height, width, 3)``.
    """
    n, side = len(images), images.shape[1]
    columns = columns or math.ceil(math.sqrt(n))
    rows = math.ceil(n / columns)
    pitch = side + GAP
    sheet = np.full((rows * pitch + GAP, columns * pitch + GAP, 3), 255, dtype=np.uint8)
    for number, image in enumerate(images):
        top, left = GAP + number // columns * pitch, GAP + number % columns * pitch
        sheet[top : top + side, left : left + side] = image
    return sheet


def write_png(path: Path, image: np.ndarray) -> None:
    """Write uint8 RGB ``(height, width, 3)`` as PNG, whole or not at all."""
    from PIL import Image

    with whole_file(path) as partial:
        Image.fromarray(image).save(partial, format="PNG")
