"""One thing that a generator was judged by, as a table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from c2lst.evaluation.conditioning import SYNTHETIC

if TYPE_CHECKING:
    from pandas import DataFrame


@dataclass(frozen=True, eq=False)
class Part:
    """One thing that was judged.

    Parameters
    ----------
    name, by
        What, and what of a patch it was judged by.
    table
        ``name, estimate, low, high``, the same for the controls ``shuffled`` and
        ``unconditional`` and for ``real`` patches, and what else the part has; its first row is
        the one to look at.
    verdict
        One sentence.
    """

    name: str
    by: str
    table: DataFrame
    verdict: str


def named(arm: str, value: float, low: float, high: float) -> dict[str, float]:
    """Return the columns of one arm."""
    prefix = "" if arm == SYNTHETIC else f"{arm}_"
    value_column = "estimate" if arm == SYNTHETIC else arm
    return {value_column: value, f"{prefix}low": low, f"{prefix}high": high}
