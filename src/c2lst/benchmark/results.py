"""The tables of a benchmark: slide by slide, and the means over folds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from c2lst.storage import whole_file

if TYPE_CHECKING:
    from pandas import DataFrame

FOLDS, METRICS, GENES = "folds", "metrics.parquet", "genes.parquet"
_FACTS = ("train_sections", "train_spots")
"""Numbers of a fold that are no scores: a mean of them has no interval."""

BENCHMARK_TABLE, MEAN_TABLE = "benchmark.parquet", "table.csv"


def collect(root: Path) -> DataFrame:
    """Join the tables of the folds that are done.

    Writes ``benchmark.parquet`` and ``benchmark.csv``, a row for each fold, test section and
    method; ``genes.parquet``, the same gene by gene; ``table.csv``, the means over folds.
    """
    import pandas as pd

    done = sorted(path for path in (root / FOLDS).iterdir() if not path.name.startswith("."))
    for name, part in ((BENCHMARK_TABLE, METRICS), (GENES, GENES)):
        joined = pd.concat([pd.read_parquet(fold / part) for fold in done], ignore_index=True)
        with whole_file(root / name) as partial:
            joined.to_parquet(partial, index=False)
    table: DataFrame = pd.read_parquet(root / BENCHMARK_TABLE)
    for path, rows in ((BENCHMARK_TABLE, table), (MEAN_TABLE, summarise(table))):
        with whole_file((root / path).with_suffix(".csv")) as partial:
            rows.to_csv(partial, index=False, float_format="%.6g")
    return table


def summarise(table: DataFrame) -> DataFrame:
    """Average over the slides of a fold, then over folds, with 95 % intervals over folds.

    Every figure, a correlation among them, is of one slide before it is averaged.

    Returns
    -------
    pandas.DataFrame
        A row per method, in the order of ``table``; see
        :func:`c2lst.evaluation.expression.combine`.
    """
    from c2lst.evaluation.expression import combine

    numbers = table.select_dtypes("number").columns
    folds = [
        rows.groupby("method", sort=False)[list(numbers)].mean().reset_index()
        for _, rows in table.groupby("fold", sort=False)
    ]
    combined: DataFrame = combine(folds)
    bounds = [f"{name}{end}" for name in _FACTS for end in ("_low", "_high")]
    return combined.drop(columns=bounds, errors="ignore")
