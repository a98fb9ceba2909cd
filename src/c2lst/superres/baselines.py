"""Super-resolution without learning: what any method must beat.

Each takes a :class:`~c2lst.superres.lowres.LowRes` and returns counts of the bins,
``(G, H, W)``.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from c2lst.superres.consistency import project
from c2lst.superres.lowres import LowRes
from c2lst.superres.pooling import counted, pool_sum, spread

Baseline = Callable[[LowRes], np.ndarray]

NEIGHBOURS = 10
"""Spots that a bin is put together from, as in TESLA."""

COLOUR_WEIGHT = 1.0
"""Spread of colour in spreads of place."""


def zero(low: LowRes) -> np.ndarray:
    """Say no counts at all: what measures that reward emptiness like."""
    return np.zeros((len(low.genes), *low.tissue.shape), dtype=np.float32)


def nearest(low: LowRes) -> np.ndarray:
    """Spread counts of a spot evenly over the bins of its square."""
    height, width = low.tissue.shape
    return spread(per_bin(low), low.scale)[:, :height, :width]


def bicubic(low: LowRes) -> np.ndarray:
    """Interpolate by cubics between the centres of the spots."""
    from scipy.ndimage import zoom

    height, width = low.tissue.shape
    maps = [zoom(gene, low.scale, order=3, mode="nearest", grid_mode=True) for gene in per_bin(low)]
    return np.stack(maps).clip(min=0)[:, :height, :width].astype(np.float32)


def consistent(baseline: Baseline) -> Baseline:
    """Bring what a baseline says to the tissue and to the counts of the spots, as the model is."""

    def projected(low: LowRes) -> np.ndarray:
        return project(baseline(low) * low.tissue, low.spots, low.tissue, low.scale, low.sampling)

    return projected


def inverse_distance(low: LowRes) -> np.ndarray:
    """Average the ten nearest spots in place and colour, weighted by inverse distance.

    After TESLA (Hu et al., Cell Systems 2023): a third coordinate beside x and y is the grey
    level of the image, weighted by the variances of the three channels and brought to the spread
    of the coordinates. Spots of tissue alone count.
    """
    from scipy.spatial import cKDTree

    height, width = low.tissue.shape
    scale = low.scale
    colour = _colour(low)
    on_tissue = pool_sum(low.tissue[None], scale)[0] > 0
    row, column = np.nonzero(on_tissue)
    if not len(row):
        return nearest(low)
    number = pool_sum(np.ones((1, height, width)), scale)[0]
    spot_colour = pool_sum(colour[None], scale)[0] / number
    spots = np.column_stack([(column + 0.5) * scale, (row + 0.5) * scale, spot_colour[row, column]])
    bins = np.argwhere(low.tissue)
    places = np.column_stack([bins[:, 1] + 0.5, bins[:, 0] + 0.5, colour[low.tissue]])
    spread_of_place = places[:, :2].std()
    unit = COLOUR_WEIGHT * spread_of_place / max(float(places[:, 2].std()), 1e-9)
    for table in (spots, places):
        table[:, 2] *= unit
    neighbours = min(NEIGHBOURS, len(spots))
    distance, found = cKDTree(spots).query(places, k=neighbours)
    weight = 1 / np.maximum(distance.reshape(len(places), neighbours), 1e-6)
    weight /= weight.sum(axis=1, keepdims=True)
    values = per_bin(low)[:, row, column]
    result = zero(low)
    nearby = values[:, found.reshape(len(places), neighbours)]
    result[:, low.tissue] = (nearby * weight).sum(axis=2)
    return result


def per_bin(low: LowRes) -> np.ndarray:
    """Divide counts of spots by the number of bins that they count, ``(G, h, w)``."""
    counting = counted(low.tissue.shape, low.scale, low.sampling)
    return low.spots / np.maximum(pool_sum(counting[None], low.scale), 1e-9)


BASELINES: dict[str, Baseline] = {
    "zero": zero,
    "nearest": nearest,
    "bicubic": bicubic,
    "nearest, consistent": consistent(nearest),
    "bicubic, consistent": consistent(bicubic),
    "inverse distance": inverse_distance,
}
"""By the names that tables have."""


def _colour(low: LowRes) -> np.ndarray:
    """Grey level of each bin, channels weighted by their variance, (H, W)."""
    k, (height, width) = low.image_px, low.tissue.shape
    means = low.image.reshape(height, k, width, k, 3).mean(axis=(1, 3))
    variance = means[low.tissue].var(axis=0) if low.tissue.any() else np.ones(3)
    total = float(variance.sum())
    return np.asarray(means @ (variance / total if total > 0 else np.full(3, 1 / 3)))
