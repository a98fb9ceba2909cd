"""A section: spots with counts, places and patches, checked once and then trusted."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from c2lst.data.embedded import is_embedded
from c2lst.data.hest import FORMAT, HestSample, find_place, load_sample
from c2lst.data.image import SlideImage
from c2lst.data.layout import (
    SYNTHETIC_SUFFIX,
    HestPlace,
    link,
    owned_directory,
    section_names,
)
from c2lst.data.overlay import Overlay, draw_overlays
from c2lst.data.patch_file import write_patches
from c2lst.data.patches import Patches
from c2lst.data.readers.constants import (
    HEST_LIBRARY,
    HestMetadataKey,
    SpatialKey,
)
from c2lst.data.section_checks import check_table
from c2lst.data.tissue import TissueMask
from c2lst.errors import InputError
from c2lst.storage import hash_arrays, hash_file, hash_strings, write_json

if TYPE_CHECKING:
    from anndata import AnnData
    from scipy.sparse import csr_matrix

_AGAIN = "read the section from its raw files again"
_THUMBNAILS = (SpatialKey.HIRES, SpatialKey.DOWNSCALED, SpatialKey.LOWRES)


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
        ``uns["spatial"]["ST"]``: thumbnails and their scale factors.
    mpp
        µm per full-resolution px.
    pitch_um
        Distance of a spot to its nearest neighbours on the array, µm.
    image_path
        The full-resolution image.
    patches
        A patch around each spot, in the order of ``adata``.
    metadata
        What HEST-1k's metadata file says besides: ``st_technology``, ``patient``,
        ``oncotree_code`` and the like.
    reading
        How the section was read, under the keys of ``ReadingKey``.
    contours
        GeoJSON of the tissue's outline, where the source has one.

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
    metadata: dict[str, Any] = field(default_factory=dict)
    reading: dict[str, Any] = field(default_factory=dict)
    contours: Path | None = None

    def __post_init__(self) -> None:
        where = f"section {self.name!r}"
        if not self.name or any(sign in self.name for sign in "/\\"):
            raise InputError(
                where,
                "the name cannot be used in file names",
                expected="a name without / and \\",
                remedy="give another with --section",
            )
        for length, value in (("mpp", self.mpp), ("pitch_um", self.pitch_um)):
            if not (np.isfinite(value) and value > 0):
                raise InputError(
                    where, f"{length} is no length", found=value, expected="µm above 0",
                    remedy=_AGAIN,
                )  # fmt: skip
        check_table(where, self.adata)
        if len(self.patches) != self.adata.n_obs:
            raise InputError(
                where,
                "patches and spots differ in number",
                found=f"{len(self.patches)} patches",
                expected=f"{self.adata.n_obs} as there are spots",
                remedy=_AGAIN,
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
                found=f"{str(unknown[0])!r}",
                expected=f"barcodes such as {str(self.barcodes[0])!r}",
                remedy="give what belongs to this section",
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
        return replace(self, adata=self.adata[indices].copy(), patches=self.patches.subset(indices))

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

        ``st/{name}.h5ad``, ``patches/{name}.h5``, ``metadata/{name}.json`` and a picture of the
        spots on the slide, ``spatial_plots/{name}_spatial_plots.png``. The image stays where it
        is; its path and SHA-256 are noted. One that came inside another file becomes
        ``wsis/{name}.tif``. Other sections of ``directory`` are kept, and so are a slide and
        contours that a user put there for this one.

        Raises
        ------
        InputError
            If ``directory`` holds files that c2lst did not write, or a slide or contours of another
            image than the section's; or if the name is one of synthetic pairs.
        """
        if self.name.endswith(SYNTHETIC_SUFFIX):
            raise InputError(
                f"section {self.name!r}",
                "its name is that of synthetic pairs, as which it would be passed over",
                expected=f"a name that does not end with {SYNTHETIC_SUFFIX}",
                remedy="give another with --section, or rename the file it is called after",
            )
        width_px = self.patches.patch_um / self.mpp
        with owned_directory(directory, self.name, self.image_path, self.contours) as partial:
            place = HestPlace(partial, self.name)
            image_path = self._carry_slide(place, Path(directory))
            if self.contours is not None:
                # A link would be the source's own file, whose permissions a result's replace.
                place.contours.parent.mkdir(parents=True, exist_ok=True)
                place.contours.unlink(missing_ok=True)
                shutil.copyfile(self.contours, place.contours)
            self.adata.write_h5ad(place.counts, compression="gzip")
            write_patches(
                place.patches,
                self.patches.images,
                self.barcodes,
                coords=np.floor(self.centres_px) - round(width_px) // 2,
                downsample=width_px / self.patches.size,
                pixel_size=self.mpp,
            )
            if hasattr(self.patches.images, "release"):
                self.patches.images.release()  # a slide that is held open to cut them
            self.draw(place.plot)
            write_json(place.metadata, self._metadata(image_path))

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
        place = find_place(Path(directory), name)
        if place is None:
            raise InputError(
                directory,
                "holds no section",
                expected="st/{name}.h5ad",
                remedy="give a folder that c2lst ingest wrote",
            )
        sample = load_sample(place)
        stored = sample.stored()
        mpp, kept = sample.require(HestMetadataKey.PIXEL_SIZE), sample.joined()
        patches = Patches(stored.images(kept), round(stored.width_px * mpp, 6))
        return cls.of_sample(sample, kept, patches, mpp, sample.pitch_um(mpp))

    @classmethod
    def of_sample(
        cls,
        sample: HestSample,
        kept: np.ndarray,
        patches: Patches,
        mpp: float,
        pitch_um: float,
        reading: dict[str, Any] | None = None,
    ) -> Section:
        """Make a section of the spots ``kept``, bool (n,), of a sample and their patches.

        Raises
        ------
        InputError
            If it is no section, or the counts are not those that c2lst saved.
        """
        section = cls(
            sample.place.section,
            sample.adata if kept.all() else sample.adata[kept].copy(),
            mpp,
            pitch_um,
            sample.image_path,
            patches,
            sample.metadata,
            sample.ours.get("reading", {}) if reading is None and sample.ours else reading or {},
            sample.contours,
        )
        if sample.ours is not None and sample.ours["content_hash"] != section.content_hash:
            raise InputError(
                sample.place.counts,
                "its barcodes, genes or counts are not those that were saved",
                found=f"content {section.content_hash[:12]}",
                expected=str(sample.ours["content_hash"])[:12],
                remedy=_AGAIN,
            )
        return section

    def draw(self, path: str | Path) -> None:
        """Write a PNG of the spots on the slide's largest thumbnail, where there is one."""
        library = self.adata.uns.get(SpatialKey.SPATIAL, {}).get(HEST_LIBRARY, {})
        images = library.get(SpatialKey.IMAGES, {})
        factors = library.get(SpatialKey.SCALEFACTORS, {})
        key = next((key for key in _THUMBNAILS if key in images), None)
        if key is None:
            return
        scale = float(factors[f"tissue_{key.value}_scalef"])
        thumbnail = SlideImage.from_array(np.asarray(images[key]))
        centres = self.centres_px * scale
        on_tissue = TissueMask.of(thumbnail, self.mpp / scale).at(centres)
        caption = f"{self.name}: {len(self)} spots, cyan on tissue and orange off it"
        radius = float(factors.get(SpatialKey.SPOT_DIAMETER, 0)) * scale / 2
        draw_overlays(Path(path), images[key], [Overlay(caption, centres, on_tissue, radius)])

    def _carry_slide(self, place: HestPlace, directory: Path) -> Path:
        """Path of the image to note, after taking along one that has no place of its own."""
        saved_here = self.image_path.absolute() == HestPlace(directory.absolute(), self.name).slide
        if not (is_embedded(self.image_path) or saved_here):
            return self.image_path.absolute()
        link(self.image_path, place.slide)
        return place.slide.relative_to(place.directory)

    def _metadata(self, image_path: Path) -> dict[str, object]:
        library = self.adata.uns.get(SpatialKey.SPATIAL, {}).get(HEST_LIBRARY, {})
        diameter_px = library.get(SpatialKey.SCALEFACTORS, {}).get(SpatialKey.SPOT_DIAMETER)
        present = self.image_path.is_file()
        return {
            HestMetadataKey.PIXEL_SIZE_EMBEDDED: None,
            HestMetadataKey.SPOT_DIAMETER: None if diameter_px is None else diameter_px * self.mpp,
            HestMetadataKey.TECHNOLOGY: None,
            **self.metadata,
            HestMetadataKey.PIXEL_SIZE: self.mpp,
            HestMetadataKey.PITCH: self.pitch_um,
            HestMetadataKey.OURS: {
                "format": FORMAT,
                "kind": "section",
                "image_path": str(image_path),
                "image_sha256": hash_file(self.image_path) if present else None,
                "content_hash": self.content_hash,
                "patch_um": self.patches.patch_um,
                "size": self.patches.size,
                "reading": self.reading,
            },
        }


def available_sections(directory: str | Path) -> list[str]:
    """Names of the sections of a folder in the HEST layout."""
    return section_names(Path(directory))
