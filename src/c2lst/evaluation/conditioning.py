"""Does the generator listen to genes? What its patches were drawn for is read back from them.

A reader, trained on real pairs that the generator never saw, predicts the expression (or the cell
composition) of synthetic patches, which is compared with what each patch was drawn for. Beside it
stand two controls that a generator deaf to genes can't be told from, and a ceiling:

- *shuffled*: patches drawn for another spot's genes, from the same noise,
- *unconditional*: patches drawn for no genes, from the same noise,
- *real*: the same reader on the real patches of the same spots, which it was not trained on. They
  lie where the synthetic ones are meant to be from, so that what neighbouring patches have in
  common helps both alike.

Intervals resample source spots, not images: images of one spot are alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from c2lst.errors import InputError

if TYPE_CHECKING:
    from pandas import DataFrame

SYNTHETIC, SHUFFLED, UNCONDITIONAL, REAL = "synthetic", "shuffled", "unconditional", "real"
ARMS = (SYNTHETIC, SHUFFLED, UNCONDITIONAL)
MEAN = "mean"
RESAMPLES = 1000
LEVEL = 0.95
PROGRAMMES = 5
_ROUNDING = 1e-12
"""Share of its variance over all spots below which a value does not vary in a resample."""

_TINY = 1e-24


@dataclass(frozen=True, eq=False)
class Followed:
    """How well something is followed, with its controls and its ceiling.

    Attributes
    ----------
    what, by
        What is followed, and what of a patch it is read from, in words: "genes", "ImageNet
        features".
    table
        First a row ``mean`` over all values, then one row per value (gene, programme, cell type).
        ``estimate, low, high``: Pearson correlation, over synthetic patches, of what is read with
        what was asked for, with its 95 % interval; the same as ``shuffled, shuffled_low, …``,
        ``unconditional, …`` and ``real, …``. ``margin, …``: how far the estimate lies above the
        higher of both controls.
    spots, held_out
        Source spots of the synthetic patches; real spots behind the reader.
    """

    what: str
    by: str
    table: DataFrame
    spots: int
    held_out: int

    @property
    def mean(self) -> dict[str, float]:
        """The row of the mean."""
        return {str(k): float(v) for k, v in self.table.iloc[0].items() if k != "name"}

    @property
    def readable(self) -> bool:
        """Whether the reader finds it in real patches at all."""
        return self.mean["real_low"] > 0

    @property
    def follows(self) -> bool:
        """Whether the estimate exceeds both controls beyond chance."""
        return self.mean["margin_low"] > 0

    @property
    def verdict(self) -> str:
        """One sentence."""
        row, by = self.mean, f"read from {self.by}"
        real = f"real {with_interval(row, 'real')}"
        if not self.readable and not self.follows:
            return (
                f"whether synthetic tissue follows its {self.what} cannot be told, as it can't be "
                f"read from real patches either: {real}, {by}"
            )
        does = "does not measurably follow"
        if self.follows:
            does = "follows" if row["estimate"] >= row[REAL] / 2 else "weakly follows"
        return (
            f"synthetic tissue {does} its {self.what}: r = {with_interval(row)}, shuffled "
            f"{row[SHUFFLED]:.2f}, unconditional {row[UNCONDITIONAL]:.2f}, {real}, {by}"
        )


def follow(
    what: str,
    names: Sequence[str],
    read: Mapping[str, np.ndarray],
    wanted: np.ndarray,
    spots: np.ndarray,
    *,
    real: tuple[np.ndarray, np.ndarray],
    held_out: int,
    by: str = "features",
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Followed:
    """Compare what is read from synthetic patches with what they were drawn for.

    Parameters
    ----------
    what
        What is followed, in words: "genes".
    names
        Of the T values.
    read
        For each of `ARMS`, what the reader reads from its patches, ``(m, T)``, row by row from the
        same noise.
    wanted
        ``(m, T)``: the value of the spot that the *synthetic* patch was drawn for. Columns with
        NaN, not measured, are left out.
    spots
        ``(m,)``: that spot.
    real
        What is read from the real patches of those spots, one row each in ascending order, and
        what is true of them; ``(n, T)`` each.
    held_out
        Real spots that the reader was trained on: others.
    by
        What the reader reads from, in words.
    resamples, seed
        Of the bootstrap.

    Raises
    ------
    InputError
        If an arm is missing, or shapes differ.
    """
    import pandas as pd

    each, groups = np.unique(spots, return_inverse=True)
    _check(read, wanted, names, real, len(each))
    counts = _resampled(len(each), resamples, seed)
    found = {arm: _correlations(read[arm], wanted, groups, counts) for arm in ARMS}
    found[REAL] = _correlations(*real, np.arange(len(each)), counts)
    # Resample by resample, so that an interval of the margin is one of paired differences.
    found["margin"] = found[SYNTHETIC] - np.maximum(found[SHUFFLED], found[UNCONDITIONAL])
    columns: dict[str, Any] = {"name": [MEAN, *names]}
    for key, values in found.items():
        prefix = "" if key == SYNTHETIC else f"{key}_"
        columns["estimate" if key == SYNTHETIC else key] = values[0]
        columns[f"{prefix}low"], columns[f"{prefix}high"] = _interval(values[1:])
    return Followed(what, by, pd.DataFrame(columns), len(each), held_out)


def programmes(scaled: np.ndarray, number: int = PROGRAMMES) -> tuple[np.ndarray, np.ndarray]:
    """Return the main gene programmes: principal components of the training spots' expression.

    Parameters
    ----------
    scaled
        ``(n, G)`` scaled expression; NaN, not measured, counts as the mean.

    Returns
    -------
    loadings, shares
        ``(G, P)``, by which scaled expression is multiplied, and the share of the variance of each.
    """
    from sklearn.decomposition import PCA

    number = min(number, len(scaled) - 1, scaled.shape[1])
    found = PCA(number, svd_solver="full").fit(np.nan_to_num(scaled))
    return found.components_.T, found.explained_variance_ratio_


def partners(count: int, seed: int) -> np.ndarray:
    """Give each of ``count`` spots another spot, each once: whose genes the shuffled arm gets."""
    if count < 2:
        raise InputError("source spots", "too few to shuffle", found=count, expected="at least 2")
    order = np.random.default_rng((seed, 11)).permutation(count)
    partner = np.empty(count, dtype=np.intp)
    partner[order] = np.roll(order, 1)
    return partner


def with_interval(row: Mapping[str, float], key: str = "estimate") -> str:
    """Write a value of a table's row with its interval: ``0.61 (0.50 to 0.70)``."""
    prefix = "" if key == "estimate" else f"{key}_"
    return f"{row[key]:.2f} ({row[f'{prefix}low']:.2f} to {row[f'{prefix}high']:.2f})"


