"""Collections of unlabelled H&E patches, for the central model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from c2lst.data.image import IMAGE_SUFFIXES, decode_rgb, opened
from c2lst.data.patches import extract_patches, tissue_positions
from c2lst.errors import InputError
from c2lst.progress import logger
from c2lst.storage import hash_arrays, hash_strings

if TYPE_CHECKING:
    from c2lst.data.colour import TissueColour
    from c2lst.data.section import Section
    from c2lst.data.split import SpotSplit
    from c2lst.data.stain import StainNormaliser

_CACHE_BYTES = 4 * 2**30
_TILE_PIXELS = 64_000_000
_THREADS = 4


class ImageFiles:
    """Square patches in image files, decoded when first asked for.

    Parameters
    ----------
    paths
        One image each.
    size
        Width in px that each is resampled to, antialiased.
    mpp
        µm per px of the files, where it is known.
    patch_um
        Width in µm to cut from the centre of each; needs ``mpp``. Else the largest centred
        square is taken whole.
    """

    dtype = np.dtype(np.uint8)

    def __init__(
        self,
        paths: Sequence[Path],
        size: int,
        mpp: float | None = None,
        patch_um: float | None = None,
    ) -> None:
        self.paths = tuple(paths)
        self.size = size
        self.mpp = mpp
        self.patch_um = patch_um
        # Decoding takes far longer than a training step on small patches, so it is done once;
        # pages of this array cost memory only when they are first written.
        fits = len(self.paths) * size * size * 3 <= _CACHE_BYTES
        self._cache = np.zeros(self.shape, dtype=np.uint8) if fits else None
        self._cached = np.zeros(len(self.paths), dtype=bool)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(n, S, S, 3)."""
        return (len(self.paths), self.size, self.size, 3)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, indices: Any) -> np.ndarray:
        wanted = np.arange(len(self))[indices]
        flat = np.atleast_1d(wanted)
        images = np.empty((len(flat), *self.shape[1:]), dtype=np.uint8)
        with ThreadPoolExecutor(_THREADS) as pool:
            for row, image in enumerate(pool.map(self._patch, flat.tolist())):
                images[row] = image
        return images.reshape(*wanted.shape, *self.shape[1:])

    def _patch(self, index: int) -> np.ndarray:
        if self._cache is None:
            return self._decode(self.paths[index])
        if not self._cached[index]:
            self._cache[index] = self._decode(self.paths[index])
            self._cached[index] = True
        return self._cache[index]

    def _decode(self, path: Path) -> np.ndarray:
        from PIL import Image

        pixels = decode_rgb(path, _TILE_PIXELS)
        height, width = pixels.shape[:2]
        side = float(min(width, height))
        if self.mpp is not None and self.patch_um is not None:
            wanted = self.patch_um / self.mpp
            if wanted > side * 1.01:
                raise InputError(
                    path,
                    "the image is smaller than a patch",
                    found=f"{side * self.mpp:.0f} µm",
                    expected=f"at least {self.patch_um:g} µm",
                    remedy="give a smaller patch_um, or check the µm/px of the collection",
                )
            side = min(side, wanted)
        left, top = (width - side) / 2, (height - side) / 2
        box = (left, top, left + side, top + side)
        image = Image.fromarray(pixels)
        return np.asarray(image.resize((self.size, self.size), Image.Resampling.LANCZOS, box=box))


@dataclass(frozen=True, eq=False)
class PatchCollection:
    """Unlabelled H&E patches in a fixed order.

    Parameters
    ----------
    images
        uint8 (n, S, S, 3): an array, or ``ImageFiles``.
    names
        What each patch is called: a path within the folder, or a place on the slide.
    origin
        Where they are from, for messages.
    patch_um
        Width of a patch in µm; none where it is not known.
    """

    images: Any
    names: tuple[str, ...]
    origin: str
    patch_um: float | None = None

    def __post_init__(self) -> None:
        shape = tuple(self.images.shape)
        if len(shape) != 4 or shape[3] != 3 or shape[1] != shape[2]:
            raise InputError(
                self.origin, "no patches", found=f"shape {shape}", expected="(n, S, S, 3)"
            )
        if shape[0] == 0:
            raise InputError(self.origin, "holds no patches", expected="at least one")
        if len(self.names) != shape[0]:
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
            with opened(paths[0], _TILE_PIXELS) as first:
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
        return cls(
            _Joined([collection.images for collection in collections]),
            tuple(name for collection in collections for name in collection.names),
            " + ".join(collection.origin for collection in collections),
            first.patch_um,
        )

    def normalised(self, normaliser: StainNormaliser) -> PatchCollection:
        """Return the collection of one slide in another stain, made when fetched."""
        return replace(self, images=_Changed(self.images, normaliser.apply))

    def recoloured(self, colour: TissueColour) -> PatchCollection:
        """Return the collection of many slides, each patch brought to ``colour`` when fetched."""
        return replace(self, images=_Changed(self.images, colour.give_to))

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
            "content_hash": self.content_hash,
        }

    @cached_property
    def content_hash(self) -> str:
        """SHA-256 over names and pixels, or names and byte sizes of files."""
        if isinstance(self.images, np.ndarray):
            return hash_strings([*self.names, hash_arrays({"images": self.images})])
        if isinstance(self.images, ImageFiles):
            sizes = [str(path.stat().st_size) for path in self.images.paths]
            return hash_strings([*self.names, *sizes, f"{self.size}|{self.patch_um}"])
        return hash_strings([*self.names, f"{self.size}|{self.patch_um}"])


class _Changed:
    """Images that are changed when they are read."""

    dtype = np.dtype(np.uint8)

    def __init__(self, images: Any, change: Callable[[np.ndarray], np.ndarray]) -> None:
        self._images = images
        self._change = change
        self.shape = tuple(images.shape)

    def __len__(self) -> int:
        return int(self.shape[0])

    def __getitem__(self, indices: Any) -> np.ndarray:
        found = np.asarray(self._images[indices])
        return self._change(found) if found.ndim == 4 else self._change(found[None])[0]


class _Joined:
    """Several image sources read as one."""

    dtype = np.dtype(np.uint8)

    def __init__(self, parts: list[Any]) -> None:
        self._parts = parts
        self._starts = np.cumsum([0, *(len(part) for part in parts)])

    @property
    def shape(self) -> tuple[int, int, int, int]:
        return (int(self._starts[-1]), *self._parts[0].shape[1:])

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __getitem__(self, indices: Any) -> np.ndarray:
        wanted = np.arange(len(self))[indices]
        flat = np.atleast_1d(wanted)
        images = np.empty((len(flat), *self.shape[1:]), dtype=np.uint8)
        home = np.searchsorted(self._starts, flat, side="right") - 1
        for number, part in enumerate(self._parts):
            rows = home == number
            if rows.any():
                images[rows] = part[flat[rows] - self._starts[number]]
        return images.reshape(*wanted.shape, *self.shape[1:])


def _image_paths(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise InputError(folder, "no such folder", expected="a folder of H&E patches")
    files = [path for path in folder.rglob("*") if path.is_file()]
    paths = sorted(path for path in files if path.suffix.lower() in IMAGE_SUFFIXES)
    if not paths:
        raise InputError(
            folder,
            "holds no images",
            found=f"{len(files)} other files" if files else "an empty folder",
            expected=", ".join(sorted(IMAGE_SUFFIXES)),
        )
    return paths
