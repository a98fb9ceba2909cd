"""Decoded transcripts, streamed into counts on a square grid."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from c2lst.data.readers.bins import BinnedCounts
from c2lst.data.readers.constants import XENIUM_CONTROLS, XeniumKey
from c2lst.data.readers.packed import bytes_read, opened_bytes
from c2lst.errors import InputError
from c2lst.progress import logger, progress_bar

LEAST_QV = 20.0
"""Quality from which a transcript counts: one call in a hundred is wrong, as 10x takes it."""

_COLUMNS = [key.value for key in (XeniumKey.FEATURE, XeniumKey.X, XeniumKey.Y, XeniumKey.QV)]
_BATCH = 500_000
_MB = 1_000_000
_MERGED_AT = 2_000_000
_BITS = 20  # of a row, a column and a gene in the key of a count
_HALF = 1 << (_BITS - 1)
_AGAIN = "copy the file again, as it was written"


class _Batch(NamedTuple):
    names: list[str]
    codes: np.ndarray
    x: np.ndarray
    y: np.ndarray
    qv: np.ndarray


def bin_transcripts(
    path: Path,
    bin_um: float,
    extent: tuple[float, float, float, float] | None = None,
    *,
    least_qv: float = LEAST_QV,
) -> BinnedCounts:
    """Count transcripts on a square grid, of genes alone and of good quality.

    The file is read in batches, so memory grows with the filled squares and genes, not with the
    number of transcripts.

    Parameters
    ----------
    path
        ``transcripts.parquet`` or ``transcripts.csv.gz``: ``feature_name``, ``x_location``,
        ``y_location`` (µm), ``qv``.
    bin_um
        Width of a square, µm.
    extent
        Only transcripts within (x0, y0, x1, y1), µm; the grid begins at (x0, y0). By default all,
        on a grid that begins at (0, 0), so that a square keeps its name whatever was found.
    least_qv
        Quality (Phred scale) from which a transcript counts.

    Returns
    -------
    The squares with a count above zero, row by row; genes sorted by name.

    Raises
    ------
    InputError
        If the file is missing or damaged, lacks a column, or a place is none.
    """
    tally, read, kept = _Tally(), 0, 0
    genes: dict[str, int] = {}
    x0, y0, x1, y1 = extent or (0.0, 0.0, np.inf, np.inf)
    for batch in _batches(path):
        _check(path, batch)
        known = np.array(
            [-1 if _is_control(n) else genes.setdefault(n, len(genes)) for n in batch.names],
            dtype=np.int64,
        )
        gene = known[batch.codes]
        used = (gene >= 0) & (batch.qv >= least_qv)
        if extent is not None:
            used &= (batch.x >= x0) & (batch.x < x1) & (batch.y >= y0) & (batch.y < y1)
        row = np.floor((batch.y[used] - y0) / bin_um).astype(np.int64)
        col = np.floor((batch.x[used] - x0) / bin_um).astype(np.int64)
        if used.any() and max(np.abs(row).max(), np.abs(col).max(), len(genes)) >= _HALF:
            raise InputError(
                path,
                "a transcript lies too far away for the grid",
                found=f"x up to {batch.x[used].max():g}, y up to {batch.y[used].max():g} µm",
                expected=f"below {_HALF * bin_um:g} µm",
                remedy=_AGAIN,
            )
        tally.add(((row + _HALF) << 2 * _BITS) | ((col + _HALF) << _BITS) | gene[used])
        read, kept = read + len(used), kept + int(used.sum())
    logger.info(
        "%s: %d of %d transcripts count (genes, quality %g or better)",
        path, kept, read, least_qv,
    )  # fmt: skip
    if kept == 0:
        raise InputError(
            path,
            "no transcript counts",
            found=f"{read} transcripts",
            expected=f"genes with {XeniumKey.QV.value} of {least_qv:g} or more",
            remedy="check the column of qualities",
        )
    return _counts(tally, list(genes), bin_um, (x0, y0))


def _is_control(name: str) -> bool:
    return name.startswith(XENIUM_CONTROLS)


class _Tally:
    """Counts by key; new ones are merged in when there are many."""

    def __init__(self) -> None:
        self._keys = [np.empty(0, dtype=np.int64)]
        self._counts = [np.empty(0, dtype=np.int64)]

    def add(self, keys: np.ndarray) -> None:
        unique, counts = np.unique(keys, return_counts=True)
        self._keys.append(unique)
        self._counts.append(counts)
        if sum(map(len, self._keys[1:])) > max(_MERGED_AT, len(self._keys[0])):
            self.merged()

    def merged(self) -> tuple[np.ndarray, np.ndarray]:
        """Sorted unique keys and their counts."""
        keys, place = np.unique(np.concatenate(self._keys), return_inverse=True)
        weights = np.concatenate(self._counts)
        counts = np.bincount(place, weights=weights, minlength=len(keys)).astype(np.int64)
        self._keys, self._counts = [keys], [counts]
        return keys, counts


def _counts(
    tally: _Tally, names: list[str], bin_um: float, origin_um: tuple[float, float]
) -> BinnedCounts:
    from scipy import sparse

    keys, counts = tally.merged()
    squares, place = np.unique(keys >> _BITS, return_inverse=True)
    order = np.argsort(names)
    column = np.argsort(order)[keys & ((1 << _BITS) - 1)]
    shape = (len(squares), len(names))
    return BinnedCounts(
        sparse.csr_matrix((counts.astype(np.int32), (place, column)), shape=shape),
        np.array(names, dtype=str)[order],
        (squares >> _BITS) - _HALF,
        (squares & ((1 << _BITS) - 1)) - _HALF,
        bin_um,
        origin_um,
    )


def _batches(path: Path) -> Iterator[_Batch]:
    return _from_parquet(path) if path.suffix == ".parquet" else _from_csv(path)


def _from_parquet(path: Path) -> Iterator[_Batch]:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        with (
            parquet.ParquetFile(path) as file,
            progress_bar("transcripts", file.metadata.num_rows) as bar,
        ):
            _check_columns(path, file.schema_arrow.names)
            for batch in file.iter_batches(_BATCH, columns=_COLUMNS):
                # The first releases wrote names as bytes.
                names = batch.column(XeniumKey.FEATURE).cast(pa.string()).dictionary_encode()
                x, y, qv = (
                    batch.column(key).cast(pa.float64()).to_numpy(zero_copy_only=False)
                    for key in _COLUMNS[1:]
                )
                codes = names.indices.fill_null(-1).to_numpy(zero_copy_only=False)
                yield _Batch(names.dictionary.to_pylist(), codes, x, y, qv)
                bar.advance(len(batch))
    except (OSError, pa.ArrowException) as error:
        raise InputError(
            path,
            "is no readable Parquet file of transcripts",
            found=error,
            expected=", ".join(_COLUMNS),
            remedy=_AGAIN,
        ) from error


def _from_csv(path: Path) -> Iterator[_Batch]:
    import pandas as pd

    with opened_bytes(path) as stream, progress_bar("MB read", path.stat().st_size // _MB) as bar:
        try:
            shown = 0
            chunks = pd.read_csv(stream, chunksize=_BATCH, usecols=lambda name: name in _COLUMNS)
            for chunk in chunks:
                _check_columns(path, list(chunk.columns))
                codes, names = pd.factorize(chunk[XeniumKey.FEATURE].astype("object"))
                x, y, qv = (chunk[key].to_numpy(np.float64) for key in _COLUMNS[1:])
                yield _Batch([str(name) for name in names], codes, x, y, qv)
                done = bytes_read(stream) // _MB
                bar.advance(done - shown)
                shown = done
        except ValueError as error:  # pandas' own errors too
            raise InputError(
                path,
                "is no regular table of transcripts",
                found=error,
                expected=", ".join(_COLUMNS),
                remedy=_AGAIN,
            ) from error


def _check_columns(path: Path, columns: list[str]) -> None:
    missing = [column for column in _COLUMNS if column not in columns]
    if missing:
        raise InputError(
            path,
            f"column {missing[0]!r} is missing",
            found=", ".join(columns) or "none of them",
            expected=", ".join(_COLUMNS),
            remedy=_AGAIN,
        )


def _check(path: Path, batch: _Batch) -> None:
    wrong = ~(np.isfinite(batch.x) & np.isfinite(batch.y) & np.isfinite(batch.qv))
    wrong |= batch.codes < 0
    if wrong.any():
        first = int(np.argmax(wrong))
        raise InputError(
            path,
            f"{wrong.sum()} transcripts lack a name, a place or a quality",
            found=f"x {batch.x[first]}, y {batch.y[first]}, qv {batch.qv[first]}",
            expected="a name and finite numbers",
            remedy=_AGAIN,
        )
