"""The most suspicious synthetic images beside the real ones that they are nearest to."""

from __future__ import annotations

import numpy as np

from c2lst.evaluation.sheets import contact_sheet
from c2lst.privacy.copying import Nearest

PAIRS = 24


def copy_gallery(
    synthetic: np.ndarray, training: np.ndarray, held_out: np.ndarray, nearest: Nearest
) -> np.ndarray:
    """Lay out triples: synthetic, its nearest training image, its nearest held-out image.

    The most suspicious come first, four triples in a row. It shows real patches, and must stay
    where they may be kept.

    Parameters
    ----------
    synthetic, training, held_out
        uint8 RGB ``(n, S, S, 3)`` each.
    nearest
        Which are near.

    Returns
    -------
    numpy.ndarray
        uint8 RGB ``(height, width, 3)``.
    """
    order = np.argsort(-nearest.suspicion, kind="stable")[:PAIRS]
    triples = np.stack(
        [
            synthetic[order],
            training[nearest.training[order]],
            held_out[nearest.held_out[order]],
        ],
        axis=1,
    )
    blank = np.full_like(triples[:, :1], 255)
    return contact_sheet(
        np.concatenate([triples, blank], axis=1).reshape(-1, *synthetic.shape[1:]), 16
    )
