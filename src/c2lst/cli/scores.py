"""The scores of held-out spots for the terminal: what fits in 80 columns; the rest is in CSV."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from c2lst.evaluation.expression.files import COVERAGE, METRICS
from c2lst.evaluation.expression.names import LEFT_OUT

if TYPE_CHECKING:
    from pandas import DataFrame

_DASH = "–"


def show_scores(directory: Path) -> None:
    """Print ``metrics.csv`` and ``coverage.csv`` of a folder, the best error first.

    A share that does not exist, for want of a median or of counts, is a dash.
    """
    import pandas as pd
    from rich.console import Console
    from rich.table import Table

    from c2lst.report.wording import method_name

    metrics = pd.read_csv(directory / METRICS).sort_values("mae", kind="stable")
    left_out = str(metrics["judged"].iloc[0]) == LEFT_OUT
    spots = "sequenced spots, each left out in turn" if left_out else "spots that were held out"
    table = Table(title=f"{spots} (log1p of counts per 10,000)", box=None)
    table.add_column("method", overflow="fold")
    for name in ("MAE", "95 %", "Pearson", "skill", "explained"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in metrics.to_dict("records"):
        table.add_row(
            method_name(str(row["method"])).label,
            f"{row['mae']:.3f}",
            _span(row, "mae", "{:.3f}"),
            _text(row["pearson"], "{:.3f}"),
            _text(row["skill"], "{:+.1%}"),
            _text(row["explained_share"], "{:+.1%}"),
            style="bold" if str(row["method"]).startswith("c2lst") else None,
        )
    console = Console()
    console.print(table)
    for line in _notes(metrics, directory / COVERAGE):
        console.print(line, markup=False, highlight=False)


def show_advice(directory: Path) -> None:
    """Print the advice of a run in one sentence, where it has one."""
    from rich.console import Console

    from c2lst.prediction.advice import Advice

    path = directory / "advice.json"
    if path.is_file():
        Console().print(Advice.load(path).sentence, markup=False, highlight=False)


def _notes(metrics: DataFrame, coverage: Path) -> list[str]:
    """Say in words what is the same for all methods."""
    import pandas as pd

    row = metrics.iloc[0].to_dict()
    spots, genes = int(row["spots"]), int(row["genes"])
    lines = []
    if str(row["judged"]) == LEFT_OUT:
        lines.append("every spot was learnt from: these are no test spots, but refits without them")
    lines += [f"{spots:,} spots, {genes:,} genes; {int(row['undefined_genes']):,} do not vary"]
    if math.isfinite(row["noise_floor"]):
        lines.append(
            f"noise floor {row['noise_floor']:.3f} ({_span(row, 'noise_floor', '{:.3f}')}): error "
            "that counting alone leaves"
        )
        lines.append("skill 100 %: no error; explained 100 %: no error but that of counting")
    if coverage.is_file():
        groups = pd.read_csv(coverage).set_index("group").to_dict("index")
        every = groups["all"]
        line = f"{every['level']:.0%} intervals hold {every['coverage']:.1%}"
        line += f" ({_span(every, 'coverage', '{:.1%}')})"
        if "far" in groups:
            near, far = groups["near"]["coverage"], groups["far"]["coverage"]
            line += f"; near training spots {near:.1%}, far {far:.1%}"
        lines.append(line)
    return lines


def _text(value: float, form: str) -> str:
    return form.format(value) if math.isfinite(value) else _DASH


def _span(row: Mapping[Any, Any], name: str, form: str) -> str:
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    if not (math.isfinite(low) and math.isfinite(high)):
        return _DASH
    return f"{form.format(low)}–{form.format(high)}"
