"""Whether the deviation of a map grows where its error grows, and how far it could.

A single count scatters about its expectation even where that is known exactly, so no deviation
ranks all errors rightly. On simulated tissue the known expectation, with the deviation of Poisson
counts, shows how far one can get; and there the error of the expectation itself can be asked for.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

GROUPS = 10
_FINEST, _MOST = 400, 12.0


@dataclass(frozen=True, eq=False)
class Deviations:
    """Standard deviations of counts and of log1p counts, ``(G, H, W)``."""

    counts: np.ndarray
    logs: np.ndarray


def poisson_log1p(expected: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Compute mean and standard deviation of log1p of Poisson counts, of the shape of ``expected``.

    Read off a table that is even in the root of the expectation; beyond its end by the delta
    method, log(1 + λ) - λ / (2 (1 + λ)²) and √λ / (1 + λ).
    """
    from scipy.stats import poisson

    root = np.linspace(0.0, _MOST, _FINEST)
    values = np.arange(int(_MOST**2 + 10 * _MOST))
    share, logs = poisson.pmf(values, root[:, None] ** 2), np.log1p(values)
    mean = share @ logs
    sd = np.sqrt(np.maximum(share @ logs**2 - mean**2, 0.0))
    rate = np.asarray(expected, dtype=np.float64)
    inside, at = rate <= _MOST**2, np.sqrt(rate)
    far_mean = np.log1p(rate) - rate / (2 * (1 + rate) ** 2)
    return (
        np.where(inside, np.interp(at, root, mean), far_mean),
        np.where(inside, np.interp(at, root, sd), at / (1 + rate)),
    )


def rank_correlation(sd: np.ndarray, error: np.ndarray) -> float:
    """Spearman correlation of deviation and absolute error over bins, mean over genes.

    Parameters
    ----------
    sd, error
        ``(G, n)``. A gene of which either is constant counts as zero.
    """
    from scipy.stats import rankdata

    a, b = (rankdata(values, axis=1) for values in (sd, np.abs(error)))
    a, b = (ranks - ranks.mean(axis=1, keepdims=True) for ranks in (a, b))
    norm = np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
    found = np.divide((a * b).sum(axis=1), norm, out=np.zeros_like(norm), where=norm > 1e-9)
    return float(found.mean())


def rank_within(sd: np.ndarray, error: np.ndarray, level: np.ndarray) -> float:
    """Rank correlation among bins of like expression: what it says beyond their level.

    Parameters
    ----------
    sd, error, level
        ``(G, n)``; groups are tenths of each gene's ``level``.
    """
    order = np.argsort(level, axis=1, kind="stable")
    ranks = [
        rank_correlation(np.take_along_axis(sd, part, 1), np.take_along_axis(error, part, 1))
        for part in np.array_split(order, min(GROUPS, level.shape[1]), axis=1)
    ]
    return float(np.mean(ranks))


def by_tenths(sd: np.ndarray, error: np.ndarray) -> list[tuple[float, float]]:
    """Root mean squares of deviation and error in ten groups of bins, by rising deviation.

    Groups average the scatter of single counts. Where the two agree, the deviation is right.

    Parameters
    ----------
    sd, error
        ``(G, n)``; groups are of all genes together.
    """
    order = np.argsort(sd, axis=None, kind="stable")
    groups = (np.array_split(values.ravel()[order], GROUPS) for values in (sd, error))
    return [(_rms(a), _rms(b)) for a, b in zip(*groups, strict=True)]


def deviation_scores(
    counts: np.ndarray,
    logs: np.ndarray,
    deviations: Deviations,
    truth: np.ndarray,
    tissue: np.ndarray,
    expected: np.ndarray | None = None,
) -> dict[str, float]:
    """Rank correlations of deviation and absolute error on tissue.

    Parameters
    ----------
    counts, logs, truth, expected
        Predicted counts and log1p counts, measured and expected counts, ``(G, H, W)``.
    deviations
        Of the prediction.
    tissue
        bool ``(H, W)``.

    Returns
    -------
    dict
        ``uncertainty_rank`` in log1p counts, ``uncertainty_rank_counts`` in counts,
        ``uncertainty_rank_within`` in counts among bins of like predicted counts, and against the
        known expectation ``uncertainty_rank_expected``, in counts; ``spread``, root mean squares
        of deviation over error in log1p counts, 1 where the deviation has the right size.
    """
    error = (logs - np.log1p(truth))[:, tissue]
    counts, truth = counts[:, tissue], truth[:, tissue]
    in_logs, in_counts = deviations.logs[:, tissue], deviations.counts[:, tissue]
    found = {
        "uncertainty_rank": rank_correlation(in_logs, error),
        "uncertainty_rank_counts": rank_correlation(in_counts, counts - truth),
        "uncertainty_rank_within": rank_within(in_counts, counts - truth, counts),
        "spread": _rms(in_logs) / max(_rms(error), 1e-12),
    }
    if expected is not None:
        missed = counts - expected[:, tissue]
        found["uncertainty_rank_expected"] = rank_correlation(in_counts, missed)
    return found


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(values, dtype=np.float64))))
