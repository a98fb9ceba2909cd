"""Scores of one method, gene by gene."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from c2lst.evaluation.expression.blocks import TINY
from c2lst.evaluation.spatial import morans_i

if TYPE_CHECKING:
    from scipy.sparse import csr_array

LEAST_RELIABILITY = 0.2
"""Below this share of variance that is not counting noise, Moran's I is not corrected for it."""


@dataclass(frozen=True)
class Observed:
    """What every method is judged against; per gene (G,) unless said otherwise.

    Parameters
    ----------
    values, ranks
        Shape (t, G): observed expression in log1p units, and its ranks over the held-out spots.
    constant
        Whether the gene does not vary over the held-out spots.
    graph
        Neighbours among the held-out spots.
    moran
        Moran's I of the observed map; NaN where the gene does not vary.
    reliability
        Share of the variance that is not counting noise, in [0, 1]; NaN where not known. No
        prediction correlates with the gene by more than its square root, or explains more of it.
    """

    values: np.ndarray
    ranks: np.ndarray
    constant: np.ndarray
    graph: csr_array
    moran: np.ndarray
    reliability: np.ndarray

    @classmethod
    def of(
        cls, values: np.ndarray, graph: csr_array, noise_variance: np.ndarray | None = None
    ) -> Observed:
        """Derive everything from the values, and from their counting noise (G,) where known."""
        from scipy.stats import rankdata

        constant = np.ptp(values, axis=0) <= TINY
        reliability = np.full(values.shape[1], np.nan)
        if noise_variance is not None:
            variance = np.where(constant, np.nan, values.var(axis=0))
            reliability = np.clip(1 - noise_variance / variance, 0, 1)
        moran = morans_i(values, graph)
        return cls(values, rankdata(values, axis=0), constant, graph, moran, reliability)

    @property
    def moran_corrected(self) -> np.ndarray:
        """Moran's I of the expression without its counting noise; NaN where noise prevails."""
        known = self.reliability >= LEAST_RELIABILITY
        corrected = self.moran / np.where(known, self.reliability, 1.0)
        return np.where(known, np.clip(corrected, -1, 1), np.nan)


@dataclass(frozen=True)
class GeneScores:
    """Scores of one method: (G,) each, NaN where the observed gene does not vary.

    A prediction that is ``flat``, the same at every held-out spot, explains nothing of where a
    gene is: its correlations and its Moran's I are 0.
    """

    mae: np.ndarray
    rmse: np.ndarray
    r2: np.ndarray
    pearson: np.ndarray
    spearman: np.ndarray
    variance_ratio: np.ndarray
    moran: np.ndarray
    flat: np.ndarray

    @classmethod
    def of(cls, observed: Observed, predicted: np.ndarray, ranks: np.ndarray) -> GeneScores:
        """Score predictions (t, G), of which ``ranks`` (t, G) are the ranks gene by gene."""
        error = predicted - observed.values
        square = (error**2).mean(axis=0)
        variance = np.where(observed.constant, np.nan, observed.values.var(axis=0))
        flat = np.ptp(predicted, axis=0) <= TINY
        undefined = np.isnan(observed.moran)
        return cls(
            mae=np.abs(error).mean(axis=0),
            rmse=np.sqrt(square),
            r2=1 - square / variance,
            pearson=_correlation(observed.values, predicted, observed.constant, flat),
            spearman=_correlation(observed.ranks, ranks, observed.constant, flat),
            variance_ratio=predicted.var(axis=0) / variance,
            moran=np.where(undefined, np.nan, np.nan_to_num(morans_i(predicted, observed.graph))),
            flat=flat,
        )


def _correlation(
    observed: np.ndarray, predicted: np.ndarray, constant: np.ndarray, flat: np.ndarray
) -> np.ndarray:
    """Correlation per gene: NaN where the observed is constant, 0 where only the predicted is."""
    x, y = observed - observed.mean(axis=0), predicted - predicted.mean(axis=0)
    norm = np.sqrt((x**2).sum(axis=0) * (y**2).sum(axis=0))
    value = np.where(flat, 0.0, (x * y).sum(axis=0) / np.where(constant | flat, 1.0, norm))
    return np.where(constant, np.nan, value)
