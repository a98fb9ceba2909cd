"""Directions in which a profile is moved: one gene, a set of genes, a weighted signature."""

from __future__ import annotations

import csv
import difflib
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from c2lst.errors import InputError
from c2lst.progress import logger

if TYPE_CHECKING:
    from c2lst.data.preprocessing import Preprocessing


def of_genes(genes: Sequence[str], panel: Sequence[str]) -> np.ndarray:
    """Return the direction that moves each of ``genes`` by one, float32 (G,).

    Raises
    ------
    InputError
        If a gene is not one of the ``panel``, or none is named.
    """
    if not genes:
        raise InputError("genes", "none is named")
    for gene in genes:
        if gene not in panel:
            like = difflib.get_close_matches(gene, panel, n=3)
            raise InputError(
                "genes",
                f"{gene!r} is not one that the adapter knows",
                expected=f"one of its {len(panel)} genes",
                remedy=f"perhaps {' or '.join(like)}" if like else "see adapter/preprocessing.json",
            )
    return np.isin(panel, list(genes)).astype(np.float32)


def of_signature(path: Path, panel: Sequence[str]) -> np.ndarray:
    """Read a weighted signature, such as a cell type's, as a direction, float32 (G,).

    The weights are divided by the largest magnitude: one step moves the heaviest gene by one.
    Genes that the adapter does not know are left out, and their number is said.

    Parameters
    ----------
    path
        CSV of two columns, ``gene,weight``.
    panel
        The genes that the adapter knows.

    Raises
    ------
    InputError
        If the file cannot be read, or none of its genes is known.
    """
    weights = _read_weights(path)
    known = {gene: weight for gene, weight in weights.items() if gene in set(panel)}
    if not any(known.values()):
        raise InputError(
            path,
            "no gene of the signature is one that the adapter knows",
            found=f"{len(weights)} genes, such as {next(iter(weights), 'none')!r}",
            expected=f"genes such as {panel[0]!r}",
        )
    if len(known) < len(weights):
        logger.info("%s: %d of %d genes are known", path.name, len(known), len(weights))
    direction = np.array([known.get(gene, 0.0) for gene in panel], dtype=np.float32)
    return np.asarray(direction / np.abs(direction).max())


def at_random(direction: np.ndarray, number: int, *, seed: int) -> np.ndarray:
    """Give the weights of a direction to random genes instead, float32 (number, G).

    They are genes that the direction does not move, as long as there are enough of those. A
    single gene is replaced by each other gene once at most, so that fewer than ``number``
    directions come back from a small panel.
    """
    rng = np.random.default_rng((seed, 11))
    moved = np.flatnonzero(direction)
    others = np.flatnonzero(direction == 0)
    pool = others if len(others) >= len(moved) else np.arange(len(direction))
    if len(moved) == 1:
        chosen = rng.permutation(pool)[:number, None]
    else:
        each = [rng.permutation(pool)[: len(moved)] for _ in range(number)]
        chosen = np.array(each, dtype=np.int64).reshape(number, len(moved))
    directions = np.zeros((len(chosen), len(direction)), dtype=np.float32)
    np.put_along_axis(directions, chosen, direction[moved][None], axis=1)
    return directions


def warn_of_negative_counts(
    profile: np.ndarray, direction: np.ndarray, values: np.ndarray, preprocessing: Preprocessing
) -> None:
    """Say which genes the steps ``values`` bring below no count at all: no tissue is like that."""
    ends = profile + np.array([[values[0]], [values[-1]]]) * direction
    below = (preprocessing.scaler.unscale(ends) < -1e-4) & (direction != 0)
    if below.any():
        genes = np.flatnonzero(below.any(axis=0))
        logger.warning(
            "%d of %d moved genes (such as %s) fall below zero counts at an end of the sweep: "
            "no tissue is like that",
            len(genes),
            np.count_nonzero(direction),
            preprocessing.panel.genes[genes[0]],
        )


def _read_weights(path: Path) -> dict[str, float]:
    expected = "lines of gene,weight below that header"
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(path, "is no readable CSV", expected=expected) from error
    try:
        weights = {row["gene"].strip(): float(row["weight"]) for row in rows}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(path, f"is no signature ({error!r})", expected=expected) from error
    if len(weights) < len(rows) or not all(map(math.isfinite, weights.values())):
        raise InputError(path, "names a gene twice, or a weight is not finite", expected=expected)
    return weights
