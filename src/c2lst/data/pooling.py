"""Several sections as one, so that whatever learns from a section can learn from many."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from c2lst.data.patches import Patches
from c2lst.data.readers.constants import ObsColumn, SpatialKey
from c2lst.data.section import Section
from c2lst.data.stain import StainNormaliser, StainReference, even_rows
from c2lst.errors import InputError
from c2lst.progress import logger

if TYPE_CHECKING:
    from anndata import AnnData
    from pandas import DataFrame

APART_UM = 1e6
"""Distance between the sections of a pool: a metre, where a section is a few millimetres wide."""

SECTION, PATIENT = "section", "patient"
"""Columns of ``obs``: which section, and which patient, a spot of a pool is of."""

UNKNOWN = ""
"""Patient of a section that does not say whose it is."""

_SAME = 0.01


class PooledPatches:
    """Patches of several sections in one stain, read when they are asked for: holds none.

    Parameters
    ----------
    patches
        Of each section, all of one size.
    normalisers
        What brings each section's patches to the common stain.
    """

    dtype = np.dtype(np.uint8)

    def __init__(
        self, patches: Sequence[Patches], normalisers: Sequence[StainNormaliser | None]
    ) -> None:
        self._patches, self._normalisers = tuple(patches), tuple(normalisers)
        self.size = patches[0].size
        counts = [len(part) for part in patches]
        self._part = np.repeat(np.arange(len(counts)), counts)
        self._row = np.concatenate([np.arange(count) for count in counts])

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(n, S, S, 3)."""
        return (len(self._row), self.size, self.size, 3)

    def __len__(self) -> int:
        return len(self._row)

    def subset(self, indices: np.ndarray) -> PooledPatches:
        """Return the patches of ``indices`` in that order, not yet read."""
        chosen = object.__new__(PooledPatches)
        chosen.__dict__.update(self.__dict__)
        chosen._part, chosen._row = self._part[indices], self._row[indices]
        return chosen

    def __getitem__(self, indices: Any) -> np.ndarray:
        """uint8 patches of ``indices``: an integer, a slice, or an integer or bool array."""
        parts, rows = np.atleast_1d(self._part[indices]), np.atleast_1d(self._row[indices])
        images = np.empty((len(rows), self.size, self.size, 3), dtype=np.uint8)
        for part in np.unique(parts):
            here, change = parts == part, self._normalisers[part]
            raw = self._patches[part][rows[here]]
            images[here] = raw if change is None else change.apply(raw)
        return images if np.ndim(self._row[indices]) else images[0]


def pool(
    sections: Sequence[Section],
    *,
    stain: StainReference | None = None,
    normalise: bool = True,
    name: str | None = None,
) -> Section:
    """Join sections into one, such as those that a predictor is to be trained on.

    Parameters
    ----------
    sections
        One or more, of different names, with patches of one width in µm and in px.
    stain
        The stain that all patches get; by default that of the first section. Each section's own
        stain is estimated from its patches, without a count.
    normalise
        False leaves patches as they are.
    name
        Of the pool; by default the names of the sections, joined by ``+``.

    Returns
    -------
    Section
        Spots one section after the other, with barcodes ``<section>/<barcode>``; the genes that
        all sections have, in the order of the first, without spots that have no count of them;
        patches in one stain, read when asked for.
        ``obs["section"]`` and ``obs["patient"]`` say where a spot comes from. Centres keep their
        distances in µm within a section, in px of the first; sections lie side by side,
        ``APART_UM`` from one another, so that nothing reaches from one to the next. There is no
        image of a pool to cut more patches from.

    Raises
    ------
    InputError
        If there is no section, a name comes twice, patches differ in width, or no gene is common.
    """
    sections = with_shared_genes(sections)
    first = sections[0]
    name = name or "+".join(section.name for section in sections)
    normalisers: list[StainNormaliser | None] = [None] * len(sections)
    if normalise:
        own = [_stain_of(section, stain) for section in sections]
        target = own[0] if stain is None else stain
        normalisers = [StainNormaliser(source, target) for source in own]
    patches = PooledPatches([section.patches for section in sections], normalisers)
    return Section(
        name,
        _table(sections),
        first.mpp,
        min(section.pitch_um for section in sections),
        Path(f"{name}.pool"),  # no such file: no more patches can be cut from a pool
        Patches(patches, first.patches.patch_um),
        metadata={"sections": [section.name for section in sections]},
    )


