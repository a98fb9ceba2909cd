"""The same tissue under two names: sections compared spot by spot, by patch and by counts.

Two spots are copies where their patches have the same coarse structure (a perceptual hash, however
a patch is turned, mirrored, re-encoded or stained) or where they have the same counts of the same
genes. Patches find the slide that was scanned or sequenced again, counts the one whose image was
cut at other places. What neither finds: the next section of the same block, so that sections of one
patient have to be named as such.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from c2lst.data.collections.duplicates import CopyIndex, perceptual_hash
from c2lst.data.pooling import shared_genes
from c2lst.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from scipy.sparse import csr_matrix

    from c2lst.data.section import Section

LEAST_GENES = 20
"""Genes that a spot must express for its counts to be its own: few counts are alike by chance."""

LEAST_SHARE = 0.05
"""Share of the spots of the smaller section, from which on copies of patches mean one slide."""

LEAST_COPIES = 3

SKETCH_PATCHES = 20_000
"""Most patches that a sketch keeps: 160 kB."""

_AT_ONCE = 1024
_HASHES = "hashes"

Read = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Duplicates:
    """Copies that two sections hold of each other's spots.

    Parameters
    ----------
    first, second
        Names of the sections.
    spots
        Spots of the smaller one.
    patches, counts
        Spots of the second whose patch, or whose counts, a spot of the first has too.
    """

    first: str
    second: str
    spots: int
    patches: int
    counts: int

    @property
    def same_slide(self) -> bool:
        """Whether the two are one slide, in whole or in part.

        Patches of fat or of dense stroma may be alike on two slides; equal counts of twenty genes
        and more are not a matter of chance.
        """
        least = max(LEAST_COPIES, LEAST_SHARE * self.spots)
        return self.counts >= LEAST_COPIES or self.patches >= least

    def __str__(self) -> str:
        return (
            f"{self.first} and {self.second}: {self.patches} patches and the counts of "
            f"{self.counts} spots are alike, of {self.spots}"
        )


def find_duplicates(sections: Sequence[Section]) -> list[Duplicates]:
    """Compare sections, each with each.

    Parameters
    ----------
    sections
        Of different names. Counts are compared over the genes that two sections share.

    Returns
    -------
    list of Duplicates
        Of the pairs that have any copy, in the order of ``sections``. Time and memory grow with
        the number of spots, not with its square.
    """
    hashes = [_hashes_of(section) for section in sections]
    patches = _shared_patches(hashes) if len(sections) > 1 else {}
    found = []
    for (i, first), (j, second) in combinations(enumerate(sections), 2):
        counts = _shared_counts(first, second)
        if counts or patches.get((i, j)):
            spots = min(len(first), len(second))
            found.append(Duplicates(first.name, second.name, spots, patches.get((i, j), 0), counts))
    return found


@dataclass(frozen=True, eq=False)
class PatchSketch:
    """What is kept of a collection of patches to know some of them again: eight bytes for each.

    A perceptual hash holds the signs of 63 coarse waves: enough to know a patch, not to show it.

    Parameters
    ----------
    hashes
        uint64 (m,), of an even selection of its patches.
    """

    hashes: np.ndarray

    @classmethod
    def of(cls, read: Read, count: int, most: int = SKETCH_PATCHES) -> PatchSketch:
        """Sketch ``count`` patches, of which ``read`` gives those of any rows."""
        rows = np.unique(np.linspace(0, count - 1, min(most, count)).round().astype(np.int64))
        return cls(np.unique(patch_hashes(read, rows)))

    def joined(self, other: PatchSketch) -> PatchSketch:
        """Return the sketch of both collections."""
        return PatchSketch(np.union1d(self.hashes, other.hashes))

    def copies_in(self, section: Section) -> int:
        """Count the spots of ``section`` whose patch was in the collection.

        Patches that were cut at other places of the same slide are not found.
        """
        found = [rows for rows, _ in _copies(self.hashes, _hashes_of(section))]
        return sum(len(np.unique(rows)) for rows in found)

    def save(self, path: Path) -> None:
        """Write it (safetensors)."""
        from safetensors.numpy import save_file

        save_file({_HASHES: self.hashes}, path)

    @classmethod
    def load(cls, path: Path) -> PatchSketch:
        """Read what ``save`` wrote.

        Raises
        ------
        InputError
            If the file is missing or no sketch.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        try:
            hashes = load_file(path)[_HASHES]
        except (OSError, SafetensorError, KeyError) as error:
            raise InputError(path, "is no sketch of patches", found=error) from error
        if hashes.ndim != 1 or hashes.dtype != np.uint64:
            raise InputError(
                path, "is no sketch of patches", found=f"{hashes.dtype} {hashes.shape}"
            )
        return cls(hashes)


