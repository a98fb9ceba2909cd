"""Judge predicted expression on held-out spots, with intervals that respect space.

Neighbouring spots err alike, so intervals come from resampling square blocks of spots, not spots.
All sums that the metrics need are kept per block: a resample is then a matrix product.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from c2lst.errors import InputError

if TYPE_CHECKING:
    from anndata import AnnData
    from pandas import DataFrame

DEFAULT_METHOD = "c2lst (image + place)"
PREDICTED, OBSERVED, LOWER, UPPER = "predicted", "observed", "lower", "upper"
BASELINE_PREFIX = "baseline_"
REFERENCE = "train_median"
NETWORK, NETWORK_TWIN, TWIN = "network_cotrained", "network_real_only", "predicted_real_only"

RESAMPLES = 2000
BLOCKS_ACROSS = 6
"""Blocks along the longer side of the held-out spots."""

FEWEST_BLOCKS = 6
"""With fewer occupied blocks, single spots are resampled instead."""


def evaluate(
    predictions: AnnData, *, resamples: int = RESAMPLES, seed: int = 0
) -> tuple[DataFrame, DataFrame]:
    """Score every method on the held-out spots.

    Parameters
    ----------
    predictions
        As in ``predictions.h5ad``: layers ``observed`` and one per method (log1p CP10k), of which
        ``predicted`` is the default predictor and ``baseline_<name>`` a baseline; optional layers
        ``lower`` and ``upper`` hold its 90 % interval. ``obs["split"]`` marks the spots ``test``.
    resamples, seed
        Of the bootstrap over spatial blocks.

    Returns
    -------
    metrics
        One row per method: mean absolute error, root mean square error, mean gene-wise Pearson
        and Spearman correlation, skill (1 - MAE / MAE of the train median), each with ``_low`` and
        ``_high`` (95 %) where the contract has them; ``variance_ratio``, the median over genes of
        predicted to observed variance (below 1: over-smoothed); ``pearson_genes``, the number of
        genes that vary over the held-out spots, over which correlations are averaged;
        ``coverage``, the share of observed values inside the default predictor's interval.
        A prediction that is constant has correlation 0: it explains nothing. NaN is written only
        where a number does not exist (no gene varies, no train median, no interval).
    genes
        One row per method and gene: mae, rmse, pearson (NaN where the observed gene is constant,
        marked in ``constant``), coverage.

    Raises
    ------
    InputError
        If there is no held-out spot, a layer is missing, or a value is not finite.
    """
    import pandas as pd

    held_out = _HeldOut.of(predictions)
    sampler = _Blocks.of(held_out.xy, resamples, seed)
    reference = held_out.methods.get(REFERENCE)
    rows, tables = [], []
    for method, predicted in held_out.methods.items():
        scores = _GeneScores.of(held_out.observed, predicted)
        row = _method_row(method, held_out, predicted, scores, sampler, reference)
        table = {
            "method": method,
            "gene": held_out.genes,
            "mae": scores.mae,
            "rmse": scores.rmse,
            "pearson": scores.pearson,
            "constant": scores.constant,
        }
        if method == DEFAULT_METHOD and held_out.inside is not None:
            row["coverage"] = float(held_out.inside.mean())
            table["coverage"] = held_out.inside.mean(axis=0)
        rows.append(row)
        tables.append(pd.DataFrame(table))
    return pd.DataFrame(rows), pd.concat(tables, ignore_index=True)


def compare(predictions: AnnData, *, resamples: int = RESAMPLES, seed: int = 0) -> DataFrame:
    """Compare methods spot by spot: paired differences in MAE with 95 % intervals.

    Returns
    -------
    pandas.DataFrame
        Columns ``method, against, mae_difference, low, high`` (negative: ``method`` errs less):
        the default predictor and its networks against every baseline, and each of them against
        its twin of real spots only. ``against_best`` marks the baseline of least error *on the
        held-out spots*, a choice that favours the baseline.
    """
    import pandas as pd

    held_out = _HeldOut.of(predictions)
    sampler = _Blocks.of(held_out.xy, resamples, seed)
    errors = {m: np.abs(p - held_out.observed).mean(axis=1) for m, p in held_out.methods.items()}
    baselines = [m for m in held_out.baselines if m in errors]
    best = min(baselines, key=lambda m: (errors[m].mean(), m), default=None)
    pairs = [
        (method, against)
        for method in (DEFAULT_METHOD, TWIN, NETWORK, NETWORK_TWIN)
        for against in (*baselines, *_TWINS.get(method, ()))
        if method in errors and against in errors
    ]
    rows = []
    for method, against in pairs:
        difference = errors[method] - errors[against]
        low, high = _interval(sampler.means(difference[:, None])[:, 0])
        rows.append((method, against, float(difference.mean()), low, high, against == best))
    columns = ["method", "against", "mae_difference", "low", "high", "against_best"]
    return pd.DataFrame(rows, columns=columns)


_TWINS: Mapping[str, tuple[str, ...]] = {
    DEFAULT_METHOD: (TWIN, NETWORK),
    NETWORK: (NETWORK_TWIN,),
}


@dataclass(frozen=True)
class _HeldOut:
    """The held-out part of the predictions, as dense float64 arrays (t, G)."""

    genes: np.ndarray
    xy: np.ndarray
    observed: np.ndarray
    methods: Mapping[str, np.ndarray]
    baselines: tuple[str, ...]
    inside: np.ndarray | None

    @classmethod
    def of(cls, predictions: AnnData) -> _HeldOut:
        for place, key in (
            ("obs", "split"),
            ("obsm", "spatial"),
            ("layers", OBSERVED),
            ("layers", PREDICTED),
        ):
            if key not in getattr(predictions, place):
                raise InputError("predictions", f"{place}[{key!r}] is missing")
        test = (predictions.obs["split"].astype(str) == "test").to_numpy()
        if not test.any():
            raise InputError(
                "predictions",
                "no held-out spot",
                found=", ".join(sorted(set(predictions.obs["split"].astype(str)))),
                expected="spots with split 'test'",
            )
        layers = {name: _dense(predictions, name, test) for name in predictions.layers}
        observed = layers.pop(OBSERVED)
        lower, upper = layers.pop(LOWER, None), layers.pop(UPPER, None)
        inside = (
            None if lower is None or upper is None else (lower <= observed) & (observed <= upper)
        )
        names = {name: name.removeprefix(BASELINE_PREFIX) for name in layers}
        names[PREDICTED] = DEFAULT_METHOD
        order = sorted(layers, key=lambda name: (name != PREDICTED, name))
        return cls(
            genes=predictions.var_names.to_numpy().astype(str),
            xy=np.asarray(predictions.obsm["spatial"], dtype=np.float64)[test],
            observed=observed,
            methods={names[name]: layers[name] for name in order},
            baselines=tuple(names[n] for n in order if n.startswith(BASELINE_PREFIX)),
            inside=inside,
        )


def _dense(predictions: AnnData, name: str, test: np.ndarray) -> np.ndarray:
    layer = predictions.layers[name][test]
    dense = np.asarray(layer.toarray() if hasattr(layer, "toarray") else layer, dtype=np.float64)
    bad = ~np.isfinite(dense)
    if bad.any():
        raise InputError(
            "predictions",
            f"layer {name!r} has values that are not finite on held-out spots",
            found=int(bad.sum()),
            remedy="hold out only spots with counts",
        )
    return dense


@dataclass(frozen=True)
class _Blocks:
    """Spatial blocks and how often each resample draws them.

    Parameters
    ----------
    members
        Shape (b, t): 1 where a spot is in a block.
    draws
        Shape (resamples, b).
    """

    members: np.ndarray
    draws: np.ndarray

    @classmethod
    def of(cls, xy: np.ndarray, resamples: int, seed: int) -> _Blocks:
        side = max(float(np.ptp(xy, axis=0).max()) / BLOCKS_ACROSS, 1e-9)
        cells = np.floor((xy - xy.min(axis=0)) / side).astype(int)
        # The spot at the far border would otherwise make a block of its own.
        cells = np.minimum(cells, BLOCKS_ACROSS - 1)
        _, label = np.unique(cells, axis=0, return_inverse=True)
        label = label.ravel()
        if label.max() + 1 < FEWEST_BLOCKS:
            label = np.arange(len(xy))
        members = (label == np.arange(label.max() + 1)[:, None]).astype(np.float64)
        blocks = len(members)
        rng = np.random.default_rng(seed)
        draws = rng.multinomial(blocks, np.full(blocks, 1 / blocks), size=resamples)
        return cls(members, draws.astype(np.float64))

    def sums(self, values: np.ndarray) -> np.ndarray:
        """Sum values (t, k) over each resample: (resamples, k)."""
        return self.draws @ (self.members @ values)

    def means(self, values: np.ndarray) -> np.ndarray:
        """Mean of values (t, k) in each resample: (resamples, k)."""
        return self.sums(values) / self.sums(np.ones((len(values), 1)))

    def pearson(self, observed: np.ndarray, predicted: np.ndarray) -> np.ndarray:
        """Mean gene-wise Pearson correlation of each resample: (resamples,)."""
        # Centring first keeps the sums of squares from cancelling.
        x, y = observed - observed.mean(axis=0), predicted - predicted.mean(axis=0)
        sx, sy = self.means(x), self.means(y)
        covariance = self.means(x * y) - sx * sy
        vx, vy = self.means(x * x) - sx**2, self.means(y * y) - sy**2
        varies = vx > _TINY * np.maximum(x.var(axis=0), _TINY)
        explained = vy > _TINY * np.maximum(y.var(axis=0), _TINY)
        product = np.where(varies & explained, vx * vy, 1.0)
        correlation = np.where(varies & explained, covariance / np.sqrt(product), 0.0)
        count = varies.sum(axis=1)
        return np.where(count > 0, correlation.sum(axis=1) / np.maximum(count, 1), np.nan)


_TINY = 1e-12


@dataclass(frozen=True)
class _GeneScores:
    """Scores of one method, gene by gene: (G,) each."""

    mae: np.ndarray
    rmse: np.ndarray
    pearson: np.ndarray
    spearman: np.ndarray
    variance_ratio: np.ndarray
    constant: np.ndarray

    @classmethod
    def of(cls, observed: np.ndarray, predicted: np.ndarray) -> _GeneScores:
        from scipy.stats import rankdata

        error = predicted - observed
        constant = np.ptp(observed, axis=0) <= _TINY
        variance = np.where(constant, np.nan, observed.var(axis=0))
        return cls(
            mae=np.abs(error).mean(axis=0),
            rmse=np.sqrt((error**2).mean(axis=0)),
            pearson=_correlation(observed, predicted, constant),
            spearman=_correlation(
                rankdata(observed, axis=0), rankdata(predicted, axis=0), constant
            ),
            variance_ratio=predicted.var(axis=0) / variance,
            constant=constant,
        )


def _correlation(observed: np.ndarray, predicted: np.ndarray, constant: np.ndarray) -> np.ndarray:
    """Correlation per gene: NaN where the observed is constant, 0 where only the predicted is."""
    x, y = observed - observed.mean(axis=0), predicted - predicted.mean(axis=0)
    flat = np.ptp(predicted, axis=0) <= _TINY
    norm = np.sqrt((x**2).sum(axis=0) * (y**2).sum(axis=0))
    value = np.where(flat, 0.0, (x * y).sum(axis=0) / np.where(constant | flat, 1.0, norm))
    return np.where(constant, np.nan, value)


def _method_row(
    method: str,
    held_out: _HeldOut,
    predicted: np.ndarray,
    scores: _GeneScores,
    sampler: _Blocks,
    reference: np.ndarray | None,
) -> dict[str, object]:
    observed = held_out.observed
    error = np.abs(predicted - observed).mean(axis=1, keepdims=True)
    errors = sampler.means(error)[:, 0]
    skill, skills = np.nan, np.full(len(errors), np.nan)
    if reference is not None:
        base = np.abs(reference - observed).mean(axis=1, keepdims=True)
        # A reference without error leaves nothing to gain: skill has no value there.
        if base.mean() > 0:
            skill = 1 - error.mean() / base.mean()
            bases = sampler.means(base)[:, 0]
            skills = 1 - errors / np.where(bases > 0, bases, np.nan)
    row: dict[str, object] = {
        "method": method,
        "spots": len(observed),
        "genes": observed.shape[1],
        "mae": float(error.mean()),
        **_bounds("mae", errors),
        "rmse": float(np.sqrt(((predicted - observed) ** 2).mean())),
        "pearson": _mean(scores.pearson),
        **_bounds("pearson", sampler.pearson(observed, predicted)),
        "skill": float(skill),
        **_bounds("skill", skills),
        "spearman": _mean(scores.spearman),
        "variance_ratio": _median(scores.variance_ratio),
        "pearson_genes": int((~scores.constant).sum()),
    }
    return row


def _mean(values: np.ndarray) -> float:
    values = values[np.isfinite(values)]
    return float(values.mean()) if values.size else float("nan")


def _median(values: np.ndarray) -> float:
    values = values[np.isfinite(values)]
    return float(np.median(values)) if values.size else float("nan")


def _interval(values: np.ndarray) -> tuple[float, float]:
    values = values[np.isfinite(values)]
    if not values.size:
        return float("nan"), float("nan")
    low, high = np.quantile(values, (0.025, 0.975))
    return float(low), float(high)


def _bounds(name: str, values: np.ndarray) -> dict[str, float]:
    low, high = _interval(values)
    return {f"{name}_low": low, f"{name}_high": high}
