"""What the table of a section must be: raw counts of named spots and genes, with places."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from c2lst.data.readers.constants import ObsColumn, SpatialKey
from c2lst.errors import InputError

if TYPE_CHECKING:
    from anndata import AnnData

_AGAIN = "read the section from its raw files again"


def check_table(where: str, adata: AnnData) -> None:
    """Check all of it.

    Parameters
    ----------
    where
        The section, for messages.
    adata
        Its table.

    Raises
    ------
    InputError
        If it is empty, a count is negative, fractional or not finite, a barcode or gene name is
        repeated, or a spot has no place.
    """
    if adata.n_obs == 0 or adata.n_vars == 0:
        raise InputError(
            where,
            "is empty",
            found=f"{adata.n_obs} spots, {adata.n_vars} genes",
            expected="at least one of each",
            remedy=_AGAIN,
        )
    _check_unique(where, "barcode", adata.obs_names.to_numpy(dtype=str))
    _check_unique(where, "gene", adata.var_names.to_numpy(dtype=str))
    _check_counts(where, adata)
    _check_places(where, adata)


def _check_unique(where: str, what: str, names: np.ndarray) -> None:
    values, counts = np.unique(names, return_counts=True)
    if (counts > 1).any():
        repeated = values[counts > 1]
        raise InputError(
            where,
            f"{len(repeated)} {what} names are repeated",
            found=f"{str(repeated[0])!r} {counts.max()} times",
            expected=f"each {what} once",
            remedy=f"make the {what} names unique",
        )


def _check_counts(where: str, adata: AnnData) -> None:
    from scipy import sparse

    if not sparse.issparse(adata.X) or adata.X.format != "csr":
        raise InputError(
            where, "X is not sparse", found=type(adata.X).__name__, expected="a CSR matrix",
            remedy=_AGAIN,
        )  # fmt: skip
    values = adata.X.data
    for wrong, problem in (
        (~np.isfinite(values), "not a number"),
        (values < 0, "negative"),
        (values != np.rint(values), "not a whole number"),
    ):
        if wrong.any():
            spot, gene = _locate(adata, int(np.argmax(wrong)))
            raise InputError(
                f"{where}, spot {spot!r}, gene {gene!r}",
                f"the count is {problem}",
                found=values[wrong][0],
                expected="raw counts, whole and not negative",
                remedy="give the counts before any normalisation",
            )


def _locate(adata: AnnData, position: int) -> tuple[str, str]:
    row = int(np.searchsorted(adata.X.indptr, position, side="right") - 1)
    return adata.obs_names[row], adata.var_names[adata.X.indices[position]]


def _check_places(where: str, adata: AnnData) -> None:
    missing = [column for column in ObsColumn if column not in adata.obs]
    if missing:
        raise InputError(
            where,
            f"obs lacks the column {str(missing[0])!r}",
            found=", ".join(adata.obs.columns) or "no columns",
            expected=", ".join(ObsColumn),
            remedy=_AGAIN,
        )
    if SpatialKey.SPATIAL not in adata.obsm:
        raise InputError(
            where, "obsm lacks 'spatial'", expected="(x, y) spot centres in px", remedy=_AGAIN
        )
    centres = np.asarray(adata.obsm[SpatialKey.SPATIAL])
    if centres.shape != (adata.n_obs, 2):
        raise InputError(
            where, "obsm['spatial'] has the wrong shape", found=centres.shape, expected="(n, 2)",
            remedy=_AGAIN,
        )  # fmt: skip
    finite = np.isfinite(centres.astype(np.float64)).all(axis=1)
    if not finite.all():
        spot = adata.obs_names[int(np.argmin(finite))]
        raise InputError(
            f"{where}, spot {str(spot)!r}", "the centre is not finite",
            found=centres[int(np.argmin(finite))].tolist(), expected="(x, y) in px",
            remedy="drop the spot, or correct its place",
        )  # fmt: skip
