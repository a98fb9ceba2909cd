"""How near a predicted map is to the measured one: in its own units, and as papers print it.

Honest measures are in units of expression, over the bins of tissue (SSIM, which needs neighbours,
over the whole map), with sign. Paper measures rescale every window and gene to [0, 1] first and
take the absolute correlation; they are here to be compared with printed figures. On a map with
counts in 2 % of its bins, SSIM prefers a map of nothing to a blurred truth: it is never
shown alone.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from c2lst.superres.consistency import disagreement
from c2lst.superres.pooling import Sampling

HONEST = (
    "rmse_log1p", "mae_log1p", "pearson_log1p", "ssim_log1p", "rmse_counts", "pearson_counts",
    "spots_error", "gene_correlation_error",
)  # fmt: skip
EXPECTED = ("rmse_expected", "pearson_expected")
PAPER = ("paper_rmse", "paper_ssim", "paper_pearson")


def honest(
    counts: np.ndarray,
    logs: np.ndarray,
    truth: np.ndarray,
    tissue: np.ndarray,
    spots: np.ndarray,
    scale: int,
    sampling: Sampling = "squares",
) -> dict[str, float]:
    """Compare a map with the measured one, means over the genes.

    Parameters
    ----------
    counts, logs
        Predicted counts and predicted log1p counts, ``(G, H, W)``.
    truth
        Measured counts, ``(G, H, W)``.
    tissue
        bool ``(H, W)``: bins that are compared, but by SSIM, which compares all.
    spots, scale, sampling
        The spots it was predicted from.

    Returns
    -------
    dict
        By the names of ``HONEST``. SSIM is of log1p counts, with the range of the measured ones;
        a map of under three bins a side has none (NaN).
        ``gene_correlation_error`` is the mean absolute difference of the genes' correlations.
    """
    true_logs = np.log1p(truth)
    found = {
        "rmse_log1p": _rmse(logs[:, tissue], true_logs[:, tissue]),
        "mae_log1p": float(np.abs(logs[:, tissue] - true_logs[:, tissue]).mean()),
        "pearson_log1p": _pearson(logs[:, tissue], true_logs[:, tissue]),
        "ssim_log1p": _mean(_ssim(a, b, _range(b)) for a, b in zip(logs, true_logs, strict=True)),
        "rmse_counts": _rmse(counts[:, tissue], truth[:, tissue]),
        "pearson_counts": _pearson(counts[:, tissue], truth[:, tissue]),
        "spots_error": disagreement(counts, spots, scale, sampling),
    }
    gap = _correlations(logs[:, tissue]) - _correlations(true_logs[:, tissue])
    pairs = ~np.eye(len(gap), dtype=bool)
    return found | {
        "gene_correlation_error": float(np.abs(gap[pairs]).mean()) if pairs.any() else 0.0
    }


def against_expected(
    counts: np.ndarray, expected: np.ndarray, tissue: np.ndarray
) -> dict[str, float]:
    """Compare counts with their true expectation, which simulations know."""
    return {
        "rmse_expected": _rmse(counts[:, tissue], expected[:, tissue]),
        "pearson_expected": _pearson(counts[:, tissue], expected[:, tissue]),
    }


def as_papers(counts: np.ndarray, truth: np.ndarray, window: int) -> dict[str, float]:
    """Measures as papers print them, means over windows of ``window`` bins and genes.

    Windows in which a gene has no counts are left out, since they have nothing to rescale to.
    """
    rows = []
    for predicted, measured in _windows(counts, truth, window):
        for a, b in zip(predicted, measured, strict=True):
            if _range(b) > 0:
                a, b = _rescaled(a), _rescaled(b)
                rows.append((float(np.sqrt(((a - b) ** 2).mean())), _ssim(a, b, 1.0),
                             abs(_pearson(a.reshape(1, -1), b.reshape(1, -1)))))  # fmt: skip
    means = np.mean(rows, axis=0) if rows else np.full(3, np.nan)
    return dict(zip(PAPER, map(float, means), strict=True))


def of_windows(logs: np.ndarray, truth: np.ndarray, tissue: np.ndarray, window: int) -> list[float]:
    """RMSE in log1p counts over the tissue of each window that has some, all genes together.

    Two methods are compared window by window: what is hard for one is hard for the other.
    """
    errors = (logs - np.log1p(truth)) ** 2
    shown = np.broadcast_to(tissue, errors.shape)
    return [
        float(np.sqrt(part[inside].mean()))
        for part, inside in _windows(errors, shown, window)
        if inside.any()
    ]


def _windows(
    counts: np.ndarray, truth: np.ndarray, window: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    height, width = truth.shape[1:]
    for top in range(0, max(1, height - window + 1), window):
        for left in range(0, max(1, width - window + 1), window):
            part = (slice(None), slice(top, top + window), slice(left, left + window))
            yield counts[part], truth[part]


def _rmse(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.sqrt(((a - b) ** 2).mean(axis=1)).mean())


def _pearson(a: np.ndarray, b: np.ndarray) -> float:
    """Mean over rows; a row without variance has no correlation, which counts as zero."""
    a, b = (values - values.mean(axis=1, keepdims=True) for values in (a, b))
    norm = np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
    return float(
        np.divide((a * b).sum(axis=1), norm, out=np.zeros_like(norm), where=norm > 1e-9).mean()
    )


def _correlations(values: np.ndarray) -> np.ndarray:
    centred = values - values.mean(axis=1, keepdims=True)
    norm = np.sqrt((centred**2).sum(axis=1, keepdims=True))
    unit = np.divide(centred, norm, out=np.zeros_like(centred), where=norm > 1e-9)
    return np.asarray(unit @ unit.T)


def _ssim(a: np.ndarray, b: np.ndarray, data_range: float) -> float:
    from skimage.metrics import structural_similarity

    side = min(7, *a.shape)
    if side < 3:  # no window has neighbours
        return float("nan")
    return float(
        structural_similarity(
            a, b, data_range=max(data_range, 1e-9), win_size=side if side % 2 else side - 1
        )
    )


def _range(values: np.ndarray) -> float:
    return float(values.max() - values.min())


def _rescaled(values: np.ndarray) -> np.ndarray:
    span = _range(values)
    return (values - values.min()) / span if span > 0 else np.zeros_like(values)


def _mean(values: Iterator[float]) -> float:
    return float(np.mean(list(values)))
