"""Counts of genes by barcode, whatever file they come from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from c2lst.data.readers.constants import GENE_EXPRESSION
from c2lst.data.readers.names import unique_names
from c2lst.errors import InputError
from c2lst.progress import logger

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix


@dataclass(frozen=True, eq=False)
class TenxMatrix:
    """Counts of genes by barcode, read in blocks of rows so that no matrix is too large.

    Parameters
    ----------
    path
        Its file.
    barcodes
        str (n,), unique.
    genes, gene_ids
        Gene names, made unique, and Ensembl ids, str (G,). Other features are left out.
    blocks
        Reads the raw counts anew: CSR matrices (m, G) of consecutive rows, n together.
    """

    path: Path
    barcodes: np.ndarray
    genes: np.ndarray
    gene_ids: np.ndarray
    blocks: Callable[[], Iterator[csr_matrix]]

    def counts(self) -> csr_matrix:
        """Raw counts, CSR (n, G)."""
        from scipy import sparse

        return sparse.vstack(list(self.blocks()), format="csr")


def genes_only(
    path: Path,
    barcodes: np.ndarray,
    ids: np.ndarray,
    names: np.ndarray,
    types: np.ndarray,
    blocks: Callable[[], Iterator[csr_matrix]],
) -> TenxMatrix:
    """Leave out the features that are no genes.

    Parameters
    ----------
    path
        Their file.
    barcodes
        str (n,).
    ids, names, types
        Id, symbol and type of each feature, str (F,).
    blocks
        Reads the counts anew: CSR (m, F) of consecutive rows.

    Raises
    ------
    InputError
        If no feature is a gene.
    """
    kept = np.flatnonzero(types == GENE_EXPRESSION)
    if len(kept) == 0:
        raise InputError(
            path,
            "holds no genes",
            found=", ".join(np.unique(types)[:5]) or "no features",
            expected=f"features of the type {GENE_EXPRESSION!r}",
            remedy="give the matrix of a gene expression library",
        )
    names = np.where(names == "", ids, names)
    unique = unique_names(path, names[kept].tolist())
    if len(kept) == len(names):
        return TenxMatrix(path, barcodes, unique, ids, blocks)
    others, number = np.unique(types[types != GENE_EXPRESSION], return_counts=True)
    logger.info(
        "%s: features that are no genes are left out: %s", path,
        ", ".join(f"{n} {other or 'of no type'}" for other, n in zip(others, number, strict=True)),
    )  # fmt: skip

    def only_genes() -> Iterator[csr_matrix]:
        for block in blocks():
            yield block[:, kept]

    return TenxMatrix(path, barcodes, unique, ids[kept], only_genes)


def check_barcodes(path: Path, barcodes: np.ndarray) -> None:
    """Refuse barcodes that are repeated or empty, or none at all."""
    values, counts = np.unique(barcodes, return_counts=True)
    if len(values) == 0 or counts.max() > 1 or values[0] == "":
        raise InputError(
            path,
            "no barcode is there"
            if len(values) == 0
            else f"{(counts > 1).sum()} barcodes are repeated"
            if counts.max() > 1
            else "a barcode is empty",
            found=repr(str(values[counts.argmax()])) if len(values) else "0 barcodes",
            expected="each barcode once",
            remedy="give the matrix of one sample",
        )


def check_counts(path: Path, counts: csr_matrix, rows: np.ndarray, genes: np.ndarray) -> None:
    """Refuse counts that are negative, fractional or not finite.

    Parameters
    ----------
    path
        Their file.
    counts
        CSR (n, G).
    rows, genes
        Barcodes (n,) and gene names (G,), for the message.

    Raises
    ------
    InputError
        For the first such count.
    """
    values = counts.data
    wrong = values < 0
    if values.dtype.kind == "f":
        wrong |= ~np.isfinite(values) | (values != np.rint(values))
    if wrong.any():
        place = int(np.argmax(wrong))
        row = int(np.searchsorted(counts.indptr, place, side="right")) - 1
        raise InputError(
            path,
            f"barcode {str(rows[row])!r}, gene {str(genes[counts.indices[place]])!r}: "
            "is no raw count",
            found=values[place],
            expected="a whole number, not negative",
            remedy="give the matrix before any normalisation",
        )
