"""A count matrix as a MEX trio: ``matrix.mtx``, ``barcodes.tsv``, ``features.tsv``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from c2lst.data.readers.constants import GENE_EXPRESSION, SpaceRangerFile
from c2lst.data.readers.counts import TenxMatrix, check_barcodes, check_counts, genes_only
from c2lst.data.readers.packed import opened_bytes, opened_text
from c2lst.errors import InputError
from c2lst.storage import is_litter

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix


def find_mtx(folder: Path) -> Path:
    """Path of the one ``matrix.mtx`` or ``matrix.mtx.gz`` of a folder.

    Raises
    ------
    InputError
        If there is none, or more than one.
    """
    found = sorted(p for p in folder.iterdir() if _is_mtx(p.name) and not is_litter(p))
    if len(found) != 1:
        raise InputError(
            folder,
            "holds no single count matrix",
            found=", ".join(p.name for p in found) or "no matrix.mtx",
            expected="matrix.mtx.gz, barcodes.tsv.gz and features.tsv.gz",
            remedy="give the folder of one sample",
        )
    return found[0]


def _is_mtx(name: str) -> bool:
    return name.removesuffix(".gz").endswith(SpaceRangerFile.MTX)


def open_mex(path: Path) -> TenxMatrix:
    """Open a MEX trio, plain or gzipped, given the path of its ``matrix.mtx``.

    Raises
    ------
    InputError
        If a file is missing or damaged, or they disagree.
    """
    names_file = _beside(path, SpaceRangerFile.MTX_BARCODES)
    barcodes = np.array([row[0] for row in _rows(names_file, 1)])
    check_barcodes(names_file, barcodes)
    features = _beside(path, SpaceRangerFile.MTX_FEATURES, SpaceRangerFile.MTX_GENES)
    table = _rows(features, 2)
    ids, names = (np.array([row[column] for row in table]) for column in (0, 1))
    types = np.array([row[2] if len(row) > 2 else GENE_EXPRESSION for row in table])

    def blocks() -> Iterator[csr_matrix]:
        counts = _read_mtx(path)
        if counts.shape != (len(names), len(barcodes)):
            raise InputError(
                path,
                "its size disagrees with features and barcodes",
                found=" x ".join(map(str, counts.shape)),
                expected=f"{len(names)} x {len(barcodes)} ({features.name}, {names_file.name})",
                remedy="check that the three files are of one sample",
            )
        counts = counts.T.tocsr()
        check_counts(path, counts, barcodes, names)
        yield counts

    return genes_only(path, barcodes, ids, names, types, blocks)


def _beside(path: Path, *names: str) -> Path:
    """Find one of ``names`` beside a matrix, with the same prefix, zipped or not."""
    prefix = path.name[: path.name.rindex(SpaceRangerFile.MTX)]
    candidates = [path.with_name(f"{prefix}{name}{gz}") for name in names for gz in (".gz", "")]
    found = next((candidate for candidate in candidates if candidate.is_file()), None)
    if found is None:
        raise InputError(
            path.parent,
            f"{prefix}{names[0]}.gz is missing",
            found=path.name,
            expected=" or ".join(f"{prefix}{name}" for name in names) + " beside it",
            remedy="copy all three files of the matrix",
        )
    return found


def _rows(path: Path, fields: int) -> list[list[str]]:
    with opened_text(path) as lines:
        rows = [line.rstrip("\r\n").split("\t") for line in lines]
    short = next((number for number, row in enumerate(rows, 1) if len(row) < fields), None)
    if short is not None or not rows:
        raise InputError(
            path,
            "has no rows" if short is None else f"line {short} is too short",
            found=None if short is None else repr("\t".join(rows[short - 1])[:40]),
            expected=f"at least {fields} fields a line, separated by tabs",
            remedy="copy the file again, as it was written",
        )
    return rows


def _read_mtx(path: Path) -> Any:
    from scipy import io, sparse

    with opened_bytes(path) as stream:
        try:
            counts = io.mmread(stream)
        except (ValueError, TypeError, OverflowError, MemoryError) as error:
            raise InputError(
                path,
                "is no readable Matrix Market file",
                found=error,
                expected="coordinates and counts, as Cell Ranger writes them",
                remedy="copy it again",
            ) from error
    return sparse.coo_matrix(counts)
