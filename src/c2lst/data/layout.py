"""The HEST-1k layout on disk: patch files, and folders that are ours to replace."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from c2lst.data.readers.constants import HestDirectory, HestMetadataKey, HestPatchKey
from c2lst.errors import InputError
from c2lst.storage import read_json, whole_directory

if TYPE_CHECKING:
    from anndata import AnnData

_DAMAGED = "copy the folder again, or make it again from the raw files"


class PatchFile:
    """Images of a HEST patch file, read when they are asked for.

    Parameters
    ----------
    path
        The ``.h5`` file.
    rows
        Row of the file for each image, shape (n,).
    size
        Width in px to resample to; the file's own by default.
    crop
        Central share of the width that is kept, in (0, 1].
    """

    dtype = np.dtype(np.uint8)

    def __init__(
        self, path: Path, rows: np.ndarray, size: int | None = None, crop: float = 1.0
    ) -> None:
        self.path = path
        self.rows = np.asarray(rows, dtype=np.int64)
        self.crop = crop
        with patch_file(path) as file:
            self._stored = int(file[HestPatchKey.IMAGES].shape[1])
        self.size = self._stored if size is None else size

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(n, S, S, 3)."""
        return (len(self.rows), self.size, self.size, 3)

    def __len__(self) -> int:
        return len(self.rows)

    def subset(self, indices: np.ndarray) -> PatchFile:
        """Return the images of ``indices``, still in their file."""
        return PatchFile(self.path, self.rows[indices], self.size, self.crop)

    def __getitem__(self, indices: Any) -> np.ndarray:
        rows = self.rows[indices]
        # h5py reads increasing, unique rows only.
        unique, inverse = np.unique(rows, return_inverse=True)
        with patch_file(self.path) as file:
            images = self._resampled(np.asarray(file[HestPatchKey.IMAGES][unique]))
        return images[inverse.reshape(np.shape(rows))]

    def _resampled(self, images: np.ndarray) -> np.ndarray:
        if self.size == self._stored and self.crop == 1.0:
            return images
        from PIL import Image

        margin = self._stored * (1 - self.crop) / 2
        box = (margin, margin, self._stored - margin, self._stored - margin)
        shape = (self.size, self.size)
        resampled = [
            np.asarray(Image.fromarray(image).resize(shape, Image.Resampling.LANCZOS, box=box))
            for image in images
        ]
        return np.stack(resampled) if resampled else np.empty((0, *shape, 3), np.uint8)


@contextlib.contextmanager
def patch_file(path: Path) -> Iterator[Any]:
    """Open a patch file for reading and check that its images are patches.

    Raises
    ------
    InputError
        If it is missing, damaged, or lacks uint8 images of shape (N, S, S, 3).
    """
    import h5py

    if not path.is_file():
        raise InputError(path, "no such patch file", expected="an HDF5 file of patches")
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise InputError(path, f"is no readable HDF5 file ({error})", remedy=_DAMAGED) from error
    with file:
        images = file.get(HestPatchKey.IMAGES)
        if images is None:
            found = ", ".join(sorted(file)) or "nothing"
            raise InputError(path, "data set 'img' is missing", found=found, expected="img")
        if images.ndim != 4 or images.shape[3] != 3 or images.dtype != np.uint8:
            raise InputError(
                path,
                "data set 'img' holds no patches",
                found=f"{images.dtype} of shape {images.shape}",
                expected="uint8 of shape (N, S, S, 3)",
            )
        try:
            yield file
        except OSError as error:  # a chunk that cannot be read
            raise InputError(path, f"is damaged ({error})", remedy=_DAMAGED) from error


def read_barcodes(path: Path) -> np.ndarray:
    """Barcodes of a patch file, str (N,); ``barcode`` and ``barcodes`` are both accepted."""
    with patch_file(path) as file:
        for key in (HestPatchKey.BARCODE, HestPatchKey.BARCODES):
            if key in file:
                values = np.asarray(file[key][()]).reshape(-1)
                break
        else:
            raise InputError(path, "data set 'barcode' is missing", found=", ".join(sorted(file)))
        if len(values) != len(file[HestPatchKey.IMAGES]):
            raise InputError(
                path,
                "data set 'barcode' does not match the images",
                found=f"{len(values)} barcodes",
                expected=f"{len(file[HestPatchKey.IMAGES])}",
            )
    return np.array([v.decode() if isinstance(v, bytes) else str(v) for v in values], dtype=str)


