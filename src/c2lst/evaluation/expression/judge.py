"""What methods are judged with, and the rows that come of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from c2lst.evaluation.expression.blocks import SpatialBlocks, bounds
from c2lst.evaluation.expression.floor import NoiseFloor
from c2lst.evaluation.expression.heldout import HeldOut
from c2lst.evaluation.expression.names import DEFAULT_METHOD, LIBRARY_SIZE, REFERENCE
from c2lst.evaluation.expression.scores import GeneScores, Observed
from c2lst.evaluation.spatial import FEWEST_SPOTS, NEIGHBOUR_PITCHES, linked, neighbour_graph
from c2lst.progress import logger

FEW_SPOTS = 20
"""With fewer held-out spots a line says that numbers mean little."""

LEAST_HEADROOM = 0.05
"""Share of the median's error above the noise floor, below which nothing is left to explain."""


@dataclass(frozen=True)
class Judge:
    """What every method is measured with: the observed, its noise, the median, the blocks.

    Parameters
    ----------
    reference_error
        Shape (t, G): absolute error of the train median; None where it is not among the methods.
    floor
        None where the counts are not known.
    """

    held_out: HeldOut
    observed: Observed
    sampler: SpatialBlocks
    reference_error: np.ndarray | None
    floor: NoiseFloor | None

    @classmethod
    def of(cls, held_out: HeldOut, resamples: int, seed: int) -> Judge:
        """Measure the observed; ``resamples`` and ``seed`` are of the bootstrap."""
        counts, floor = held_out.counts, None
        if counts is not None and held_out.scale is not None:
            floor = NoiseFloor.of(counts, held_out.scale)
        graph = neighbour_graph(held_out.xy, NEIGHBOUR_PITCHES * held_out.pitch)
        noise = None if floor is None else floor.variance
        reference = held_out.methods.get(REFERENCE)
        return cls(
            held_out=held_out,
            observed=Observed.of(held_out.observed, graph, noise),
            sampler=SpatialBlocks.of(held_out.xy, resamples, seed),
            reference_error=None if reference is None else np.abs(reference - held_out.observed),
            floor=floor,
        )

    def tell(self) -> None:
        """Log what cannot be scored, and why."""
        spots, genes = self.held_out.observed.shape
        constant = int(self.observed.constant.sum())
        alone = int((~linked(self.observed.graph)).sum())
        if spots < FEW_SPOTS:
            logger.warning("only %d held-out spots: scores and intervals say little", spots)
        if constant:
            logger.warning(
                "%d of %d genes do not vary over the held-out spots: no correlation, R², variance "
                "ratio or Moran's I",
                constant,
                genes,
            )
        if missing := self._missing():
            logger.warning("%s", missing)
        if spots - alone < FEWEST_SPOTS:
            logger.warning("%d held-out spots have a neighbour: no Moran's I", spots - alone)
        elif alone:
            logger.info("Moran's I: %d of %d held-out spots have no neighbour", alone, spots)

    def _missing(self) -> str | None:
        """Say why there is no skill or no explained share."""
        if self.reference_error is None:
            return f"no layer baseline_{REFERENCE}: no skill, no explained share"
        if self.held_out.scale is None:
            return f"no obs[{LIBRARY_SIZE!r}]: no noise floor, no explained share"
        if self.floor is None:
            return "values are not log1p of normalised counts: no noise floor, no explained share"
        base = self.reference_error.mean()
        if base - self.floor.by_spot.mean() <= LEAST_HEADROOM * base:
            return "the train median errs by no more than counting noise: no explained share"
        return None

    def row(
        self, method: str, predicted: np.ndarray, ranks: np.ndarray, scores: GeneScores
    ) -> dict[str, object]:
        """Return the row of a method in the metrics table."""
        observed, sampler = self.observed, self.sampler
        error = np.abs(predicted - observed.values).mean(axis=1)
        square = ((predicted - observed.values) ** 2).mean(axis=1)
        row: dict[str, object] = {
            "method": method,
            "judged": self.held_out.judged,
            "spots": len(error),
            "genes": predicted.shape[1],
            "mae": float(error.mean()),
            **bounds("mae", sampler.mean(error)),
            "rmse": float(np.sqrt(square.mean())),
            **bounds("rmse", np.sqrt(sampler.mean(square))),
            "pearson": _over_genes(np.mean, scores.pearson),
            **bounds("pearson", sampler.pearson(observed.values, predicted)),
            "spearman": _over_genes(np.mean, scores.spearman),
            **bounds("spearman", sampler.pearson(observed.ranks, ranks)),
            "r2": _over_genes(np.mean, scores.r2),
            **bounds("r2", sampler.r2(observed.values, predicted)),
            **self._against_median(error),
            "variance_ratio": _over_genes(np.median, scores.variance_ratio),
            **self._moran(scores),
            "pearson_genes": int((~observed.constant).sum()),
            "undefined_genes": int(observed.constant.sum()),
            "flat_genes": int(scores.flat.sum()),
        }
        inside = self.held_out.inside
        if method == DEFAULT_METHOD and inside is not None:
            row["coverage"] = float(inside.mean())
            row |= bounds("coverage", sampler.mean(inside.mean(axis=1)))
        return row

    def _against_median(self, error: np.ndarray) -> dict[str, float]:
        """Skill, noise floor and explained share, of errors (t,) of the spots."""
        nothing = np.full_like(error, np.nan)
        base = nothing if self.reference_error is None else self.reference_error.mean(axis=1)
        floor = nothing if self.floor is None else self.floor.by_spot
        means = [np.array([x.mean()]) for x in (error, base, floor)]
        resampled = [self.sampler.mean(x) for x in (error, base, floor)]
        return {
            "skill": float(_skill(*means[:2])[0]),
            **bounds("skill", _skill(*resampled[:2])),
            "noise_floor": float(means[2][0]),
            **bounds("noise_floor", resampled[2]),
            "explained_share": float(_explained(*means)[0]),
            **bounds("explained_share", _explained(*resampled)),
        }

    def _moran(self, scores: GeneScores) -> dict[str, object]:
        observed, corrected = self.observed.moran, self.observed.moran_corrected
        difference, correlation = _agreement(scores.moran, observed)
        difference_corrected, correlation_corrected = _agreement(scores.moran, corrected)
        return {
            "moran_predicted": _over_genes(np.mean, scores.moran),
            "moran_observed": _over_genes(np.mean, observed),
            "moran_corrected": _over_genes(np.mean, corrected),
            "moran_difference": difference,
            "moran_correlation": correlation,
            "moran_difference_corrected": difference_corrected,
            "moran_correlation_corrected": correlation_corrected,
            "moran_genes": int(np.isfinite(observed).sum()),
            "moran_corrected_genes": int(np.isfinite(corrected).sum()),
        }

    def gene_columns(self, method: str, scores: GeneScores) -> dict[str, object]:
        """Return the columns of a method in the table of genes."""
        unknown = np.full(len(self.held_out.genes), np.nan)
        base = unknown if self.reference_error is None else self.reference_error.mean(axis=0)
        floor = unknown if self.floor is None else self.floor.by_gene
        columns: dict[str, object] = {
            "method": method,
            "gene": self.held_out.genes,
            "mae": scores.mae,
            "rmse": scores.rmse,
            "pearson": scores.pearson,
            "constant": self.observed.constant,
            "spearman": scores.spearman,
            "r2": scores.r2,
            "skill": _skill(scores.mae, base),
            "noise_floor": floor,
            "explained_share": _explained(scores.mae, base, floor),
            "reliability": self.observed.reliability,
            "variance_ratio": scores.variance_ratio,
            "moran_predicted": scores.moran,
            "moran_observed": self.observed.moran,
            "moran_corrected": self.observed.moran_corrected,
            "flat": scores.flat,
        }
        inside = self.held_out.inside
        if method == DEFAULT_METHOD and inside is not None:
            columns["coverage"] = inside.mean(axis=0)
        width = self.held_out.width
        if method == DEFAULT_METHOD and width is not None:
            columns["width"] = width.mean(axis=0)
        return columns


def _skill(error: np.ndarray, base: np.ndarray) -> np.ndarray:
    # A reference without error leaves nothing to gain: skill has no value there.
    return 1 - error / np.where(base > 0, base, np.nan)


def _explained(error: np.ndarray, base: np.ndarray, floor: np.ndarray) -> np.ndarray:
    headroom = base - floor
    return (base - error) / np.where(headroom > LEAST_HEADROOM * base, headroom, np.nan)


def _agreement(predicted: np.ndarray, observed: np.ndarray) -> tuple[float, float]:
    """Mean |difference| and correlation over the genes (G,) that have both."""
    both = np.isfinite(predicted) & np.isfinite(observed)
    x, y = predicted[both], observed[both]
    if not len(y):
        return float("nan"), float("nan")
    difference = float(np.abs(x - y).mean())
    if np.ptp(y) == 0:
        return difference, float("nan")
    return difference, 0.0 if np.ptp(x) == 0 else float(np.corrcoef(x, y)[0, 1])


def _over_genes(statistic: Callable[[np.ndarray], np.floating], values: np.ndarray) -> float:
    values = values[np.isfinite(values)]
    return float(statistic(values)) if values.size else float("nan")
