"""Stored collections: patches read one by one from Parquet shards, on disk or by URL."""

from __future__ import annotations

import json
import os
import tempfile
import weakref
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from c2lst.data.collections.grouping import TRAIN, VALIDATION
from c2lst.data.collections.pixels import decode, side_px, square
from c2lst.data.collections.shards import INDEX_DTYPE
from c2lst.errors import InputError
from c2lst.progress import logger
from c2lst.storage import hash_strings

if TYPE_CHECKING:
    import pyarrow as pa

MANIFEST = "collection.json"
COLLECTION_FILES = (MANIFEST, "README.md", "data", "index")
FORMAT = 1

_KEYS = ("format", "patches", "splits", "content_hash", "mpp", "patch_um")
_MOST_THREADS = 8
_REMOTE_THREADS = 16
_DAMAGED = "copy the collection again"


def is_stored(where: str | Path) -> bool:
    """Whether ``where`` is a stored collection: a URL always, a folder if it has a manifest."""
    return "://" in str(where) or (Path(where) / MANIFEST).is_file()


class Store:
    """The files of a stored collection and what its manifest says.

    Parameters
    ----------
    where
        A folder, or a URL that fsspec understands, such as ``s3://bucket/folder`` or
        ``hf://datasets/owner/name``.

    Raises
    ------
    InputError
        If there is no collection, or its manifest is damaged.
    """

    def __init__(self, where: str | Path) -> None:
        import fsspec
        from fsspec.implementations.local import LocalFileSystem

        self.where = str(where)
        try:
            self.files, self.root = fsspec.core.url_to_fs(self.where)
        except (ImportError, ValueError) as error:
            raise InputError(
                where, f"cannot be opened ({error})", expected="a folder, or a URL of fsspec",
                remedy="install what its kind of storage needs, or check the address",
            ) from error  # fmt: skip
        self.remote = not isinstance(self.files, LocalFileSystem)
        self.manifest = self._read_manifest()

    def _read_manifest(self) -> dict[str, Any]:
        try:
            manifest = json.loads(self.files.cat_file(f"{self.root}/{MANIFEST}"))
        except OSError as error:
            raise InputError(
                self.where, f"{MANIFEST} cannot be read", found=type(error).__name__,
                expected="a collection made by c2lst collect", remedy="check the path",
            ) from error  # fmt: skip
        except ValueError as error:
            raise InputError(
                self.where, f"{MANIFEST} is no JSON ({error})", remedy=_DAMAGED
            ) from error
        missing = [k for k in _KEYS if k not in manifest] if isinstance(manifest, dict) else ["{"]
        if missing or manifest["format"] != FORMAT:
            raise InputError(
                self.where, f"{MANIFEST} is of another format",
                found=f"no {missing[0]!r}" if missing else manifest["format"],
                expected=f"format {FORMAT}", remedy="collect it again",
            )  # fmt: skip
        return manifest

    def path(self, *parts: str) -> str:
        """Path of a file within the file system."""
        return "/".join([self.root, *parts])

    def shards(self, split: str) -> list[dict[str, Any]]:
        """Return what the manifest says of each shard of a split; empty where there is no such."""
        return list(self.manifest["splits"].get(split, {}).get("shards", []))

    def columns(
        self, names: Sequence[str], splits: Sequence[str] = (TRAIN, VALIDATION)
    ) -> Iterator[pa.RecordBatch]:
        """Stream columns of all patches, some thousand rows at a time, without their images."""
        import pyarrow.parquet as pq

        for split in splits:
            for shard in self.shards(split):
                with self.files.open(self.path("data", shard["file"]), "rb") as handle:
                    yield from pq.ParquetFile(handle).iter_batches(columns=list(names))

    def index(self, split: str) -> np.ndarray:
        """Where the images of a split lie, memory-mapped; that of a URL is copied first.

        Raises
        ------
        InputError
            If it is missing or of another number of patches than the manifest says.
        """
        name = f"index/{split}.npy"
        try:
            if not self.remote:
                index = np.load(self.path(name), mmap_mode="r", allow_pickle=False)
            else:
                index = self._fetched(self.path(name))
        except (OSError, ValueError, EOFError) as error:
            raise InputError(
                self.where, f"{name} cannot be read ({error})", remedy=_DAMAGED
            ) from error
        expected = sum(shard["rows"] for shard in self.shards(split))
        if index.dtype != INDEX_DTYPE or index.shape != (expected,):
            raise InputError(
                self.where, f"{name} is not the index of its shards",
                found=f"{index.dtype} of shape {index.shape}", expected=f"{expected} patches",
                remedy=_DAMAGED,
            )  # fmt: skip
        return np.asarray(index) if len(index) == 0 else index

    def _fetched(self, path: str) -> np.ndarray:
        handle, name = tempfile.mkstemp(prefix="c2lst-", suffix=".npy")
        os.close(handle)
        logger.info("%s: copying its index, 16 bytes a patch", self.where)
        self.files.get_file(path, name)
        index: np.ndarray = np.load(name, mmap_mode="r", allow_pickle=False)
        weakref.finalize(index, Path(name).unlink, missing_ok=True)
        return index

    def read(self, file: str, start: int, stop: int) -> bytes:
        """Read a run of bytes of a shard."""
        path = self.path("data", file)
        try:
            if self.files.async_impl:
                found = self.files.cat_file(path, start=start, end=stop)
            else:
                # Other file systems would read ahead.
                with self.files.open(path, "rb", cache_type="none") as handle:
                    handle.seek(start)
                    found = handle.read(stop - start)
        except OSError as error:
            raise InputError(
                f"{self.where}/data/{file}", f"cannot be read ({error})", remedy=_DAMAGED
            ) from error
        return bytes(found)


