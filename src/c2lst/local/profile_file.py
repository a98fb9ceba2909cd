"""Expression profiles from a file of counts: read, checked against held-out spots, scaled."""

from __future__ import annotations

import csv
import gzip
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from c2lst.data.layout import read_h5ad
from c2lst.data.readers.counts import check_counts
from c2lst.data.readers.tables import numbers
from c2lst.errors import InputError
from c2lst.local.profiles import Profiles
from c2lst.progress import logger
from c2lst.storage import hash_file

if TYPE_CHECKING:
    from pandas import Series
    from scipy.sparse import csr_matrix

    from c2lst.data.preprocessing import Preprocessing
    from c2lst.data.section import Section
    from c2lst.data.split import SpotSplit

COUNTS_LAYER = "counts"
TOTAL = "total_counts"
"""Column (of ``obs``, or of the table) with a row's counts over all genes, as scanpy names it."""
SEPARATORS = {".csv": ",", ".tsv": "\t"}
LEAST_SHARE = 0.5

_IRREGULAR = (OSError, EOFError, zlib.error, UnicodeDecodeError, csv.Error)
"""What reading says of a text that is no table, plain or compressed; pandas has one of its own."""


@dataclass(frozen=True, eq=False)
class ProfileFile:
    """Raw counts of a file, one row a profile.

    Parameters
    ----------
    path
        The file.
    rows, genes
        Names of its rows and of all its genes, str (n,) and (F,), each once.
    counts
        Raw counts, CSR (n, F).
    library_size
        Counts of each row over all genes of a spot, float64 (n,): column ``total_counts`` where
        there is one, else the sum over the file's genes.

    Raises
    ------
    InputError
        If a name is repeated, a count is no whole number of at least 0, or a row has none.
    """

    path: Path
    rows: np.ndarray
    genes: np.ndarray
    counts: csr_matrix
    library_size: np.ndarray

    def __post_init__(self) -> None:
        for kind, names in (("row", self.rows), ("gene", self.genes)):
            found, number = np.unique(names, return_counts=True)
            if len(found) < len(names):
                repeated = str(found[number.argmax()])
                raise InputError(
                    self.path, f"a {kind} is named twice", found=repr(repeated),
                    expected=f"each {kind} once",
                )  # fmt: skip
        if not len(self.rows):
            raise InputError(self.path, "holds no profile", expected="rows of counts")
        check_counts(self.path, self.counts, self.rows, self.genes)
        sums = np.asarray(self.counts.sum(axis=1)).ravel()
        wrong = ~((self.library_size >= sums) & (self.library_size > 0))  # also refuses NaN
        if wrong.any():
            row = int(np.argmax(wrong))
            raise InputError(
                self.path,
                f"row {str(self.rows[row])!r} has a library of no use",
                found=f"{self.library_size[row]:g} counts over all genes",
                expected=f"at least the {sums[row]:g} of its genes, and more than 0",
            )

    @classmethod
    def read(cls, path: str | Path) -> ProfileFile:
        """Read ``.h5ad`` (layer ``counts``, else ``X``), ``.csv`` or ``.tsv`` (rows x genes).

        Raises
        ------
        InputError
            If the file cannot be read or does not hold counts.
        """
        path = Path(path)
        suffix = Path(path.stem).suffix if path.suffix == ".gz" else path.suffix
        if suffix == ".h5ad":
            return _read_annotated(path)
        if suffix not in SEPARATORS:
            raise InputError(
                path, "is of no format that profiles are read from", found=suffix or "no suffix",
                expected=".h5ad, .csv or .tsv",
            )  # fmt: skip
        return _read_text(path, SEPARATORS[suffix])

    def check(self, section: Section, split: SpotSplit, preprocessing: Preprocessing) -> None:
        """Refuse the profiles of spots that were held out, by their names or by their counts.

        Raises
        ------
        InputError
            If a row has the barcode of a spot of ``section`` outside the training spots, or that
            spot's counts of the panel.
        """
        held_out = np.isin(section.barcodes, split.train, invert=True)
        named = np.isin(self.rows, section.barcodes[held_out])
        if named.any():
            raise self._held_out(str(self.rows[named][0]), "has the barcode", None)
        columns, present = self._columns(preprocessing)
        own = _as_bytes(self.counts[:, columns[present]])
        spots = _as_bytes(section.counts[:, preprocessing.panel.columns(section)[present]])
        known = {s: b for s, b, out in zip(spots, section.barcodes, held_out, strict=True) if out}
        # Counts that a training spot has, too, or none at all, do not tell which spot it is.
        shared = {s for s, out in zip(spots, held_out, strict=True) if not out}
        for name, counts in zip(self.rows.tolist(), own, strict=True):
            if counts in known and counts not in shared and any(counts):
                raise self._held_out(name, "has the counts", str(known[counts]))

    def profiles(
        self, preprocessing: Preprocessing, *, per_row: int = 1, allow_missing: bool = False
    ) -> Profiles:
        """Normalise and scale the panel's genes as the training spots' were.

        A gene of the panel that the file lacks is NaN: not measured.

        Parameters
        ----------
        per_row
            Images for each row.
        allow_missing
            Take the file even if it has fewer than half of the panel's genes.

        Raises
        ------
        InputError
            If it has none of them, or fewer than half and that is not allowed.
        """
        panel, scaler = preprocessing.panel, preprocessing.scaler
        columns, present = self._columns(preprocessing)
        if not present.any() or (present.mean() < LEAST_SHARE and not allow_missing):
            raise InputError(
                self.path,
                f"has {present.sum()} of the {len(panel)} genes of the adapter's panel",
                found=f"genes such as {str(self.genes[0])!r}" if len(self.genes) else "no genes",
                expected=f"such as {panel.genes[0]!r}",
                remedy="use the same names, with genes as columns"
                + (", or give --allow-missing" if present.any() else ""),
            )
        logger.info(
            "%s: %d profiles; %d of the panel's %d genes are missing; a median of %.0f counts over "
            "all genes (training spots: %.0f)",
            self.path.name, len(self.rows), (~present).sum(), len(panel),
            np.median(self.library_size), scaler.median_library_size,
        )  # fmt: skip
        scaled = np.full((len(self.rows), len(panel)), np.nan)
        counts = self.counts[:, columns[present]].toarray()
        scaled[:, present] = np.log1p(counts / self.library_size[:, None] * scaler.target_sum)
        rows = np.repeat(np.arange(len(self.rows)), per_row)
        return Profiles(
            scaler.scale(scaled)[rows],
            self.rows[rows],
            np.full(len(rows), scaler.median_library_size),
            {
                "file": self.path.name,
                "sha256": hash_file(self.path),
                "per_row": per_row,
                "missing_genes": np.array(panel.genes)[~present].tolist(),
            },
        )

    def _columns(self, preprocessing: Preprocessing) -> tuple[np.ndarray, np.ndarray]:
        """Column of each gene of the panel, and whether there is one: int and bool (G,)."""
        place = {gene: column for column, gene in enumerate(self.genes.tolist())}
        columns = np.array([place.get(gene, -1) for gene in preprocessing.panel.genes])
        return columns, columns >= 0

    def _held_out(self, row: str, shares: str, barcode: str | None) -> InputError:
        spot = "of a spot" if barcode is None else f"of spot {barcode!r}"
        return InputError(
            self.path,
            f"row {row!r} {shares} {spot} outside the training spots",
            expected="profiles of training spots, or of no spot of this section",
            remedy="leave it out: what is drawn from it would know what is to be predicted",
        )


