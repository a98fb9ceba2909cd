"""Parquet shards of patches, and an index of where in them each image lies.

Images are stored without compression or dictionary, so each is one run of bytes in its shard. The
index holds, for each patch, where that run starts and how long it is: a patch is read by one
positioned read, on a disk as from a remote store, whatever the number of patches. Readers of
Parquet see an ordinary table and need not know of the index.
"""

from __future__ import annotations

import json
import mmap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from c2lst.data.collections.pixels import suffix_of
from c2lst.storage import hash_strings

if TYPE_CHECKING:
    import pyarrow as pa

INDEX_DTYPE = np.dtype([("offset", "<u8"), ("length", "<u4"), ("mpp", "<f4")])
"""Where a patch's image lies in its shard, and its µm/px; NaN where that is not known."""

ROWS_AT_ONCE = 256
_IMAGE = "image.bytes"


@dataclass(frozen=True)
class Row:
    """One patch as it is stored."""

    image: bytes
    name: str
    source: str
    slide: str | None
    group: str
    label: str | None
    mpp: float | None
    split: str
    sha256: str
    phash: int | None
    copy_of: str | None = None


@dataclass(frozen=True)
class Shard:
    """One file of patches."""

    file: str
    rows: int
    bytes: int
    content_hash: str


def features() -> dict[str, dict[str, str]]:
    """Columns as Hugging Face ``datasets`` describes them."""
    types = {"mpp": "float32", "phash": "uint64"}
    names = [name for name in Row.__dataclass_fields__ if name != "image"]
    columns = {name: {"dtype": types.get(name, "string"), "_type": "Value"} for name in names}
    return {"image": {"_type": "Image"}} | columns


def schema() -> pa.Schema:
    """Columns as Arrow types, with the features in the place where ``datasets`` looks for them."""
    import pyarrow as pa

    types = {"string": pa.string(), "float32": pa.float32(), "uint64": pa.uint64()}
    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    fields = [
        pa.field(name, image if name == "image" else types[feature["dtype"]])
        for name, feature in features().items()
    ]
    about = json.dumps({"info": {"features": features()}})
    return pa.schema(fields, metadata={"huggingface": about})


class ShardWriter:
    """Writes one shard, a row group at a time.

    Parameters
    ----------
    path
        The file; its index is written beside it when it is closed, as ``.npy``.
    """

    def __init__(self, path: Path) -> None:
        import pyarrow.parquet as pq

        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self.bytes = 0
        self._waiting: list[Row] = []
        self._mpp: list[float] = []
        self._hashes: list[str] = []
        self._schema = schema()
        small = [field.name for field in self._schema if field.name != "image"]
        self._writer = pq.ParquetWriter(
            path,
            self._schema,
            compression=dict.fromkeys(small, "zstd") | {_IMAGE: "none", "image.path": "zstd"},
            use_dictionary=["source", "slide", "label", "split"],
            write_statistics=False,
        )

    def __len__(self) -> int:
        return len(self._hashes)

    def add(self, row: Row) -> None:
        """Append a patch."""
        self._waiting.append(row)
        self._mpp.append(np.nan if row.mpp is None else row.mpp)
        self._hashes.append(row.sha256)
        self.bytes += len(row.image)
        if len(self._waiting) == ROWS_AT_ONCE:
            self._flush()

    def close(self) -> Shard:
        """Finish the file, read it back, and write its index."""
        self._flush()
        self._writer.close()
        places = locate_images(self.path)
        index = np.zeros(len(self), dtype=INDEX_DTYPE)
        index["offset"], index["length"], index["mpp"] = places[:, 0], places[:, 1], self._mpp
        np.save(self.path.with_suffix(".npy"), index, allow_pickle=False)
        size = self.path.stat().st_size
        return Shard(self.path.name, len(self), size, hash_strings(self._hashes))

    def abandon(self) -> None:
        """Close the file as it is: what is in it is not needed."""
        self._writer.close()

    def _flush(self) -> None:
        import pyarrow as pa

        if not self._waiting:
            return
        self._writer.write_table(
            pa.Table.from_pylist(list(map(_record, self._waiting)), self._schema)
        )
        self._waiting = []


def _record(row: Row) -> dict[str, Any]:
    suffix = suffix_of(row.image) or ""
    path = row.name if row.name.lower().endswith((".jpg", ".jpeg", ".png")) else row.name + suffix
    return vars(row) | {"image": {"bytes": row.image, "path": path}}


def locate_images(path: Path) -> np.ndarray:
    """Find where the images of a shard lie in it, (n, 2) offsets and lengths in bytes.

    Every image is read back by Parquet and compared with the bytes found, so the index is right
    or there is none.
    """
    import pyarrow.parquet as pq

    places = []
    with path.open("rb") as handle, mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ) as raw:
        file = pq.ParquetFile(path)
        for number in range(file.num_row_groups):
            position = _first_page(file.metadata.row_group(number))
            for image in _images(file, number):
                # Parquet writes a value's length, in four bytes, before the value.
                start = raw.find(len(image).to_bytes(4, "little") + image[:64], position) + 4
                position = start + len(image)
                if start < 4 or raw[start:position] != image:
                    raise RuntimeError(f"{path}: an image is not stored in one run of bytes")
                places.append((start, len(image)))
    return np.array(places, dtype=np.int64).reshape(-1, 2)


def _first_page(group: Any) -> int:
    columns = [group.column(number) for number in range(group.num_columns)]
    return next(int(c.data_page_offset) for c in columns if c.path_in_schema == _IMAGE)


def _images(file: Any, number: int) -> Iterator[bytes]:
    column = file.read_row_group(number, columns=[_IMAGE], use_threads=False).column(0)
    for image in column.combine_chunks().field(0):
        yield image.as_py()


def join_indices(parts: Sequence[Path], target: Path) -> None:
    """Write the indices of several shards as one file, without holding it in memory."""
    lengths = [len(np.load(part, mmap_mode="r", allow_pickle=False)) for part in parts]
    shape = (sum(lengths),)
    target.parent.mkdir(parents=True, exist_ok=True)
    joined = np.lib.format.open_memmap(target, mode="w+", dtype=INDEX_DTYPE, shape=shape)
    start = 0
    for part, length in zip(parts, lengths, strict=True):
        joined[start : start + length] = np.load(part, allow_pickle=False)
        start += length
    joined.flush()
