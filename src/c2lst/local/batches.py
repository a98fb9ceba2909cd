"""Images of a request, kept on disk batch by batch as they are drawn."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from c2lst.errors import InputError
from c2lst.storage import read_json, whole_file, write_json

REQUEST_JSON = "request.json"


class ImageStore:
    """Images that are drawn in batches, by one process or several, and read as an array is.

    Parameters
    ----------
    directory
        Where they are kept; one request has it to itself.
    count, size
        How many images there will be, and their side in px.
    """

    dtype = np.dtype(np.uint8)
    ndim = 4

    def __init__(self, directory: Path, count: int, size: int) -> None:
        self.directory = directory
        self.shape = (count, size, size, 3)

    def __len__(self) -> int:
        return self.shape[0]

    def open(self, request: dict[str, Any]) -> int:
        """Begin a request, or continue it; return the number of images still to be drawn.

        Parameters
        ----------
        request
            All that the images depend on, as JSON values.

        Raises
        ------
        InputError
            If the folder holds images of another request.
        """
        path = self.directory / REQUEST_JSON
        if not path.is_file():
            write_json(path, request)
        found = read_json(path)
        for key in sorted(set(found) | set(request)):
            if found.get(key) != request.get(key):
                raise InputError(
                    self.directory,
                    f"holds images of another request, which differs in {key!r}",
                    found=_short(found.get(key)),
                    expected=_short(request.get(key)),
                    remedy="choose another output, or remove this folder",
                )
        return len(self.missing())

    def missing(self) -> np.ndarray:
        """Numbers of the images that are still to be drawn, int (k,), in increasing order."""
        kept = [rows for _, rows in self._files()]
        return np.setdiff1d(np.arange(len(self)), np.concatenate([[], *kept]))

    def keep(self, rows: np.ndarray, images: np.ndarray) -> None:
        """Keep the images of ``rows``, int (k,)."""
        with whole_file(self.directory / f"images-{rows[0]:08d}.safetensors") as partial:
            save_file({"rows": np.asarray(rows, dtype=np.int64), "images": images}, partial)

    def batches(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield the numbers of each batch and its images."""
        self._refuse_gaps(len(self) - len(self.missing()), len(self))
        for path, rows in self._files():
            yield rows, _read(path, "images")

    def __getitem__(self, rows: Any) -> np.ndarray:
        wanted = np.arange(len(self))[rows]
        images = np.empty((*np.shape(wanted), *self.shape[1:]), dtype=np.uint8)
        found = np.zeros(np.shape(wanted), dtype=bool)
        for path, kept in self._files():
            here = np.isin(wanted, kept)
            if here.any():
                images[here] = _read(path, "images")[np.searchsorted(kept, wanted[here])]
                found |= here
        self._refuse_gaps(int(found.sum()), found.size)
        return images

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """Read all images at once."""
        return self[:].astype(self.dtype if dtype is None else dtype, copy=False)

    def _refuse_gaps(self, found: int, wanted: int) -> None:
        # Files that another machine wrote may not be seen here yet.
        if found < wanted:
            raise InputError(
                self.directory,
                "lacks images of this request",
                found=f"{found} of {wanted}",
                remedy="run the same command again: what is there is kept",
            )

    def _files(self) -> Iterator[tuple[Path, np.ndarray]]:
        for path in sorted(self.directory.glob("images-*.safetensors")):
            yield path, _read(path, "rows")


def _read(path: Path, name: str) -> np.ndarray:
    try:
        with safe_open(path, "np") as file:
            return np.asarray(file.get_tensor(name))
    except (SafetensorError, OSError) as error:
        raise InputError(
            path, f"is damaged ({error})", remedy="remove it and run the same command again"
        ) from error


def _short(value: object) -> str:
    """Return a value as it fits in a message: of a hash, the beginning."""
    return value[:12] if isinstance(value, str) and len(value) == 64 else str(value)
