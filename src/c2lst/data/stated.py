"""Numbers that files state: plain, as a list of one, as NaN, or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from c2lst.errors import InputError


def stated_number(
    where: Path, values: Mapping[str, Any], key: str, what: str, remedy: str
) -> float | None:
    """Return a number that a file states; none where it is not stated, or is NaN.

    Parameters
    ----------
    where
        The file.
    values
        What it states, by name.
    key
        The name.
    what, remedy
        How the number is called, and what to do where it is none, for the error.

    Raises
    ------
    InputError
        If it is no number above 0.
    """
    if values.get(key) is None:
        return None
    found = np.asarray(values[key]).reshape(-1)  # R, among others, writes a list of one
    if found.size == 1 and found.dtype.kind in "iuf" and not found[0] <= 0:
        return None if np.isnan(found[0]) else float(found[0])
    raise InputError(
        where,
        f"{what} {str(key)!r} is no number above 0",
        found=repr(np.asarray(values[key]).tolist())[:60],
        expected="such as 0.5",
        remedy=remedy,
    )
