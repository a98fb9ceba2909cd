"""Prediction intervals: weighted split conformal, at the distances of the spots to be predicted.

A ratio |residual| / sd of a left-out spot tells how far the predicted standard deviation is off.
Spots to be predicted lie at known distances from the training spots (places are no secret), so
left-out spots at like distances count more: the weighted conformal quantiles of Tibshirani et al.
(Conformal prediction under covariate shift, NeurIPS 2019), with the distance as the covariate.
Quantiles are taken at several distances, so that intervals hold near training spots and far away.
What a quantile is counted in at left-out spots is what it is multiplied by at others: a standard
deviation, but no less than ``LEAST_SD`` of the gene's spread.

One gene has too few left-out spots for its own 90 % quantile: genes of like mean expression, which
have like shapes of noise, share their ratios, the more of them the fewer the spots.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from c2lst.prediction.crossfit import LeftOut

SHARED_RATIOS = 400
"""Ratios that a quantile is taken of, where one gene has fewer."""

FEWEST_SPOTS = 40
"""Left-out spots that a quantile should rest on, where there are as many."""

LEAST_SD = 1 / 3
"""Least standard deviation that a ratio is counted in, as a share of the spread of the gene over
all training spots: few spots may all lack a gene that the spot left out has."""

ANCHORS = 4
"""Distances at which quantiles are taken, evenly through those to be predicted."""


@dataclass(frozen=True, eq=False)
class Widths:
    """Half-widths of intervals in predicted standard deviations, by distance and gene.

    Parameters
    ----------
    distances
        (a,): µm to the nearest training spot, ascending.
    factors
        (a, G): between the distances they are interpolated, beyond them they stay.
    least
        (G,): what a standard deviation counts as, where it is smaller.
    """

    distances: np.ndarray
    factors: np.ndarray
    least: np.ndarray

    def half(self, distance: np.ndarray, sd: np.ndarray) -> np.ndarray:
        """Half-widths (q, G) at ``distance`` (q,) where ``sd`` (q, G) is predicted."""
        return self.at(distance) * np.maximum(sd, self.least)

    def at(self, distance: np.ndarray) -> np.ndarray:
        """Half-widths in standard deviations at ``distance`` (q,): (q, G)."""
        place = np.interp(distance, self.distances, np.arange(len(self.distances)))
        below = np.floor(place).astype(int)
        above = np.minimum(below + 1, len(self.distances) - 1)
        share = (place - below)[:, None]
        return (1 - share) * self.factors[below] + share * self.factors[above]

    @classmethod
    def fit(
        cls, observed: np.ndarray, left_out: LeftOut, targets: np.ndarray, unit: float, level: float
    ) -> Widths:
        """Calibrate on left-out training spots.

        Parameters
        ----------
        observed
            Training expression (n, G).
        left_out
            The training spots as refits without them predict them.
        targets
            Distances (t,) of what is to be predicted to the nearest training spot, µm; where
            there is nothing, those of the left-out spots.
        unit
            Pitch of the spots, µm: half of it is how alike two distances must be.
        level
            Nominal coverage in (0, 1).
        """
        least = observed.std(axis=0) * LEAST_SD
        ratio, varies = ratios(observed, left_out, least)
        targets = np.asarray(targets if len(targets) else left_out.distance, dtype=np.float64)
        anchors = np.unique(np.quantile(targets, (np.arange(ANCHORS) + 0.5) / ANCHORS))
        factors = np.zeros((len(anchors), observed.shape[1]))
        likeness = np.argsort(observed.mean(axis=0)[varies], kind="stable")
        for a, anchor in enumerate(anchors if varies.any() else ()):
            weights = near(left_out.distance, float(anchor), unit / 2, left_out.spots)
            factors[a, varies] = quantiles(
                ratio[:, varies], weights, left_out.spots, likeness, level
            )
        return cls(anchors, factors, least)


def ratios(
    observed: np.ndarray, left_out: LeftOut, least: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """|residual| / sd of left-out spots (m, G), and which genes vary at all: bool (G,).

    A standard deviation counts as no less than ``least`` (G,).
    """
    residual = np.abs(observed[left_out.spots] - left_out.mean)
    scale = np.maximum(left_out.sd, least)
    # Of a constant, the standard deviation is rounding, which grows with the unit.
    return residual / np.where(scale > 0, scale, 1.0), np.ptp(observed, axis=0) > 0


def near(found: np.ndarray, wanted: float, bandwidth: float, spots: np.ndarray) -> np.ndarray:
    """Weights (m,) of the rows at distances ``found`` (m,) for what is ``wanted`` far, sum 1.

    A Gaussian of width ``bandwidth``, which is doubled until four fifths of the ``spots`` (m,),
    or ``FEWEST_SPOTS`` of them, have a say.
    """
    least = min(FEWEST_SPOTS, 0.8 * (spots.max() + 1))
    while True:
        log = -0.5 * ((found - wanted) / bandwidth) ** 2
        weights = np.exp(log - log.max())
        weights /= weights.sum()
        if effective_spots(weights, spots) >= least:
            return weights
        bandwidth *= 2


def effective_spots(weights: np.ndarray, spots: np.ndarray) -> float:
    """How many equally weighted spots have as much to say as these rows (Kish)."""
    return float(1.0 / np.square(np.bincount(spots, weights)).sum())


def quantiles(
    ratio: np.ndarray,
    weights: np.ndarray,
    spots: np.ndarray,
    likeness: np.ndarray,
    level: float,
) -> np.ndarray:
    """Weighted conformal quantiles of ratios, gene by gene, with the help of like genes.

    Parameters
    ----------
    ratio
        (m, G).
    weights
        (m,), with sum 1.
    spots
        int (m,): the spot of each row; rows of one spot are no independent evidence.
    likeness
        The genes in an order in which neighbours are alike: a permutation of G.
    level
        Nominal coverage in (0, 1).

    Returns
    -------
    numpy.ndarray
        Finite, (G,).
    """
    rows, genes = ratio.shape
    effective = effective_spots(weights, spots)
    shared = min(genes, max(1, round(SHARED_RATIOS / effective)))
    # The rank of a conformal quantile, for as many ratios as are independent: those of one spot err
    # together (Kish's design effect). Half of the tail stays out, or one odd spot would be all.
    together = 1 + (shared - 1) * _alike_within_spots(ratio)
    raised = min(level * (1 + together / (effective * shared)), (1 + level) / 2)
    result = np.empty(genes)
    for place, gene in enumerate(likeness):
        start = min(max(0, place - shared // 2), genes - shared)
        values = ratio[:, likeness[start : start + shared]]
        order = np.argsort(values, axis=None, kind="stable")
        mass = np.cumsum(np.repeat(weights, shared)[order]) / shared
        result[gene] = values.ravel()[order][min(np.searchsorted(mass, raised), rows * shared - 1)]
    return result


def _alike_within_spots(ratio: np.ndarray) -> float:
    """Correlation of the genes' ratios within a spot (intraclass), in [0, 1]."""
    genes = ratio.shape[1]
    spread = ratio.std(axis=0)
    scaled = (ratio - ratio.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    if genes < 2:
        return 1.0
    return float(np.clip((scaled.mean(axis=1).var() * genes - 1) / (genes - 1), 0.0, 1.0))
