"""Feature-barcode matrices as Cell Ranger and Space Ranger write them."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from scipy import io, sparse


@dataclass(frozen=True, eq=False)
class Features:
    """Ids, names and types of the features of a matrix, each (F,)."""

    ids: list[str]
    names: list[str]
    types: list[str]

    @classmethod
    def panel(cls, genes: int, others: tuple[str, ...] = ()) -> Features:
        """Genes, of which the last two share a symbol, as TBCE does; then other features."""
        names = [f"GENE{i}" for i in range(genes - 2)] + ["TBCE", "TBCE"]
        return cls(
            [f"ENSG{i:011d}" for i in range(genes)] + [f"other_{i}" for i in range(len(others))],
            names + [f"{kind.split()[0]}_{i}" for i, kind in enumerate(others)],
            ["Gene Expression"] * genes + list(others),
        )

    @property
    def is_gene(self) -> np.ndarray:
        return np.array(self.types) == "Gene Expression"

    @property
    def gene_names(self) -> list[str]:
        """As they are read: the repeated symbol gets a number."""
        names = np.array(self.names)[self.is_gene].tolist()
        return [*names[:-1], f"{names[-1]}-1"] if names[-1] == names[-2] else names


def write_matrix(
    folder: Path,
    name: str,
    kind: str,
    counts: np.ndarray | sparse.csr_matrix,
    barcodes: list[str],
    features: Features,
) -> Path:
    """Write counts (n, F) as ``"h5"``, ``"h5v2"`` or ``"mex"``; returns what to open.

    ``name`` has no suffix; a MEX trio goes into a folder of that name.
    """
    folder.mkdir(parents=True, exist_ok=True)
    counts = sparse.csr_matrix(counts, dtype=np.int32)
    if kind == "mex":
        return write_mex(folder / name, counts, barcodes, features)
    path = folder / f"{name}.h5"
    with h5py.File(path, "w") as file:
        group = file.create_group("matrix" if kind == "h5" else "GRCh38")
        group["barcodes"] = np.array(barcodes, dtype="S")
        group["data"] = counts.data
        group["indices"] = counts.indices.astype(np.int64)
        group["indptr"] = counts.indptr.astype(np.int64)
        group["shape"] = np.array(counts.shape[::-1], dtype=np.int32)
        if kind == "h5":
            group["features/id"] = np.array(features.ids, dtype="S")
            group["features/name"] = np.array(features.names, dtype="S")
            group["features/feature_type"] = np.array(features.types, dtype="S")
            group["features/genome"] = np.array(["GRCh38"] * len(features.ids), dtype="S")
            group["features/_all_tag_keys"] = np.array(["genome"], dtype="S")
        else:
            group["genes"] = np.array(features.ids, dtype="S")
            group["gene_names"] = np.array(features.names, dtype="S")
    return path


def write_mex(
    folder: Path,
    counts: sparse.csr_matrix,
    barcodes: list[str],
    features: Features,
    *,
    prefix: str = "",
    zipped: bool = True,
    genes_file: bool = False,
) -> Path:
    """Write a MEX trio, ``features.tsv.gz`` or the older ``genes.tsv``; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    suffix = ".gz" if zipped else ""
    rows = zip(features.ids, features.names, features.types, strict=True)
    texts = {
        "barcodes.tsv": "".join(f"{barcode}\n" for barcode in barcodes),
        "genes.tsv" if genes_file else "features.tsv": "".join(
            "\t".join(row[:2] if genes_file else row) + "\n" for row in rows
        ),
    }
    for name, text in texts.items():
        data = text.encode()
        (folder / f"{prefix}{name}{suffix}").write_bytes(gzip.compress(data) if zipped else data)
    path = folder / f"{prefix}matrix.mtx{suffix}"
    with gzip.open(path, "wb") if zipped else path.open("wb") as stream:
        io.mmwrite(stream, sparse.coo_matrix(counts.T), field="integer")
    return folder
