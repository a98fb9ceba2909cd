"""Expression profiles to draw synthetic patches from."""

from __future__ import annotations

from typing import Literal

import numpy as np

from c2lst.data.synthetic import PARENT_SEPARATOR

Policy = Literal["real", "mixup"]


def draw_profiles(
    scaled: np.ndarray, barcodes: np.ndarray, policy: Policy, *, per_spot: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the scaled profile of each image to draw, and the spots that it comes from.

    Parameters
    ----------
    scaled
        ``(n, G)``: scaled expression of the training spots.
    barcodes
        Theirs, ``(n,)``.
    policy
        ``real``: the spots' own profiles (paper). ``mixup``: on the line between two training
        spots of like expression, which fills the gaps between sampled profiles.
    per_spot
        Images for each spot.

    Returns
    -------
    profiles, sources
        ``(n * per_spot, G)``, and the barcode (or barcodes, joined by ``+``) of each.
    """
    rows = np.repeat(np.arange(len(scaled)), per_spot)
    if policy == "real":
        return scaled[rows], barcodes[rows]
    rng = np.random.default_rng((seed, 3))
    partners = _neighbours(scaled)
    partner = partners[rows, rng.integers(partners.shape[1], size=len(rows))]
    share = rng.beta(1.0, 2.0, size=(len(rows), 1)).astype(np.float32)
    names = [
        f"{a}{PARENT_SEPARATOR}{b}" for a, b in zip(barcodes[rows], barcodes[partner], strict=True)
    ]
    return (1 - share) * scaled[rows] + share * scaled[partner], np.array(names)


def _neighbours(scaled: np.ndarray, number: int = 5) -> np.ndarray:
    """Return for each spot the rows of those of most like expression, itself left out."""
    from sklearn.neighbors import NearestNeighbors

    number = min(number, len(scaled) - 1)
    found = NearestNeighbors(n_neighbors=number).fit(scaled).kneighbors(return_distance=False)
    return np.asarray(found)
