"""A folder of patch images, or a zip of one; the class of a patch is the folder it lies in."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import numpy as np

from c2lst.archives import is_archive, read_members
from c2lst.data.collections.pixels import decode
from c2lst.data.collections.sources.base import (
    Source,
    SourceOptions,
    SourcePatch,
    unreadable,
)
from c2lst.data.collections.sources.fields import split_or_none
from c2lst.data.image import IMAGE_SUFFIXES, decode_rgb
from c2lst.errors import InputError

TITLE = "image folder"
LOOKS_FOR = f"a folder or zip of {', '.join(sorted(IMAGE_SUFFIXES))}, in folders named by class"

_KEPT = frozenset({".jpg", ".jpeg", ".png"})
_MOST_PIXELS = 64_000_000


def recognise(where: str) -> str | None:
    """Say why ``where`` is an image folder; none if it is not."""
    path = Path(where)
    if path.is_dir():
        first = next(image_names(path), None)
        return None if first is None else f"its first image is {first}"
    return "it is a zip" if path.is_file() and path.suffix.lower() == ".zip" else None


def open_source(where: str, options: SourceOptions) -> Source:
    """Return the images of a folder and the folders in it, or of a zip."""
    return ImageFolder(Path(where), options)


def image_names(
    folder: Path, inner: str = "", suffixes: frozenset[str] = IMAGE_SUFFIXES
) -> Iterator[str]:
    """Give the paths of all images below a folder, sorted in each folder; hidden ones are skipped.

    Only one folder's names are in memory at a time.
    """
    try:
        with os.scandir(folder / inner) as found:
            entries = sorted((entry.name, entry.is_dir(follow_symlinks=False)) for entry in found)
    except OSError as error:
        raise InputError(folder / inner, f"cannot be read ({error.strerror})") from error
    for name, is_folder in entries:
        if name.startswith("."):
            continue
        path = f"{inner}/{name}" if inner else name
        if is_folder:
            yield from image_names(folder, path, suffixes)
        elif PurePosixPath(name).suffix.lower() in suffixes:
            yield path


class ImageFolder:
    """Images below a folder, named by their path in it.

    A patch's class is the folder it lies in; ``train/``, ``val/`` and ``test/`` at the top are
    splits. JPEG and PNG files are given as they are, others decoded.

    Parameters
    ----------
    path
        The folder, or a zip.
    options
        ``mpp`` is the µm/px of all images.
    """

    licence = None

    def __init__(self, path: Path, options: SourceOptions) -> None:
        self.path = path
        self.origin = str(path)
        self.mpp = options.mpp

    @property
    def count(self) -> int | None:
        """Number of images in a folder; a zip does not say."""
        return None if is_archive(self.path) else sum(1 for _ in image_names(self.path))

    def __iter__(self) -> Iterator[SourcePatch]:
        """Give the images, sorted in each folder, or in the zip's order."""
        found = False
        for name, image in self._zipped() if is_archive(self.path) else self._files():
            found = True
            split, label = _place(name)
            yield SourcePatch(name=name, image=image, label=label, mpp=self.mpp, split=split)
        if not found:
            raise InputError(
                self.path, "holds no images", expected=", ".join(sorted(IMAGE_SUFFIXES))
            )

    def _files(self) -> Iterator[tuple[str, bytes | np.ndarray | InputError]]:
        for name in image_names(self.path):
            path = self.path / name
            kept = path.suffix.lower() in _KEPT
            yield name, image_bytes(path) if kept else _decoded(path)

    def _zipped(self) -> Iterator[tuple[str, bytes | np.ndarray | InputError]]:
        def is_image(member: str) -> bool:
            path = PurePosixPath(member)
            hidden = any(part.startswith((".", "__MACOSX")) for part in path.parts)
            return path.suffix.lower() in IMAGE_SUFFIXES and not hidden

        for name, image in read_members(self.path, is_image):
            kept = PurePosixPath(name).suffix.lower() in _KEPT
            yield name, image if kept else _unpacked(image, f"{self.path}, member {name!r}")


def image_bytes(path: Path) -> bytes | InputError:
    """Return the bytes of an image file, whatever they are, or why it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        what = InputError(
            path, "cannot be read", found=error.strerror, remedy="check that you may read it"
        )
        return unreadable(what)


def _decoded(path: Path) -> np.ndarray | InputError:
    """Return the pixels of an image file, or why it cannot be decoded."""
    try:
        return decode_rgb(path, _MOST_PIXELS)
    except InputError as error:
        return unreadable(error)


def _unpacked(image: bytes, where: str) -> np.ndarray | InputError:
    """Return the pixels of an image of an archive, or why it cannot be decoded."""
    try:
        return np.asarray(decode(image, where))
    except InputError as error:
        return unreadable(error)


def _place(name: str) -> tuple[str | None, str | None]:
    """Split and class that the folders of a path stand for."""
    folders = PurePosixPath(name).parts[:-1]
    split = split_or_none(folders[0]) if folders else None
    inner = folders[1:] if split is not None else folders
    return split, inner[-1] if inner else None
