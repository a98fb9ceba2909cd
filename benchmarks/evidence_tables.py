"""Tables of the evidence page, and how numbers stand in them and in its sentences."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from c2lst.report.wording import number

if TYPE_CHECKING:
    from c2lst.study.tables import Cell


def grid(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Yield a table."""
    yield f"| {' | '.join(heads)} |"
    yield f"|{'---|' * len(heads)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"
    yield ""


def standing_grid(table: dict[str, Any]) -> Iterator[str]:
    """Yield the table of where each c2lst is best, tied or behind."""
    heads = ["section", "spots", *(f"{m['title']}: {m['summary']}" for m in table["methods"])]
    rows = (
        [line["place"], line["fraction"], *(_verdict(v) for v in line["verdicts"])]
        for line in table["lines"]
    )
    yield from grid(heads, rows)


def _verdict(verdict: dict[str, str]) -> str:
    evidence = verdict["evidence"]
    return f"**{verdict['verdict']}** ({evidence})" if evidence else verdict["verdict"]


def shown(cell: Cell) -> str:
    """Write a number with its interval."""
    value, interval = cell
    return f"{value} ({interval})" if interval else value


def signed(value: float) -> str:
    """Write a change in per cent."""
    return f"{number(value, 1, signed=True)}\u00a0%"


def spread(values: Sequence[float] | np.ndarray) -> str:
    """Write the least and the largest of changes in per cent."""
    low, high = float(np.min(values)), float(np.max(values))
    return signed(low) if low == high else f"{signed(low)} to {signed(high)}"
