"""Square pseudo-spots: counts of small bins, transcripts or cells summed on a wider grid."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from c2lst.data.raw import ReadRequest
from c2lst.errors import InputError

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

DEFAULT_BIN_UM = 112.0
"""Width of a pseudo-spot: that of a default patch, so that a patch shows what was counted in it
and shares no tissue with its neighbours'."""

LEAST_FILLED = 0.1
_NARROWEST_UM, _WIDEST_UM = 1.0, 2000.0


@dataclass(frozen=True, eq=False)
class BinnedCounts:
    """Counts on a square grid; only squares that hold any are there.

    Parameters
    ----------
    counts
        Raw counts, CSR (n, G).
    genes
        Gene names, str (G,).
    row, col
        Place of each square on the grid, int (n,).
    bin_um
        Width of a square, µm.
    origin_um
        Corner (x, y) of square (0, 0), µm.
    gene_ids
        Ensembl ids, str (G,), where they are known.
    """

    counts: csr_matrix
    genes: np.ndarray
    row: np.ndarray
    col: np.ndarray
    bin_um: float
    origin_um: tuple[float, float] = (0.0, 0.0)
    gene_ids: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.row)

    @property
    def centres_um(self) -> np.ndarray:
        """Centres of the squares as (x, y) in µm, float64 (n, 2)."""
        return (np.stack([self.col, self.row], axis=1) + 0.5) * self.bin_um + self.origin_um

    @property
    def totals(self) -> np.ndarray:
        """Counts of each square over all genes, float64 (n,)."""
        return np.asarray(self.counts.sum(axis=1), dtype=np.float64).ravel()

    def subset(self, kept: np.ndarray) -> BinnedCounts:
        """Return the squares of ``kept``, a mask or indices."""
        return replace(self, counts=self.counts[kept], row=self.row[kept], col=self.col[kept])

    def filled(self) -> BinnedCounts:
        """Leave out squares that hold next to nothing: strays beside the tissue.

        The measure is the square in which the median transcript lies, which strays over an
        empty slide cannot pull down; a tenth of what it holds is enough.
        """
        totals = np.sort(self.totals)
        middle = totals[np.searchsorted(totals.cumsum(), totals.sum() / 2)]
        return self.subset(self.totals >= LEAST_FILLED * middle)


def bin_width(request: ReadRequest) -> float:
    """Width of pseudo-spots that is asked for, µm.

    Raises
    ------
    InputError
        If it is no width.
    """
    width = DEFAULT_BIN_UM if request.bin_um is None else request.bin_um
    if not _NARROWEST_UM <= width <= _WIDEST_UM:
        raise InputError(
            "bin_um",
            "is no width of a pseudo-spot",
            found=width,
            expected=f"{_NARROWEST_UM:g} to {_WIDEST_UM:g} µm",
            remedy=f"leave it out for {DEFAULT_BIN_UM:g} µm",
        )
    return float(width)


def pseudo_barcodes(bin_um: float, row: np.ndarray, col: np.ndarray) -> np.ndarray:
    """Names as Visium HD gives them, such as ``s_112um_00012_00034-1``; str (n,)."""
    return np.array(
        [
            f"s_{bin_um:03g}um_{r:05d}_{c:05d}-1"
            for r, c in zip(row.tolist(), col.tolist(), strict=True)
        ],
        dtype=str,
    )


def sum_by(groups: np.ndarray, number: int, counts: csr_matrix) -> csr_matrix:
    """Sum rows of ``counts`` (m, G) by their group; those of group -1 are left out.

    Parameters
    ----------
    groups
        int (m,), -1 or below ``number``.
    number
        Number of groups.
    counts
        CSR (m, G).

    Returns
    -------
    CSR (number, G).
    """
    from scipy import sparse

    members = np.flatnonzero(groups >= 0)
    # The sum has the type of its terms: counts that were stored in 8 or 16 bits would wrap around.
    ones = np.ones(len(members), dtype=np.result_type(counts.dtype, np.int32))
    shape = (number, len(groups))
    return sparse.csr_matrix((ones, (groups[members], members)), shape=shape) @ counts