def shared_genes(sections: Sequence[Section]) -> np.ndarray:
    """Genes that all ``sections`` have, in the order of the first, str (G,).

    Raises
    ------
    InputError
        If there is none.
    """
    names = [set(section.genes.tolist()) for section in sections]
    common = reduce(set.intersection, names)
    if not common:
        raise InputError(
            "sections",
            "have no gene in common",
            found=", ".join(f"{str(section.genes[0])!r} in {section.name}" for section in sections),
            remedy="give all of them with symbols, or all with Ensembl ids",
        )
    dropped = len(set.union(*names)) - len(common)
    if dropped:
        logger.info(
            "%d genes are in all %d sections; %d that some lack are left out",
            len(common), len(sections), dropped,
        )  # fmt: skip
    genes = sections[0].genes
    return genes[np.isin(genes, list(common))]


def with_shared_genes(sections: Sequence[Section]) -> list[Section]:
    """Keep the genes that all ``sections`` have, in one order, and spots with a count of them.

    A spot's library size then counts the same genes in all of them.

    Raises
    ------
    InputError
        As :func:`pool`, for sections that can't be pooled.
    """
    _check(sections)
    genes = shared_genes(sections)
    return [_with_genes(section, genes) for section in sections]


def _with_genes(section: Section, genes: np.ndarray) -> Section:
    if np.array_equal(section.genes, genes):
        return section
    adata = section.adata[:, genes].copy()
    filled = np.flatnonzero(np.asarray(adata.X.sum(axis=1)).ravel() > 0)
    if len(filled) == len(section):
        return replace(section, adata=adata)
    logger.info(
        "%s: dropped: %d spots without a count of the shared genes",
        section.name, len(section) - len(filled),
    )  # fmt: skip
    return replace(section, adata=adata[filled].copy(), patches=section.patches.subset(filled))


def patient_of(section: Section) -> str:
    """Patient as the section's metadata name it; ``UNKNOWN`` where they don't."""
    return str(section.metadata.get(PATIENT) or UNKNOWN)


def _check(sections: Sequence[Section]) -> None:
    if not sections:
        raise InputError("pool", "there is no section to pool", expected="at least one")
    names = [section.name for section in sections]
    for name in names:
        if names.count(name) > 1:
            raise InputError(
                f"section {name!r}", "is given twice", remedy="give it once, or rename one of two"
            )
    first = sections[0].patches
    for section in sections[1:]:
        other = section.patches
        if other.size != first.size or abs(other.patch_um / first.patch_um - 1) > _SAME:
            raise InputError(
                f"section {section.name!r}",
                "its patches have another width",
                found=f"{other.patch_um:g} µm in {other.size} px",
                expected=f"{first.patch_um:g} µm in {first.size} px, as in {sections[0].name!r}",
                remedy="read all sections with the same --patch-um and --size",
            )


def _stain_of(section: Section, fallback: StainReference | None) -> StainReference:
    return StainReference.fit(section.patches[even_rows(len(section))], fallback=fallback)


def _table(sections: Sequence[Section]) -> AnnData:
    import anndata
    import pandas as pd
    from scipy import sparse

    obs = pd.concat([_spots(section) for section in sections])
    centres_px = _side_by_side(sections) / sections[0].mpp
    obs[ObsColumn.PXL_COL.value], obs[ObsColumn.PXL_ROW.value] = centres_px.T
    counts = sparse.csr_matrix(sparse.vstack([section.counts for section in sections]))
    adata = anndata.AnnData(counts, obs=obs, var=pd.DataFrame(index=sections[0].genes))
    adata.obsm[SpatialKey.SPATIAL.value] = centres_px
    return adata


def _spots(section: Section) -> DataFrame:
    spots: DataFrame = section.adata.obs[[column.value for column in ObsColumn]].copy()
    spots.index = [f"{section.name}/{barcode}" for barcode in section.barcodes]
    spots[SECTION], spots[PATIENT] = section.name, patient_of(section)
    return spots


def _side_by_side(sections: Sequence[Section]) -> np.ndarray:
    """Centres in µm, float64 (n, 2), each section to the right of the one before."""
    placed, left = [], 0.0
    for section in sections:
        centres = section.centres_um - section.centres_um.min(axis=0) + [left, 0.0]
        placed.append(centres)
        left = centres[:, 0].max() + APART_UM
    return np.concatenate(placed)
