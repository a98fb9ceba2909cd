"""Whether the intervals hold what they promise: overall, by gene, and far from training spots."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from c2lst.errors import InputError
from c2lst.evaluation.expression.blocks import RESAMPLES, SpatialBlocks, interval
from c2lst.evaluation.expression.heldout import HeldOut

if TYPE_CHECKING:
    from anndata import AnnData
    from pandas import DataFrame

DISTANCE_STEP = 0.5
"""Distances are told apart in steps of so many pitches: less is jitter of the array."""


def interval_coverage(
    predictions: AnnData, *, resamples: int = RESAMPLES, seed: int = 0
) -> DataFrame:
    """Judge the default predictor's intervals on the held-out spots.

    Parameters
    ----------
    predictions
        As for :func:`evaluate`; ``uns["c2lst"]["interval"]`` is the level, 0.9 by default.
    resamples, seed
        Of the bootstrap over spatial blocks.

    Returns
    -------
    pandas.DataFrame
        Row ``all``, and rows ``near``, ``middle``, ``far``: thirds of the held-out spots by
        distance to the nearest training spot (equal distances stay together, so that a third can
        be larger, or missing where nearly all spots are equally far). Columns: ``spots``;
        ``distance_from``, ``distance_to`` in pitches of the array; ``level``, what the interval is
        meant to hold; ``coverage`` with ``coverage_low`` and ``coverage_high`` (95 %);
        ``gene_median`` of the genes' coverage; ``genes_within``, the share of genes whose number
        of covered spots lies in the central 95 % of the binomial law at the level; ``width``, the
        mean width in log1p units.

    Raises
    ------
    InputError
        As :func:`evaluate`, and if the file holds no interval.
    """
    import pandas as pd
    from scipy.stats import binom

    held_out = HeldOut.of(predictions)
    inside, width = held_out.inside, held_out.width
    if inside is None or width is None:
        raise InputError("predictions", "hold no interval", expected="layers 'lower' and 'upper'")
    sampler = SpatialBlocks.of(held_out.xy, resamples, seed)
    distance = _distance_to_training(held_out)
    rows = []
    for name, spots in _groups(distance):
        count = int(spots.sum())
        fewest, most = binom.ppf((0.025, 0.975), count, held_out.level)
        covered = inside[spots].sum(axis=0)
        drawn = sampler.mean(spots.astype(np.float64))
        share = sampler.mean(inside.mean(axis=1) * spots) / np.where(drawn > 0, drawn, np.nan)
        low, high = interval(share)
        rows.append(
            {
                "group": name,
                "spots": count,
                "distance_from": float(distance[spots].min()),
                "distance_to": float(distance[spots].max()),
                "level": held_out.level,
                "coverage": float(inside[spots].mean()),
                "coverage_low": low,
                "coverage_high": high,
                "gene_median": float(np.median(covered / count)),
                "genes_within": float(((fewest <= covered) & (covered <= most)).mean()),
                "width": float(width[spots].mean()),
            }
        )
    return pd.DataFrame(rows)


def _distance_to_training(held_out: HeldOut) -> np.ndarray:
    """Distance of each held-out spot to the nearest training spot in pitches; NaN without one."""
    from scipy.spatial import KDTree

    if not len(held_out.train_xy):
        return np.full(len(held_out.xy), np.nan)
    distance = KDTree(held_out.train_xy).query(held_out.xy)[0] / held_out.pitch
    return np.round(distance / DISTANCE_STEP) * DISTANCE_STEP


def _groups(distance: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    yield "all", np.ones(len(distance), dtype=bool)
    if np.isnan(distance).any():
        return
    first, second = np.quantile(distance, (1 / 3, 2 / 3), method="inverted_cdf")
    near, far = distance <= first, distance > second
    for name, spots in (("near", near), ("middle", ~near & ~far), ("far", far)):
        if spots.any():
            yield name, spots
