"""How scores of super-resolution are shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from c2lst.progress import console

if TYPE_CHECKING:
    import pandas as pd

_SHOWN = {
    "rmse_log1p": "RMSE", "pearson_log1p": "r", "ssim_log1p": "SSIM", "rmse_counts": "RMSE counts",
    "pearson_expected": "r expected", "spots_error": "spots", "gene_correlation_error": "gene r",
    "uncertainty_rank": "sd ~ error", "uncertainty_rank_counts": "in counts",
}  # fmt: skip


def show_scores(table: pd.DataFrame) -> None:
    """Print the means over samples, a line a method."""
    from rich.table import Table

    means = table.groupby("method", sort=False).mean(numeric_only=True)
    shown = {key: title for key, title in _SHOWN.items() if key in means}
    lines = Table(title=f"{table['sample'].nunique()} areas; log1p counts of a bin")
    lines.add_column("method")
    for title in shown.values():
        lines.add_column(title, justify="right")
    for method, row in means.iterrows():
        values = ("" if row[key] != row[key] else f"{row[key]:.3f}" for key in shown)
        lines.add_row(str(method), *values)
    console().print(lines)
