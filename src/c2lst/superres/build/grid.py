"""Counts of bins, as readers give them, laid on a rectangular map of whole spots."""

from __future__ import annotations

import numpy as np

from c2lst.data.readers.bins import BinnedCounts, sum_by
from c2lst.errors import InputError
from c2lst.rules import above


def check_widths(**widths: float | None) -> None:
    """See that widths in µm, by the names of their options, are above zero where given.

    Raises
    ------
    InputError
        If one is not.
    """
    rule = above(0).or_none()
    for name, width in widths.items():
        if not rule.fits(width):
            raise InputError(
                f"--{name.replace('_', '-')}", "width in µm", found=width, expected=rule.expected
            )


def choose_genes(
    where: str, counts: BinnedCounts, genes: tuple[str, ...] | None, number: int
) -> np.ndarray:
    """Return places of ``genes``, or of the ``number`` with most counts.

    Raises
    ------
    InputError
        If one of them is unknown.
    """
    if genes is None:
        total = np.asarray(counts.counts.sum(axis=0)).ravel()
        return np.argsort(-total, kind="stable")[:number]
    place = {gene: k for k, gene in enumerate(counts.genes.tolist())}
    if unknown := [gene for gene in genes if gene not in place]:
        raise InputError(
            where, f"{len(unknown)} of {len(genes)} genes are unknown", found=unknown[0],
            expected=f"genes such as {counts.genes[0]}", remedy="check the names in --genes",
        )  # fmt: skip
    return np.array([place[gene] for gene in genes])


def without_strays(counts: BinnedCounts, scale: int) -> BinnedCounts:
    """Leave out bins of spots that hold next to nothing: strays beside the tissue.

    A spot counts as filled as a pseudo-spot of its width would; all bins of a filled one are
    kept, however few counts they hold.
    """
    width = int(counts.col.max()) // scale + 2
    spot, of_bin = np.unique(
        (counts.row // scale) * width + counts.col // scale, return_inverse=True
    )
    spots = BinnedCounts(
        sum_by(of_bin, len(spot), counts.counts), counts.genes, *np.divmod(spot, width),
        counts.bin_um * scale,
    )  # fmt: skip
    kept = spots.filled()
    filled = np.isin(spot, kept.row * width + kept.col)
    return counts.subset(filled[of_bin])


def on_map(
    counts: BinnedCounts, columns: np.ndarray, scale: int
) -> tuple[np.ndarray, np.ndarray, tuple[int, int]]:
    """Lay bins on a map that begins and ends with whole spots.

    Returns
    -------
    counts
        float32 ``(G, H, W)``.
    present
        Bins that the source has, bool ``(H, W)``.
    first
        Row and column of the first bin on the source's grid.
    """
    first = [int(place.min()) // scale * scale for place in (counts.row, counts.col)]
    row, column = counts.row - first[0], counts.col - first[1]
    shape = tuple((int(place.max()) // scale + 1) * scale for place in (row, column))
    found = np.zeros((len(columns), *shape), dtype=np.float32)
    for k, gene in enumerate(columns):
        values = counts.counts[:, [gene]].tocoo()
        found[k, row[values.row], column[values.row]] = values.data
    present = np.zeros(shape, dtype=bool)
    present[row, column] = True
    return found, present, (first[0], first[1])
