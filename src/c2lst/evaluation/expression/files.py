"""The files of an evaluation."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from c2lst.evaluation.expression.comparisons import compare
from c2lst.evaluation.expression.coverage import interval_coverage
from c2lst.evaluation.expression.names import LOWER, UPPER
from c2lst.evaluation.expression.table import evaluate
from c2lst.storage import whole_file

if TYPE_CHECKING:
    from pandas import DataFrame

METRICS, GENE_METRICS = "metrics.csv", "gene_metrics.csv"
COMPARISONS, COVERAGE = "comparisons.csv", "coverage.csv"


def write_evaluation(predictions: Path, directory: Path, *, seed: int = 0) -> DataFrame:
    """Score a predictions file into metrics, gene metrics, comparisons and coverage (CSV).

    Returns
    -------
    pandas.DataFrame
        The metrics, one row per method.

    Raises
    ------
    InputError
        If the file cannot be read or holds no held-out spot.
    """
    from c2lst.data.layout import read_h5ad

    table = read_h5ad(predictions)
    metrics, genes = evaluate(table, seed=seed)
    files = {METRICS: metrics, GENE_METRICS: genes, COMPARISONS: compare(table, seed=seed)}
    if LOWER in table.layers and UPPER in table.layers:
        files[COVERAGE] = interval_coverage(table, seed=seed)
    else:  # one of other predictions, without intervals in these
        (directory / COVERAGE).unlink(missing_ok=True)
    for name, rows in files.items():
        with whole_file(directory / name) as partial:
            rows.to_csv(partial, index=False, float_format="%.6g")
    return metrics
