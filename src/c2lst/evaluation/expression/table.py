"""The tables of scores: one row per method, and one per method and gene."""

from __future__ import annotations

from typing import TYPE_CHECKING

from c2lst.evaluation.expression.blocks import RESAMPLES
from c2lst.evaluation.expression.heldout import HeldOut
from c2lst.evaluation.expression.judge import Judge
from c2lst.evaluation.expression.scores import GeneScores
from c2lst.progress import progress_bar

if TYPE_CHECKING:
    from anndata import AnnData
    from pandas import DataFrame


def evaluate(
    predictions: AnnData, *, resamples: int = RESAMPLES, seed: int = 0
) -> tuple[DataFrame, DataFrame]:
    """Score every method on the held-out spots.

    Parameters
    ----------
    predictions
        As in ``predictions.h5ad``: layers ``observed`` and one per method (log1p CP10k), of which
        ``predicted`` is the default predictor and ``baseline_<name>`` a baseline; optional layers
        ``lower`` and ``upper`` hold its 90 % interval. ``obs["split"]`` marks the spots ``test``;
        ``obs["library_size"]`` (counts over all genes) makes the noise floor known.
    resamples, seed
        Of the bootstrap over spatial blocks.

    Returns
    -------
    metrics
        One row per method; ``_low`` and ``_high`` bound a 95 % interval. ``judged`` says which
        spots these are. ``mae``, ``rmse``,
        and ``skill`` (1 - MAE / MAE of the train median) over all values; ``pearson``,
        ``spearman`` and ``r2`` are means, and ``variance_ratio`` (predicted to observed) a median,
        over the ``pearson_genes`` that vary over the held-out spots. ``undefined_genes`` do not;
        ``flat_genes`` are predicted the same everywhere, with correlation 0.
        ``noise_floor`` is the error that counting leaves to the best possible prediction, and
        ``explained_share`` = (MAE of the median - MAE) / (MAE of the median - noise floor).
        ``moran_difference`` (mean absolute) and ``moran_correlation`` compare Moran's I of
        predicted and observed over the ``moran_genes``; with ``_corrected``, the observed one is
        freed of counting noise, over the ``moran_corrected_genes`` where noise does not prevail.
        ``coverage``: share of observed values in the default predictor's interval.
        NaN is written only where a number does not exist, and a logged line says why.
    genes
        One row per method and gene: the same, with ``constant``, ``flat`` and ``reliability``
        (share of the observed variance that is not counting noise).

    Raises
    ------
    InputError
        If there is no held-out spot, a layer is missing, or a value is not finite.

    Notes
    -----
    Intervals hold the spread over places of this tissue: not the spread over splits or seeds (see
    :func:`combine`), nor the error of the noise floor's law. Those of Spearman's correlation keep
    the ranks over all held-out spots.
    """
    import pandas as pd
    from scipy.stats import rankdata

    held_out = HeldOut.of(predictions)
    rows, tables = [], []
    with progress_bar("evaluate", len(held_out.methods) + 1) as bar:
        judge = Judge.of(held_out, resamples, seed)
        judge.tell()
        bar.advance()
        for method, predicted in held_out.methods.items():
            ranks = rankdata(predicted, axis=0)
            scores = GeneScores.of(judge.observed, predicted, ranks)
            rows.append(judge.row(method, predicted, ranks, scores))
            tables.append(pd.DataFrame(judge.gene_columns(method, scores)))
            bar.advance()
    return pd.DataFrame(rows), pd.concat(tables, ignore_index=True)