def _read_annotated(path: Path) -> ProfileFile:
    from scipy import sparse

    adata = read_h5ad(path)
    values = adata.layers.get(COUNTS_LAYER, adata.X)
    if values is None:
        raise InputError(path, "holds no counts", expected=f"X, or a layer {COUNTS_LAYER!r}")
    counts = sparse.csr_matrix(values)
    totals = _totals(path, adata.obs[TOTAL]) if TOTAL in adata.obs else _sums(counts)
    rows, genes = adata.obs_names.to_numpy(dtype=str), adata.var_names.to_numpy(dtype=str)
    return ProfileFile(path, rows, genes, counts, totals)


def _totals(path: Path, column: Series) -> np.ndarray:
    try:
        return np.asarray(column, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(
            path, f"obs[{TOTAL!r}] is no column of numbers", found=error,
            expected="counts over all genes", remedy="correct the column, or remove it",
        ) from error  # fmt: skip


def _read_text(path: Path, separator: str) -> ProfileFile:
    import pandas as pd
    from scipy import sparse

    if not path.is_file():
        raise InputError(path, "no such file", expected="counts, rows x genes")
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rt", encoding="utf-8-sig", newline="") as handle:
            header = next(csv.reader(handle, delimiter=separator), [])
            table = pd.read_csv(
                handle, sep=separator, header=None, dtype={0: str}, keep_default_na=False,
                na_values=["", "NA", "NaN", "nan"],
            )  # fmt: skip
    except (*_IRREGULAR, pd.errors.ParserError) as error:
        raise InputError(path, "is no regular table", found=error) from error
    except pd.errors.EmptyDataError as error:
        raise InputError(path, "holds no profile", expected="a header and rows") from error
    # Some writers leave the corner above the row names out.
    names = header if len(header) < table.shape[1] else header[1:]
    if len(names) != table.shape[1] - 1:
        raise InputError(
            path, "header and rows differ in length", found=f"{table.shape[1]} fields a row",
            expected=f"{len(header)} as in the header",
        )  # fmt: skip
    rows = table[0].fillna("").to_numpy(dtype=str)
    values = table.drop(columns=0).set_axis(names, axis=1)
    found = numbers(values, path, rows)
    is_total = np.array(names, dtype=str) == TOTAL
    counts = sparse.csr_matrix(found[:, ~is_total])
    totals = found[:, is_total][:, 0] if is_total.any() else _sums(counts)
    return ProfileFile(path, rows, np.array(names, dtype=str)[~is_total], counts, totals)


def _as_bytes(counts: csr_matrix) -> list[bytes]:
    """Return each row's counts as something that can be looked up."""
    return [row.tobytes() for row in counts.toarray().astype(np.int64)]


def _sums(counts: csr_matrix) -> np.ndarray:
    return np.asarray(counts.sum(axis=1), dtype=np.float64).ravel()
