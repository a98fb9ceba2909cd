"""Combine runs over seeds, splits or slides into means with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from c2lst.errors import InputError
from c2lst.progress import logger

if TYPE_CHECKING:
    from pandas import DataFrame


def combine(runs: Sequence[DataFrame | str | Path], by: Sequence[str] = ("method",)) -> DataFrame:
    """Average the tables of several runs, with 95 % intervals over the runs.

    Parameters
    ----------
    runs
        One table a run, as of :func:`evaluate` or :func:`compare`: the table itself, its CSV file,
        or a predictions file (``.h5ad``), which is evaluated.
    by
        Columns that name a row: ``("method",)`` for metrics, ``("method", "against")`` for
        comparisons, ``("method", "gene")`` for genes.

    Returns
    -------
    pandas.DataFrame
        The columns ``by``; ``runs``, the number of runs that have the row; for every number the
        mean over runs, and for those that are no counts ``_low`` and ``_high``: mean ∓ t(0.975,
        n - 1)·sd/√n over the n runs where it is a number, NaN for a single one. A run's own
        intervals, over places of its tissue, are left out.

    Raises
    ------
    InputError
        If there is no run, a table cannot be read, lacks a column of ``by``, or has several rows
        that ``by`` does not tell apart: they are no runs of their own.

    Notes
    -----
    A correlation is averaged over runs, never computed over pooled slides. Splits of one slide
    share spots, so that its runs are not independent, and an interval over them is too narrow for
    another slide (Nadeau & Bengio, Machine Learning 2003): let the runs be slides where there are
    several.
    """
    import pandas as pd
    from scipy.stats import t

    tables = [_table(run) for run in runs]
    if not tables:
        raise InputError("runs", "there is none to combine")
    for table in tables:
        if missing := [name for name in by if name not in table]:
            raise InputError("runs", "a table lacks a column", found=", ".join(missing))
        if (twice := table.duplicated(list(by))).any():
            row = table.loc[twice, list(by)].iloc[0]
            raise InputError(
                "runs",
                f"a table has several rows of one {', '.join(by)}",
                found=", ".join(map(str, row)),
                expected="one row of each in each run",
                remedy="name the columns that tell them apart in by, or give each run its table",
            )
    together = pd.concat(tables, ignore_index=True)
    numbers = (str(name) for name in together.select_dtypes("number"))
    values = [name for name in numbers if name not in by and not _is_bound(name)]
    groups = together.groupby(list(by), sort=False)
    combined = {"runs": groups.size()}
    for name in values:
        mean, n = groups[name].mean(), groups[name].count()
        combined[name] = mean
        if not _is_count(name):
            half = t.ppf(0.975, np.maximum(n - 1, 1)) * groups[name].std() / np.sqrt(n.clip(1))
            combined |= {f"{name}_low": mean - half, f"{name}_high": mean + half}
    result = pd.DataFrame(combined).reset_index()
    if single := int((result["runs"] < 2).sum()):
        logger.warning("%d of %d rows are of one run: no interval over runs", single, len(result))
    return result


def _table(run: DataFrame | str | Path) -> DataFrame:
    import pandas as pd

    from c2lst.data.layout import read_h5ad
    from c2lst.evaluation.expression.table import evaluate

    if isinstance(run, pd.DataFrame):
        return run
    path = Path(run)
    if path.suffix == ".h5ad":
        return evaluate(read_h5ad(path))[0]
    if not path.is_file():
        raise InputError(path, "no such file", expected="a table (.csv) or predictions (.h5ad)")
    try:
        return pd.read_csv(path)
    except (ValueError, OSError) as error:
        raise InputError(path, "is no readable CSV file", found=error) from error


def _is_bound(name: str) -> bool:
    return name in ("low", "high") or name.endswith(("_low", "_high"))


def _is_count(name: str) -> bool:
    return name in ("spots", "genes") or name.endswith("_genes")