def write_patches(
    path: Path,
    images: Any,
    barcodes: np.ndarray,
    *,
    coords: np.ndarray | None,
    patch_size_src: float,
    pixel_size: float,
) -> None:
    """Write a HEST patch file.

    Parameters
    ----------
    path
        The file.
    images
        uint8 (N, S, S, 3), an array or readable by integer arrays.
    barcodes
        str (N,), written as (N, 1).
    coords
        (N, 2) top-left corners as (x, y) in full-resolution px; none for patches that come from
        no place.
    patch_size_src
        Width of a patch in full-resolution px.
    pixel_size
        µm per full-resolution px.
    """
    import h5py

    path.parent.mkdir(parents=True, exist_ok=True)
    count, size = images.shape[:2]
    with h5py.File(path, "w") as file:
        data = file.create_dataset(
            HestPatchKey.IMAGES,
            shape=(count, size, size, 3),
            dtype=np.uint8,
            chunks=(1, size, size, 3) if count else None,
            compression="gzip" if count else None,
        )
        for start in range(0, count, 256):
            rows = np.arange(start, min(start + 256, count))
            data[start : start + 256] = images[rows]
        data.attrs[HestPatchKey.SIZE_SRC] = patch_size_src
        data.attrs[HestPatchKey.SIZE_TARGET] = size
        data.attrs[HestPatchKey.DOWNSAMPLE] = patch_size_src / size
        data.attrs[HestPatchKey.PIXEL_SIZE] = pixel_size
        if coords is not None:
            file[HestPatchKey.COORDS] = np.asarray(coords)
        file[HestPatchKey.BARCODE] = np.asarray(barcodes, dtype="S").reshape(-1, 1)


def read_h5ad(path: Path) -> AnnData:
    """Read an AnnData file; whatever is wrong with it becomes an ``InputError``."""
    import anndata

    if not path.is_file():
        raise InputError(path, "no such file", expected="an AnnData file (.h5ad)")
    try:
        return anndata.read_h5ad(path)
    except Exception as error:  # anndata wraps h5py's and its own errors in many types
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            path, f"is no readable AnnData file ({reason})", remedy=_DAMAGED
        ) from error


def section_names(directory: Path) -> list[str]:
    """Names of the real sections of a folder in the HEST layout, sorted."""
    found = {path.stem for path in (directory / HestDirectory.ST).glob("*.h5ad")}
    return sorted(name for name in found if not name.endswith("_synthetic"))


@contextlib.contextmanager
def owned_directory(directory: str | Path, name: str) -> Iterator[Path]:
    """Yield a new folder that takes the name ``directory`` once ``name`` is written into it.

    Other sections that c2lst wrote there are kept.

    Raises
    ------
    InputError
        If the folder exists and holds files that c2lst did not write.
    """
    directory = Path(directory)
    if directory.exists() and not directory.is_dir():
        raise InputError(directory, "is a file", expected="a folder to write to")
    keep = _written_here(directory) if directory.exists() else []
    own = {
        Path(HestDirectory.ST) / f"{name}.h5ad",
        Path(HestDirectory.PATCHES) / f"{name}.h5",
        Path(HestDirectory.METADATA) / f"{name}.json",
    }
    with whole_directory(directory) as partial:
        for file in keep:
            if file not in own:
                (partial / file).parent.mkdir(parents=True, exist_ok=True)
                _link(directory / file, partial / file)
        for folder in (HestDirectory.ST, HestDirectory.PATCHES, HestDirectory.METADATA):
            (partial / folder).mkdir(exist_ok=True)
        yield partial


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # no hard links on this file system
        shutil.copy2(source, target)


def _written_here(directory: Path) -> list[Path]:
    """Files of ``directory``, relative to it; refuses a folder with files of someone else."""
    files = sorted(p.relative_to(directory) for p in directory.rglob("*") if not p.is_dir())
    ours: set[Path] = set()
    for file in files:
        if file.parent == Path(HestDirectory.METADATA) and file.suffix == ".json":
            with contextlib.suppress(InputError):
                read_json(directory / file, required=[HestMetadataKey.OURS])
                ours |= {
                    file,
                    Path(HestDirectory.ST) / f"{file.stem}.h5ad",
                    Path(HestDirectory.PATCHES) / f"{file.stem}.h5",
                }
    foreign = [file for file in files if file not in ours]
    if foreign:
        raise InputError(
            directory,
            "holds files that c2lst did not write, so it is not replaced",
            found=foreign[0],
            expected="a new or empty folder",
            remedy="choose another output folder",
        )
    return files
