"""A section: spots with counts, places and patches, checked once and then trusted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from c2lst.data.image import SlideImage
from c2lst.data.layout import owned_directory, section_names, write_patches
from c2lst.data.patches import Patches
from c2lst.data.readers.constants import (
    HestDirectory,
    HestMetadataKey,
    ObsColumn,
    SpatialKey,
)
from c2lst.errors import InputError
from c2lst.storage import hash_arrays, hash_file, hash_strings, write_json

if TYPE_CHECKING:
    from anndata import AnnData
    from scipy.sparse import csr_matrix

FORMAT = 1


@dataclass(frozen=True, eq=False)
class Section:
    """A tissue section: raw counts of its spots, where they are, and a patch around each.

    Parameters
    ----------
    name
        Short name, used in file names.
    adata
        ``X``: raw counts, CSR, spots x genes. ``obs_names``: barcodes. ``obs``: ``in_tissue``,
        ``array_row``, ``array_col``, ``pxl_row_in_fullres``, ``pxl_col_in_fullres``.
        ``obsm["spatial"]``: float64 (n, 2) centres as (x, y) in full-resolution px.
        ``uns["spatial"][name]``: thumbnails and their scale factors.
    mpp
        µm per full-resolution px.
    pitch_um
        Distance of a spot to its nearest neighbours on the array, µm.
    image_path
        The full-resolution image.
    patches
        A patch around each spot, in the order of ``adata``.

    Raises
    ------
    InputError
        If a count is negative, fractional or not finite, a barcode or gene name is repeated, a
        centre is not finite, or the parts do not belong together.
    """

    name: str
    adata: AnnData
    mpp: float
    pitch_um: float
    image_path: Path
    patches: Patches

    def __post_init__(self) -> None:
        where = f"section {self.name!r}"
        if not self.name or any(sign in self.name for sign in "/\\"):
            raise InputError(where, "the name cannot be used in file names")
        for field, value in (("mpp", self.mpp), ("pitch_um", self.pitch_um)):
            if not (np.isfinite(value) and value > 0):
                raise InputError(where, f"{field} is no length", found=value, expected="µm above 0")
        if self.adata.n_obs == 0 or self.adata.n_vars == 0:
            raise InputError(
                where,
                "is empty",
                found=f"{self.adata.n_obs} spots, {self.adata.n_vars} genes",
                expected="at least one of each",
            )
        _check_unique(where, "barcode", self.barcodes)
        _check_unique(where, "gene", self.genes)
        _check_counts(where, self.adata)
        _check_places(where, self.adata)
        if len(self.patches) != self.adata.n_obs:
            raise InputError(
                where,
                "patches and spots differ in number",
                found=f"{len(self.patches)} patches",
                expected=f"{self.adata.n_obs} as there are spots",
            )

    def __len__(self) -> int:
        return int(self.adata.n_obs)

    @property
    def barcodes(self) -> np.ndarray:
        """Barcodes, str (n,)."""
        return self.adata.obs_names.to_numpy(dtype=str)

    @property
    def genes(self) -> np.ndarray:
        """Gene names, str (all genes,)."""
        return self.adata.var_names.to_numpy(dtype=str)

    @property
    def counts(self) -> csr_matrix:
        """Raw counts, CSR of shape (n, all genes)."""
        return self.adata.X

    @cached_property
    def library_size(self) -> np.ndarray:
        """Counts of a spot over all genes, float64 (n,)."""
        return np.asarray(self.counts.sum(axis=1), dtype=np.float64).ravel()

    @property
    def centres_px(self) -> np.ndarray:
        """Spot centres as (x, y) in full-resolution px, float64 (n, 2)."""
        return np.asarray(self.adata.obsm[SpatialKey.SPATIAL], dtype=np.float64)

    @property
    def centres_um(self) -> np.ndarray:
        """Spot centres as (x, y) in µm, float64 (n, 2)."""
        return self.centres_px * self.mpp

    @cached_property
    def content_hash(self) -> str:
        """SHA-256 over barcodes, genes and counts, in their order."""
        counts = self.counts.copy()
        counts.sum_duplicates()
        counts.eliminate_zeros()
        numbers = hash_arrays(
            {
                "data": counts.data.astype(np.int64),
                "indices": counts.indices.astype(np.int64),
                "indptr": counts.indptr.astype(np.int64),
            }
        )
        return hash_strings([hash_strings(self.barcodes), hash_strings(self.genes), numbers])

    def indices_of(self, barcodes: Sequence[str] | np.ndarray) -> np.ndarray:
        """Positions of ``barcodes``, int (m,).

        Raises
        ------
        InputError
            If one of them is not a barcode of this section.
        """
        wanted = np.asarray(barcodes, dtype=str)
        found = self.adata.obs_names.get_indexer(wanted)
        if (found < 0).any():
            unknown = wanted[found < 0]
            raise InputError(
                f"section {self.name!r}",
                f"{len(unknown)} of {len(wanted)} barcodes are not in it",
                found=f"{unknown[0]!r}",
                expected=f"barcodes such as {self.barcodes[0]!r}",
            )
        return found

    def subset(self, barcodes: Sequence[str] | np.ndarray) -> Section:
        """Return the spots of ``barcodes``, in that order.

        Raises
        ------
        InputError
            If one of them is not a barcode of this section.
        """
        indices = self.indices_of(barcodes)
        return Section(
            self.name,
            self.adata[indices].copy(),
            self.mpp,
            self.pitch_um,
            self.image_path,
            self.patches.subset(indices),
        )

    def open_image(self) -> SlideImage:
        """Decode the full-resolution image.

        Raises
        ------
        InputError
            If the image is gone or cannot be decoded.
        """
        return SlideImage.open(self.image_path)

    def save(self, directory: str | Path) -> None:
        """Write the section in the HEST layout, whole or not at all.

        ``st/{name}.h5ad``, ``patches/{name}.h5`` and ``metadata/{name}.json``. The image stays
        where it is; its path and SHA-256 are noted. Other sections of ``directory`` are kept.

        Raises
        ------
        InputError
            If ``directory`` holds files that c2lst did not write.
        """
        width_px = self.patches.patch_um / self.mpp
        with owned_directory(directory, self.name) as partial:
            file = f"{self.name}.h5ad"
            self.adata.write_h5ad(partial / HestDirectory.ST / file, compression="gzip")
            write_patches(
                partial / HestDirectory.PATCHES / f"{self.name}.h5",
                self.patches.images,
                self.barcodes,
                coords=self.centres_px - width_px / 2,
                patch_size_src=width_px,
                pixel_size=self.mpp,
            )
            write_json(partial / HestDirectory.METADATA / f"{self.name}.json", self._metadata())

    @classmethod
    def load(cls, directory: str | Path, name: str | None = None) -> Section:
        """Read a section of a folder in the HEST layout; patches stay in their file.

        Parameters
        ----------
        directory
            The folder that holds ``st``, ``patches`` and ``metadata``.
        name
            Which section; needed only where there are several.

        Raises
        ------
        InputError
            If a file is missing, damaged or not what it was when it was written.
        """
        from c2lst.data.readers.hest import load_section

        return load_section(Path(directory), name)

    def _metadata(self) -> dict[str, object]:
        scalefactors = self.adata.uns.get(SpatialKey.SPATIAL, {}).get(self.name, {})
        diameter_px = scalefactors.get(SpatialKey.SCALEFACTORS, {}).get(SpatialKey.SPOT_DIAMETER)
        present = self.image_path.is_file()
        return {
            HestMetadataKey.PIXEL_SIZE: self.mpp,
            HestMetadataKey.PIXEL_SIZE_EMBEDDED: None,
            HestMetadataKey.PITCH: self.pitch_um,
            HestMetadataKey.SPOT_DIAMETER: None if diameter_px is None else diameter_px * self.mpp,
            HestMetadataKey.TECHNOLOGY: None,
            HestMetadataKey.OURS: {
                "format": FORMAT,
                "kind": "section",
                "image_path": str(self.image_path.absolute()),
                "image_sha256": hash_file(self.image_path) if present else None,
                "content_hash": self.content_hash,
                "patch_um": self.patches.patch_um,
                "size": self.patches.size,
            },
        }


def available_sections(directory: str | Path) -> list[str]:
    """Names of the sections of a folder in the HEST layout."""
    return section_names(Path(directory))


def _check_unique(where: str, what: str, names: np.ndarray) -> None:
    values, counts = np.unique(names, return_counts=True)
    if (counts > 1).any():
        repeated = values[counts > 1]
        raise InputError(
            where,
            f"{len(repeated)} {what} names are repeated",
            found=f"{repeated[0]!r} {counts.max()} times",
            expected=f"each {what} once",
        )


def _check_counts(where: str, adata: AnnData) -> None:
    from scipy import sparse

    if not sparse.issparse(adata.X) or adata.X.format != "csr":
        raise InputError(
            where, "X is not sparse", found=type(adata.X).__name__, expected="a CSR matrix"
        )
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
        )
    if SpatialKey.SPATIAL not in adata.obsm:
        raise InputError(where, "obsm lacks 'spatial'", expected="(x, y) spot centres in px")
    centres = np.asarray(adata.obsm[SpatialKey.SPATIAL])
    if centres.shape != (adata.n_obs, 2):
        raise InputError(
            where, "obsm['spatial'] has the wrong shape", found=centres.shape, expected="(n, 2)"
        )
    finite = np.isfinite(centres.astype(np.float64)).all(axis=1)
    if not finite.all():
        spot = adata.obs_names[int(np.argmin(finite))]
        raise InputError(
            f"{where}, spot {spot!r}", "the centre is not finite", expected="(x, y) in px"
        )