class StoredCollection:
    """Patches of a stored collection, read when they are asked for.

    In memory are the manifest's list of shards and, of the index, the pages in use.

    Parameters
    ----------
    where
        A folder or URL.
    size
        Width in px that each is resampled to, antialiased.
    split
        ``"train"`` or ``"validation"``.
    patch_um
        Width in µm to cut from the centre of each; by default that of the stored patches. Where
        the µm/px is not known, patches are taken whole and ``patch_um`` is none.
    mpp
        µm per px of the patches that do not say it themselves.

    Raises
    ------
    InputError
        If there is no such collection, or no patch in the split.
    """

    dtype = np.dtype(np.uint8)

    def __init__(
        self,
        where: str | Path,
        *,
        size: int = 64,
        split: str = TRAIN,
        patch_um: float | None = None,
        mpp: float | None = None,
    ) -> None:
        self.store = Store(where)
        self.size, self.split, self.mpp = size, split, mpp
        shards = self.store.shards(split)
        if not shards:
            raise InputError(
                where, f"holds no {split} patches", found=", ".join(self.store.manifest["splits"]),
                remedy="collect it with another --seed or --validation",
            )  # fmt: skip
        self._files = [shard["file"] for shard in shards]
        self._ends = np.cumsum([shard["rows"] for shard in shards])
        self._index = self.store.index(split)
        known = mpp is not None or self.store.manifest["mpp"] is not None
        self.patch_um = patch_um or self.store.manifest["patch_um"] if known else None
        if not known:
            logger.info(
                "%s: µm/px unknown, so each patch is taken whole and resampled to %d px; "
                "give mpp to cut patches of a known width", where, size,
            )  # fmt: skip

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(n, S, S, 3)."""
        return (len(self), self.size, self.size, 3)

    def __len__(self) -> int:
        return int(self._ends[-1])

    def fetch(self, indices: np.ndarray) -> np.ndarray:
        """Patches of ``indices``, uint8 (len(indices), S, S, 3).

        Raises
        ------
        InputError
            If a shard is missing or damaged; the message names it.
        """
        return self[np.asarray(indices, dtype=np.int64)]

    def __getitem__(self, indices: Any) -> np.ndarray:
        if isinstance(indices, slice):
            indices = np.arange(*indices.indices(len(self)))
        wanted = np.asarray(indices)
        flat = _positive(wanted.reshape(-1), len(self))
        images = np.empty((len(flat), *self.shape[1:]), dtype=np.uint8)
        places = self._index[flat]
        homes = np.searchsorted(self._ends, flat, side="right")
        threads = _REMOTE_THREADS if self.store.remote else min(_MOST_THREADS, os.cpu_count() or 1)
        with ThreadPoolExecutor(threads) as pool:
            for row, image in enumerate(pool.map(self._patch, homes.tolist(), places)):
                images[row] = image
        return images.reshape(*wanted.shape, *self.shape[1:])

    def _patch(self, home: int, place: np.void) -> np.ndarray:
        file = self._files[home]
        start = int(place["offset"])
        where = f"{self.store.where}/data/{file}"
        image = decode(self.store.read(file, start, start + int(place["length"])), where)
        mpp = self.mpp if np.isnan(place["mpp"]) else float(place["mpp"])
        return square(image, side_px(image.size, mpp, self.patch_um, where), self.size)

    def describe(self) -> dict[str, Any]:
        """Say where the patches come from, for a model card; without the paths of this machine."""
        manifest = self.store.manifest
        return {
            "source": manifest.get("name", Path(self.store.root).name),
            "sources": manifest.get("sources", []),
            "licence": manifest.get("licence"),
            "split": self.split,
            "patches": len(self),
            "size": self.size,
            "patch_um": self.patch_um,
            "content_hash": self.content_hash,
        }

    @cached_property
    def content_hash(self) -> str:
        """SHA-256 over the patches of the split and how they are cut."""
        hashes = [shard["content_hash"] for shard in self.store.shards(self.split)]
        return hash_strings([*hashes, f"{self.size}|{self.patch_um}|{self.mpp}"])


def _positive(indices: np.ndarray, length: int) -> np.ndarray:
    if len(indices) and not -length <= indices.min() <= indices.max() < length:
        raise IndexError(f"patches {indices.min()}..{indices.max()} of {length}")
    return np.where(indices < 0, indices + length, indices)
