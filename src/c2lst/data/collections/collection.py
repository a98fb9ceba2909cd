"""Collections of unlabelled H&E patches, for the central model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from c2lst.data.collections.images import Changed, ImageFiles, Joined, content_hash
from c2lst.data.collections.pixels import MAX_PIXELS
from c2lst.data.collections.store import TRAIN, StoredCollection, is_stored
from c2lst.data.image import IMAGE_SUFFIXES, opened
from c2lst.data.patches import extract_patches, tissue_positions
from c2lst.errors import InputError
from c2lst.progress import logger
from c2lst.storage import hash_strings, is_litter

if TYPE_CHECKING:
    from c2lst.data.section import Section
    from c2lst.data.split import SpotSplit
    from c2lst.data.stain import StainNormaliser, StainReference


@dataclass(frozen=True, eq=False)
class PatchCollection:
    """Unlabelled H&E patches in a fixed order.

    Parameters
    ----------
    images
        uint8 (n, S, S, 3): an array, or what reads patches when it is indexed, such as
        ``ImageFiles`` or a ``StoredCollection``.
    names
        What each patch is called: a path within the folder, or a place on the slide. None for
        stored patches, whose names stay in their shards.
    origin
        Where they are from, for messages.
    patch_um
        Width of a patch in µm; none where it is not known.
    licence
        Terms of the patches, where they are known.
    """

    images: Any
    names: Sequence[str] | None
    origin: str
    patch_um: float | None = None
    licence: str | None = None

    def __post_init__(self) -> None:
        shape = tuple(self.images.shape)
        if len(shape) != 4 or shape[3] != 3 or shape[1] != shape[2]:
            raise InputError(
                self.origin, "no patches", found=f"shape {shape}", expected="(n, S, S, 3)"
            )
        if shape[0] == 0:
            raise InputError(self.origin, "holds no patches", expected="at least one")
        if self.names is not None and len(self.names) != shape[0]:
            raise InputError(
                self.origin,
                "names and patches differ in number",
                found=len(self.names),
                expected=shape[0],
            )

    @classmethod
    def from_folder(
        cls,
        folder: str | Path,
        *,
        size: int = 64,
        patch_um: float | None = None,
        mpp: float | None = None,
    ) -> PatchCollection:
        """Collect the JPEG, PNG and TIFF images of a folder and its subfolders, by name.

        Parameters
        ----------
        folder
            The folder.
        size
            Width in px that each image is resampled to, S.
        patch_um, mpp
            Width of a patch in µm, and µm per px of the files. With both, the centre of each
            image is cut to that width. Without ``mpp``, each image is taken whole.

        Raises
        ------
        InputError
            If the folder is missing, empty, or holds no images; on reading, if one is damaged.
        """
        folder = Path(folder)
        paths = _image_paths(folder)
        if mpp is not None:
            with opened(paths[0], MAX_PIXELS) as first:
                whole_um = min(first.size) * mpp
            patch_um = whole_um if patch_um is None else patch_um
        else:
            logger.info(
                "%s: µm/px unknown, so each image is taken whole and resampled to %d px; "
                "give mpp to cut patches of a known width", folder, size,
            )  # fmt: skip
        logger.info("%s: %d images", folder, len(paths))
        return cls(
            ImageFiles(paths, size, mpp, patch_um),
            tuple(path.relative_to(folder).as_posix() for path in paths),
            str(folder),
            patch_um if mpp is not None else None,
        )

    @classmethod
    def from_section_tissue(
        cls,
        section: Section,
        split: SpotSplit,
        *,
        size: int | None = None,
        patch_um: float | None = None,
        stride_um: float | None = None,
        max_patches: int = 20_000,
    ) -> PatchCollection:
        """Cut patches from the slide's tissue that share no pixel with a test spot's patch.

        Parameters
        ----------
        section, split
            The section, and the split whose test spots are left out.
        size, patch_um
            Width of a patch in px and in µm; those of the spots' patches by default.
        stride_um
            Step of the grid; half a patch by default.
        max_patches
            Beyond this many, an even selection is kept.

        Raises
        ------
        InputError
            If no such tissue is left, or the split is of another section.
        """
        size = section.patches.size if size is None else size
        patch_um = section.patches.patch_um if patch_um is None else patch_um
        stride_um = patch_um / 2 if stride_um is None else stride_um
        test = section.centres_um[split.of(section) == "test"]
        # The two patches may differ in width: they share a pixel below the mean of both.
        radius = (patch_um + section.patches.patch_um) / 2
        image = section.open_image()
        places = tissue_positions(image, section.mpp, patch_um, stride_um, test, radius)
        if len(places) == 0:
            raise InputError(
                f"section {section.name!r}",
                "no tissue is left outside the test spots' patches",
                remedy="use a smaller stride_um or patch_um, or a larger fraction of spots",
            )
        if len(places) > max_patches:
            logger.info("%s: %d of %d places are kept", section.name, max_patches, len(places))
            places = places[np.linspace(0, len(places) - 1, max_patches).round().astype(int)]
        images = extract_patches(image, places, section.mpp, patch_um, size, "tissue")
        logger.info(
            "%s: %d patches of %g µm from tissue outside the %d test spots",
            section.name, len(images), patch_um, len(test),
        )  # fmt: skip
        names = tuple(f"{section.name}@{x:.0f}x{y:.0f}" for x, y in places)
        return cls(images, names, f"tissue of section {section.name!r}", patch_um)

    @classmethod
    def join(cls, collections: Sequence[PatchCollection]) -> PatchCollection:
        """Return one collection after the other.

        Raises
        ------
        InputError
            If there is none, or they differ in width.
        """
        if not collections:
            raise InputError("patch collections", "there is none to join")
        first = collections[0]
        for other in collections[1:]:
            if other.size != first.size or other.patch_um != first.patch_um:
                raise InputError(
                    other.origin,
                    "patches differ in width",
                    found=f"{other.size} px, {other.patch_um} µm",
                    expected=f"{first.size} px, {first.patch_um} µm as in {first.origin}",
                )
        if len(collections) == 1:
            return first
        parts = [collection.names for collection in collections]
        named = [names for names in parts if names is not None]
        terms = sorted({c.licence for c in collections if c.licence})
        return cls(
            Joined([collection.images for collection in collections]),
            tuple(chain(*named)) if len(named) == len(parts) else None,
            " + ".join(collection.origin for collection in collections),
            first.patch_um,
            " and ".join(terms) or None,
        )

    def normalised(self, normaliser: StainNormaliser) -> PatchCollection:
        """Return the collection of one slide in another stain, made when fetched."""
        return replace(self, images=Changed(self.images, normaliser.apply))

    def recoloured(self, stain: StainReference) -> PatchCollection:
        """Return the collection of many slides, each patch brought to ``stain`` when fetched."""
        return replace(self, images=Changed(self.images, stain.recolour))

    def some(self, number: int = 256) -> np.ndarray:
        """Evenly chosen patches, uint8 (at most ``number``, S, S, 3)."""
        chosen = np.linspace(0, len(self) - 1, min(number, len(self)))
        return self.fetch(np.unique(chosen.round().astype(np.int64)))

    @property
    def size(self) -> int:
        """Width of a patch in px."""
        return int(self.images.shape[1])

    def __len__(self) -> int:
        return int(self.images.shape[0])

    def fetch(self, indices: np.ndarray) -> np.ndarray:
        """Patches of ``indices``, uint8 (len(indices), S, S, 3).

        Raises
        ------
        InputError
            If an image file is missing or damaged; the message names it.
        """
        return np.asarray(self.images[np.asarray(indices, dtype=np.int64)])

    def describe(self) -> dict[str, Any]:
        """Say where the patches come from, for a model card; without the paths of this machine."""
        return {
            "source": " + ".join(Path(part).name for part in self.origin.split(" + ")),
            "patches": len(self),
            "size": self.size,
            "patch_um": self.patch_um,
            "licence": self.licence,
            "content_hash": self.content_hash,
        }

    @cached_property
    def content_hash(self) -> str:
        """SHA-256 over names and pixels; over the sizes of files that have not been read."""
        return hash_strings([*(self.names or ()), content_hash(self.images), f"{self.patch_um}"])


def open_collection(
    where: str | Path,
    *,
    size: int = 64,
    split: str = TRAIN,
    patch_um: float | None = None,
    mpp: float | None = None,
) -> PatchCollection:
    """Open patches: a stored collection, its URL, or a plain folder of images.

    Parameters
    ----------
    where
        What ``c2lst collect`` made, on disk or at a URL that fsspec understands, or a folder.
    size
        Width in px that each patch is resampled to, S.
    split
        Of a stored collection: ``"train"`` or ``"validation"``. A plain folder is all ``"train"``.
    patch_um
        Width in µm to cut from the centre of each, where the µm/px is known.
    mpp
        µm per px of images that do not say it themselves.

    Raises
    ------
    InputError
        If there is no such collection, or no patch in the split.
    """
    if is_stored(where):
        stored = StoredCollection(where, size=size, split=split, patch_um=patch_um, mpp=mpp)
        licence = stored.store.manifest.get("licence")
        logger.info("%s: %d patches", where, len(stored))
        return PatchCollection(stored, None, str(where), stored.patch_um, licence)
    if split != TRAIN:
        raise InputError(
            where, "a plain folder has no validation patches",
            remedy="make a collection of it with c2lst collect",
        )  # fmt: skip
    return PatchCollection.from_folder(where, size=size, patch_um=patch_um, mpp=mpp)


def _image_paths(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise InputError(folder, "no such folder", expected="a folder of H&E patches")
    files = [path for path in folder.rglob("*") if path.is_file() and not is_litter(path)]
    paths = sorted(path for path in files if path.suffix.lower() in IMAGE_SUFFIXES)
    if not paths:
        raise InputError(
            folder,
            "holds no images",
            found=f"{len(files)} other files" if files else "an empty folder",
            expected=", ".join(sorted(IMAGE_SUFFIXES)),
        )
    return paths
