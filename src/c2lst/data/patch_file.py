"""HEST-1k patch files: read when they are asked for, written batch by batch."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from c2lst.data.readers.constants import HestPatchKey
from c2lst.data.stated import stated_number
from c2lst.errors import InputError
from c2lst.progress import progress_bar

_DAMAGED = "copy the folder again, or make it again from the raw files"
_FEW = 64
_BATCH = 256


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
        raise InputError(
            path, "no such patch file", expected="an HDF5 file of patches", remedy=_DAMAGED
        )
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise InputError(path, "is no readable HDF5 file", found=error, remedy=_DAMAGED) from error
    with file:
        images = file.get(HestPatchKey.IMAGES)
        if images is None:
            found = ", ".join(sorted(file)) or "nothing"
            raise InputError(
                path, "data set 'img' is missing", found=found, expected="img", remedy=_DAMAGED
            )
        if images.ndim != 4 or images.shape[3] != 3 or images.dtype != np.uint8:
            raise InputError(
                path,
                "data set 'img' holds no patches",
                found=f"{images.dtype} of shape {images.shape}",
                expected="uint8 of shape (N, S, S, 3)",
                remedy=_DAMAGED,
            )
        try:
            yield file
        except OSError as error:  # a chunk that cannot be read
            raise InputError(path, "is damaged", found=error, remedy=_DAMAGED) from error


def stated_length(path: Path, attributes: dict[str, Any], key: str) -> float | None:
    """Return an attribute of the images; none where it is not stated, or is NaN.

    Raises
    ------
    InputError
        If it is no number above 0.
    """
    return stated_number(path, attributes, key, "attribute", _DAMAGED)


def read_barcodes(path: Path) -> np.ndarray:
    """Barcodes of a patch file, str (N,); ``barcode`` and ``barcodes`` are both accepted."""
    with patch_file(path) as file:
        for key in (HestPatchKey.BARCODE, HestPatchKey.BARCODES):
            if key in file:
                values = np.asarray(file[key][()]).reshape(-1)
                break
        else:
            raise InputError(
                path, "data set 'barcode' is missing", found=", ".join(sorted(file)),
                expected="a barcode for each image", remedy=_DAMAGED,
            )  # fmt: skip
        if len(values) != len(file[HestPatchKey.IMAGES]):
            raise InputError(
                path,
                "data set 'barcode' does not match the images",
                found=f"{len(values)} barcodes",
                expected=f"{len(file[HestPatchKey.IMAGES])}",
                remedy=_DAMAGED,
            )
    return np.array([v.decode() if isinstance(v, bytes) else str(v) for v in values], dtype=str)


def write_patches(
    path: Path,
    images: Any,
    barcodes: np.ndarray,
    *,
    coords: np.ndarray | None,
    downsample: float,
    pixel_size: float,
) -> None:
    """Write a HEST patch file, batch by batch.

    Parameters
    ----------
    path
        The file.
    images
        uint8 (N, S, S, 3), an array or readable by integer arrays; ``batches()``, where it has
        them, is the order in which it is read best.
    barcodes
        str (N,), written as (N, 1).
    coords
        (N, 2) top-left corners as (x, y) in whole full-resolution px; none for patches that come
        from no place.
    downsample
        Full-resolution px for each px of a patch.
    pixel_size
        µm per full-resolution px.
    """
    import h5py

    path.parent.mkdir(parents=True, exist_ok=True)
    count, size = images.shape[:2]
    attributes = {
        HestPatchKey.SIZE_SRC: round(size * downsample),
        HestPatchKey.SIZE_TARGET: size,
        HestPatchKey.DOWNSAMPLE: downsample,
        HestPatchKey.PIXEL_SIZE: pixel_size,
    }
    with h5py.File(path, "w") as file:
        data = file.create_dataset(
            HestPatchKey.IMAGES,
            shape=(count, size, size, 3),
            dtype=np.uint8,
            chunks=(1, size, size, 3) if count else None,
            compression="gzip" if count else None,
        )
        # A handful is written sooner than a bar is drawn.
        shown = progress_bar("patches", count) if count > _FEW else contextlib.nullcontext()
        with shown as bar:
            for rows, batch in _batches(images):
                order = np.argsort(rows)  # h5py writes increasing rows only
                data[rows[order]] = batch[order]
                if bar is not None:
                    bar.advance(len(rows))
        data.attrs.update(attributes)
        if coords is not None:
            file[HestPatchKey.COORDS] = np.asarray(coords, dtype=np.int64)
            file[HestPatchKey.COORDS].attrs.update(attributes)
        file.create_dataset(
            HestPatchKey.BARCODE,
            data=np.asarray(barcodes, dtype=object).reshape(-1, 1),
            dtype=h5py.string_dtype(),
        )


def _batches(images: Any) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    if hasattr(images, "batches"):
        yield from images.batches()
        return
    for start in range(0, len(images), _BATCH):
        rows = np.arange(start, min(start + _BATCH, len(images)))
        yield rows, images[rows]
