"""Which genes and spots the report shows: rules stated on the page, so that none is hand-picked."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from c2lst.evaluation.expression import DEFAULT_METHOD
from c2lst.report.scores import GeneScore

NEIGHBOUR_REACH = 1.5
"""Spots nearer than this many pitches are neighbours: 8 on a square grid, 6 on a hexagonal one."""


@dataclass(frozen=True)
class GeneChoice:
    """A gene to draw and the rule by which it was chosen."""

    gene: str
    reason: str


def spot_pitch(centres: np.ndarray) -> float:
    """Return the median distance from a spot to its nearest other, in the unit of ``centres``."""
    from scipy.spatial import cKDTree

    if len(centres) < 2:
        return 1.0
    distance, _ = cKDTree(centres).query(centres, k=2)
    positive = distance[:, 1][distance[:, 1] > 0]
    return float(np.median(positive)) if len(positive) else 1.0


def share_with_neighbour(centres: np.ndarray, asked: np.ndarray, among: np.ndarray) -> float:
    """Share of the spots ``asked`` (n,) that have a neighbour in ``among`` (n,); NaN for none."""
    from scipy.spatial import cKDTree

    if not asked.any() or not among.any():
        return float("nan")
    distance, _ = cKDTree(centres[among]).query(centres[asked])
    return float(np.mean(distance <= NEIGHBOUR_REACH * spot_pitch(centres)))


def morans_i(values: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Moran's I of each column of ``values`` (n, G) over neighbouring spots; NaN if constant."""
    from scipy.spatial import cKDTree

    pairs = cKDTree(centres).query_pairs(
        NEIGHBOUR_REACH * spot_pitch(centres), output_type="ndarray"
    )
    z = values - values.mean(axis=0)
    power = np.mean(z**2, axis=0)
    if len(pairs) == 0:
        return np.full(values.shape[1], np.nan)
    together = np.mean(z[pairs[:, 0]] * z[pairs[:, 1]], axis=0)
    return np.divide(together, power, out=np.full_like(power, np.nan), where=power > 0)


def first_component(expression: np.ndarray) -> np.ndarray:
    """Scores (n,) of the rows of ``expression`` (n, G) on their first principal component."""
    centred = expression - expression.mean(axis=0)
    left, values, right = np.linalg.svd(centred, full_matrices=False)
    # The sign of a component is arbitrary: fix it, so that the same run gives the same page.
    sign = 1.0 if right[0][np.argmax(np.abs(right[0]))] >= 0 else -1.0
    return sign * left[:, 0] * values[0]


def spread(order: np.ndarray, count: int) -> list[int]:
    """Pick ``count`` entries of ``order`` evenly, from its first to its last."""
    count = min(count, len(order))
    return [int(order[round(k * (len(order) - 1) / max(count - 1, 1))]) for k in range(count)]


def choose_genes(
    scores: tuple[GeneScore, ...],
    genes: np.ndarray,
    observed: np.ndarray,
    centres: np.ndarray,
    each: int = 3,
) -> list[GeneChoice]:
    """Choose best, median and worst predicted genes, then those of strongest spatial pattern.

    Parameters
    ----------
    scores
        Gene scores; the default predictor's Pearson correlation on held-out spots ranks.
    genes, observed, centres
        The panel (G,), measured expression (n, G) with NaN where unmeasured, and positions (n, 2).
    each
        How many genes of each kind.
    """
    ranked = [
        row.gene
        for row in sorted(
            (r for r in scores if r.method == DEFAULT_METHOD and np.isfinite(r.pearson)),
            key=lambda row: (-row.pearson, row.gene),
        )
    ]
    middle = sorted(range(len(ranked)), key=lambda k: (abs(k - (len(ranked) - 1) / 2), k))
    measured = np.isfinite(observed).all(axis=1)
    spatial: list[str] = []
    if measured.sum() > 2:
        moran = np.nan_to_num(morans_i(observed[measured], centres[measured]), nan=-np.inf)
        spatial = [str(genes[k]) for k in np.argsort(-moran, kind="stable")]
    wanted = (
        ("best predicted", ranked),
        ("median", [ranked[k] for k in middle]),
        ("worst predicted", ranked[::-1]),
        ("strongest spatial pattern", spatial or [str(gene) for gene in genes]),
    )
    chosen: dict[str, GeneChoice] = {}
    # The first of each kind before the second of any, so that a small panel still shows all kinds.
    for _ in range(each):
        for reason, candidates in wanted:
            fresh = next((gene for gene in candidates if gene not in chosen), None)
            if fresh is not None:
                chosen[fresh] = GeneChoice(fresh, reason)
    return list(chosen.values())