def patch_hashes(read: Read, rows: np.ndarray) -> np.ndarray:
    """Perceptual hashes of patches, uint64 (m,), m at most n: of those that are not blank.

    Parameters
    ----------
    read
        Rows, int (b,), to patches, uint8 (b, S, S, 3).
    rows
        Which patches, int (n,).
    """
    kept = [np.empty(0, dtype=np.uint64)]
    for start in range(0, len(rows), _AT_ONCE):
        hashes, blank = perceptual_hash(read(rows[start : start + _AT_ONCE]))
        kept.append(hashes[~blank])
    return np.concatenate(kept)


def count_hashes(counts: csr_matrix, genes: np.ndarray) -> np.ndarray:
    """Hash the counts of each spot, uint64 (m,), m at most n.

    Parameters
    ----------
    counts
        Raw counts, CSR (n, G).
    genes
        Their names (G,); neither their order nor genes without a count change a hash.

    Returns
    -------
    Hashes of the spots that express ``LEAST_GENES`` or more.
    """
    from hashlib import blake2b

    counts = counts.tocsr(copy=True)
    counts.sum_duplicates()
    counts.eliminate_zeros()
    names = [blake2b(str(gene).encode(), digest_size=8).digest() for gene in genes]
    keys = np.frombuffer(b"".join(names), dtype="<u8")
    # A sum of mixed (gene, count) pairs, which no order of genes changes; it wraps around.
    mixed = _mix(keys[counts.indices] ^ _mix(counts.data.astype(np.uint64)))
    sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(mixed, dtype=np.uint64)])
    hashes = sums[counts.indptr[1:]] - sums[counts.indptr[:-1]]
    return np.asarray(hashes[np.diff(counts.indptr) >= LEAST_GENES])


def _mix(values: np.ndarray) -> np.ndarray:
    """Spread 64 bits over 64 bits (the finaliser of SplitMix64, Steele et al., OOPSLA 2014)."""
    values = values + np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(values ^ (values >> np.uint64(31)))


def _shared_counts(first: Section, second: Section) -> int:
    genes = shared_genes([first, second])
    hashes = [
        count_hashes(section.counts[:, section.adata.var_names.get_indexer(genes)], genes)
        for section in (first, second)
    ]
    return int(np.isin(hashes[1], hashes[0]).sum())


def _shared_patches(hashes: Sequence[np.ndarray]) -> dict[tuple[int, int], int]:
    """Count, for each pair i < j of sections, the patches of j that are copies of one of i."""
    # Equal patches of one section are looked up once: there may be thousands of them.
    parts = [np.unique(part, return_counts=True) for part in hashes]
    every = np.concatenate([unique for unique, _ in parts])
    times = np.concatenate([count for _, count in parts])
    owner = np.repeat(np.arange(len(parts)), [len(unique) for unique, _ in parts])
    shared: dict[tuple[int, int], int] = {}
    for rows, numbers in _copies(every, every):
        later = owner[numbers] < owner[rows]
        pairs = np.unique(np.stack([owner[numbers], rows])[:, later], axis=1)
        for first, row in pairs.T.tolist():
            pair = (first, int(owner[row]))
            shared[pair] = shared.get(pair, 0) + int(times[row])
    return shared


def _hashes_of(section: Section) -> np.ndarray:
    return patch_hashes(section.patches.__getitem__, np.arange(len(section)))


def _copies(known: np.ndarray, hashes: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield (row of ``hashes``, number in ``known``) of copies, some rows at a time."""
    index = CopyIndex()
    index.add(known)
    for start in range(0, len(hashes), _AT_ONCE):
        rows, numbers, _ = index.find(hashes[start : start + _AT_ONCE])
        yield rows + start, numbers
