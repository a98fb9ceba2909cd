"""Gene names, made unique."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from c2lst.progress import logger


def unique_names(path: Path, names: Sequence[str]) -> np.ndarray:
    """Make names unique by numbering repeats: ``X, X`` becomes ``X, X-1``, as AnnData does.

    They are different genes that share a symbol, so they are kept apart.

    Parameters
    ----------
    path
        Their file, for the message.
    names
        Gene names (G,).

    Returns
    -------
    str (G,), in the same order.
    """
    taken = set(names)
    if len(taken) == len(names):
        return np.array(names, dtype=str)
    unique: list[str] = []
    next_number: dict[str, int] = {}
    for name in names:
        if name not in next_number:
            next_number[name] = 1
            unique.append(name)
            continue
        number = next_number[name]
        while f"{name}-{number}" in taken:
            number += 1
        next_number[name] = number + 1
        unique.append(f"{name}-{number}")
    renamed = sum(new != old for new, old in zip(unique, names, strict=True))
    logger.warning("%s: %d repeated gene names were made unique, such as X-1", path, renamed)
    return np.array(unique, dtype=str)
