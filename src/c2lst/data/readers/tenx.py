"""The feature-barcode matrix of Cell Ranger, Space Ranger and Xenium."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from c2lst.data.readers.constants import GENE_EXPRESSION, SpaceRangerFile, TenxKey
from c2lst.data.readers.counts import TenxMatrix, check_barcodes, check_counts, genes_only
from c2lst.data.readers.mex import find_mtx, open_mex
from c2lst.errors import InputError

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

_AGAIN = "copy the file again, as Space Ranger wrote it"
_BLOCK_ENTRIES = 10_000_000


def open_matrix(path: Path) -> TenxMatrix:
    """Open a matrix; its counts are read when asked for.

    Parameters
    ----------
    path
        An ``.h5`` file, a folder with a MEX trio, or the ``matrix.mtx[.gz]`` of one.

    Raises
    ------
    InputError
        If a file or key is missing, damaged, or disagrees with another.
    """
    if path.suffix == ".h5":
        return _open_h5(path)
    return open_mex(find_mtx(path) if path.is_dir() else path)


@contextmanager
def _h5(path: Path) -> Iterator[Any]:
    import h5py

    if not path.is_file() or path.stat().st_size == 0:
        raise InputError(
            path,
            "holds no counts",
            found="an empty file" if path.is_file() else "no such file",
            expected="a feature-barcode matrix in HDF5",
            remedy=_AGAIN,
        )
    try:
        with h5py.File(path, "r") as file:
            yield file
    except (OSError, RuntimeError) as error:  # no HDF5 file, cut off, a chunk that is damaged
        raise InputError(path, "is no readable HDF5 file", found=error, remedy=_AGAIN) from error


def _open_h5(path: Path) -> TenxMatrix:
    with _h5(path) as file:
        group = _group(path, file)
        barcodes = _strings(path, group, TenxKey.BARCODES)
        if TenxKey.FEATURE_ID in group or "features" in group:
            ids = _strings(path, group, TenxKey.FEATURE_ID)
            names = _strings(path, group, TenxKey.FEATURE_NAME)
            types = _strings(path, group, TenxKey.FEATURE_TYPE)
        else:  # before Cell Ranger 3
            ids = _strings(path, group, TenxKey.GENES)
            names = _strings(path, group, TenxKey.GENE_NAMES)
            types = np.full(len(ids), GENE_EXPRESSION)
        shape = _integers(path, group, TenxKey.SHAPE)
        indptr = _integers(path, group, TenxKey.INDPTR)
        entries = _dataset(path, group, TenxKey.DATA, "iuf").shape[0]
        _same(
            path, group, TenxKey.INDICES, _dataset(path, group, TenxKey.INDICES).shape[0], entries
        )
        name = group.name
    for key, values in ((TenxKey.FEATURE_NAME, names), (TenxKey.FEATURE_TYPE, types)):
        _same(path, None, key, len(values), len(ids))
    if shape.tolist() != [len(ids), len(barcodes)]:
        raise InputError(
            path,
            f"key {TenxKey.SHAPE.value!r} disagrees with features and barcodes",
            found=" x ".join(map(str, shape)),
            expected=f"{len(ids)} x {len(barcodes)}",
            remedy=_AGAIN,
        )
    _check_indptr(path, indptr, len(barcodes), entries)
    check_barcodes(path, barcodes)

    def blocks() -> Iterator[csr_matrix]:
        with _h5(path) as file:
            for rows in _row_blocks(indptr):
                yield _block(path, file[name], indptr, rows, barcodes, names)

    return genes_only(path, barcodes, ids, names, types, blocks)


def _group(path: Path, file: Any) -> Any:
    """``matrix`` (Cell Ranger 3 and later), or the one group that is named after a genome."""
    import h5py

    if TenxKey.MATRIX in file and isinstance(file[TenxKey.MATRIX], h5py.Group):
        return file[TenxKey.MATRIX]
    groups = [key for key in file if isinstance(file[key], h5py.Group)]
    genomes = [key for key in groups if TenxKey.GENES in file[key]]
    if len(genomes) != 1:
        raise InputError(
            path,
            "holds counts of several genomes" if genomes else "group 'matrix' is missing",
            found=", ".join(genomes or file) or "an empty file",
            expected="group 'matrix', or one group with 'genes'",
            remedy="give the feature-barcode matrix of one sample, such as "
            f"{SpaceRangerFile.FILTERED_H5.value}",
        )
    return file[genomes[0]]


def _dataset(path: Path, group: Any, key: str, kinds: str = "iu") -> Any:
    import h5py

    found = group.get(key)
    if not isinstance(found, h5py.Dataset):
        raise InputError(
            path,
            f"key '{group.name[1:]}/{key}' is missing",
            found=", ".join(sorted(group)) or "an empty group",
            expected=", ".join((*list(TenxKey)[1:6], "features")),
            remedy=_AGAIN,
        )
    if found.ndim != 1 or found.dtype.kind not in kinds:
        raise InputError(
            path,
            f"key '{group.name[1:]}/{key}' has the wrong type",
            found=f"{found.dtype} of shape {found.shape}",
            expected="a list of " + ("names" if "S" in kinds else "whole numbers"),
            remedy=_AGAIN,
        )
    return found


def _integers(path: Path, group: Any, key: str) -> np.ndarray:
    return np.asarray(_dataset(path, group, key)[()]).astype(np.int64)


def _strings(path: Path, group: Any, key: str) -> np.ndarray:
    values = np.asarray(_dataset(path, group, key, "SOU")[()])
    try:
        if values.dtype.kind == "S":
            return np.char.decode(values, "utf-8")
        return np.array([v.decode() if isinstance(v, bytes) else str(v) for v in values], dtype=str)
    except UnicodeDecodeError as error:
        raise InputError(
            path, f"key {key!r} is no text", found=error, expected="UTF-8", remedy=_AGAIN
        ) from error


def _same(path: Path, group: Any, key: str, found: int, expected: int) -> None:
    if found != expected:
        where = key if group is None else f"{group.name[1:]}/{key}"
        raise InputError(
            path,
            f"key '{where}' has the wrong length",
            found=f"{found} entries",
            expected=expected,
            remedy=_AGAIN,
        )


def _check_indptr(path: Path, indptr: np.ndarray, rows: int, entries: int) -> None:
    _same(path, None, TenxKey.INDPTR, len(indptr), rows + 1)
    if indptr[0] != 0 or indptr[-1] != entries or (np.diff(indptr) < 0).any():
        raise InputError(
            path,
            f"key {TenxKey.INDPTR.value!r} does not part the counts by barcode",
            found=f"{indptr[0]}..{indptr[-1]}",
            expected=f"numbers that rise from 0 to {entries}",
            remedy=_AGAIN,
        )


def _row_blocks(indptr: np.ndarray) -> Iterator[slice]:
    """Consecutive rows, at most ``_BLOCK_ENTRIES`` counts or one row at a time."""
    start, rows = 0, len(indptr) - 1
    while start < rows:
        limit = indptr[start] + _BLOCK_ENTRIES
        stop = max(start + 1, int(np.searchsorted(indptr, limit, side="right")) - 1)
        yield slice(start, min(stop, rows))
        start = stop


def _block(
    path: Path, group: Any, indptr: np.ndarray, rows: slice, barcodes: np.ndarray, names: np.ndarray
) -> csr_matrix:
    from scipy import sparse

    first, last = indptr[rows.start], indptr[rows.stop]
    data = np.asarray(group[TenxKey.DATA][first:last])
    columns = np.asarray(group[TenxKey.INDICES][first:last]).astype(np.int64)
    if columns.size and not (columns.min() >= 0 and columns.max() < len(names)):
        raise InputError(
            path,
            f"key {TenxKey.INDICES.value!r} names features that are not there",
            found=f"{columns.min()}..{columns.max()}",
            expected=f"0..{len(names) - 1}",
            remedy=_AGAIN,
        )
    starts = indptr[rows.start : rows.stop + 1] - first
    shape = (rows.stop - rows.start, len(names))
    counts = sparse.csr_matrix((data, columns, starts), shape=shape)
    check_counts(path, counts, barcodes[rows], names)
    return counts