def _check(
    read: Mapping[str, np.ndarray],
    wanted: np.ndarray,
    names: Sequence[str],
    real: tuple[np.ndarray, np.ndarray],
    spots: int,
) -> None:
    for arm in ARMS:
        if arm not in read:
            raise InputError("synthetic patches", f"the {arm} arm is missing")
        if read[arm].shape != wanted.shape:
            raise InputError(
                f"{arm} patches",
                "are not as many as were asked for",
                found=read[arm].shape,
                expected=wanted.shape,
            )
    if not len(real[0]) == len(real[1]) == spots:
        raise InputError(
            "real patches",
            "are not those of the source spots",
            found=f"{len(real[0])} and {len(real[1])}",
            expected=spots,
        )
    for width in (wanted.shape[1], real[0].shape[1], real[1].shape[1]):
        if width != len(names):
            raise InputError(
                "values of spots", "not as many as names", found=width, expected=len(names)
            )


def _resampled(count: int, resamples: int, seed: int) -> np.ndarray:
    """How often each spot is drawn, (1 + resamples, count): once each, then by bootstrap."""
    rng = np.random.default_rng((seed, 12))
    drawn = rng.multinomial(count, np.full(count, 1 / count), size=resamples)
    return np.concatenate([np.ones((1, count)), drawn])


def _correlations(
    x: np.ndarray, y: np.ndarray, groups: np.ndarray, counts: np.ndarray
) -> np.ndarray:
    """Pearson r in every resample, (1 + resamples, 1 + T): the mean over columns, then each.

    A constant prediction ``x`` has r = 0: it tells nothing. Where ``y`` is constant or not
    measured there is no r (NaN), and the mean is over the others: so, too, in a resample without
    the few spots that have a gene.
    """
    x, y = (v - v.mean(axis=0) for v in (x.astype(float), y.astype(float)))

    def mean(values: np.ndarray) -> np.ndarray:
        sums = np.zeros((counts.shape[1], values.shape[1]))
        np.add.at(sums, groups, values)
        averaged: np.ndarray = counts @ sums / (counts @ np.bincount(groups))[:, None]
        return averaged

    mean_x, mean_y = mean(x), mean(y)
    variance_x, variance_y = mean(x * x) - mean_x**2, mean(y * y) - mean_y**2
    # The first row is of all spots: what a resample lacks of it is rounding, and no variance.
    tells, varies = (v > np.maximum(_ROUNDING * v[0], _TINY) for v in (variance_x, variance_y))
    product = np.where(tells & varies, variance_x * variance_y, 1.0)
    covariance = mean(x * y) - mean_x * mean_y
    each = np.where(tells, covariance / np.sqrt(product), 0.0)
    each = np.where(varies, each, np.nan)
    known = np.isfinite(each)
    total = np.where(known, each, 0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    total = np.where(known.any(axis=1), total, np.nan)
    return np.column_stack([total, each])


def _interval(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the ends of the 95 % interval of each column; NaN where a column has no value."""
    tail = 100 * (1 - LEVEL) / 2
    # A column that is constant in some resamples only is judged by the others.
    known = np.isfinite(values).any(axis=0)
    ends = np.full((2, values.shape[1]), np.nan)
    if known.any():
        ends[:, known] = np.nanpercentile(values[:, known], [tail, 100 - tail], axis=0)
    return ends[0], ends[1]
