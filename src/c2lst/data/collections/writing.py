"""A collection that is being written: shards in a hidden folder, from which it can go on."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from c2lst import __version__
from c2lst.data.collections.card import card
from c2lst.data.collections.grouping import TRAIN, VALIDATION
from c2lst.data.collections.shards import Row, Shard, ShardWriter, join_indices
from c2lst.data.collections.store import COLLECTION_FILES, FORMAT, MANIFEST
from c2lst.errors import InputError
from c2lst.storage import hash_strings, read_json, whole_directory, write_json

SHARD_BYTES = 256 * 2**20
STATE = "state.json"

_SPLITS = (TRAIN, VALIDATION)
_IDENTITY = ["name", "source", "slide", "group", "label", "split", "sha256", "phash"]


@dataclass
class Tally:
    """What has been seen and written so far.

    Parameters
    ----------
    read, names
        Number of patches read from the sources, and the hash of their names.
    exact, near, against
        Copies of patches of the collection, by kind; of others, by where those are.
    skipped
        Name and reason of the patches that could not be read.
    sources, classes
        Number of patches stored, by source and by class.
    mpp, width_px, width_um
        Least and greatest of the patches stored; none once one of them is not known.
    """

    read: int = 0
    names: str = ""
    exact: int = 0
    near: int = 0
    against: Counter[str] = field(default_factory=Counter)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    sources: Counter[str] = field(default_factory=Counter)
    classes: Counter[str] = field(default_factory=Counter)
    mpp: tuple[float, float] | None = (float("inf"), 0.0)
    width_px: tuple[float, float] | None = (float("inf"), 0.0)
    width_um: tuple[float, float] | None = (float("inf"), 0.0)

    def add(self, row: Row, width_px: int) -> None:
        """Count a patch that is stored."""
        self.sources[row.source] += 1
        if row.label is not None:
            self.classes[row.label] += 1
        width_um = None if row.mpp is None else row.mpp * width_px
        self.mpp = _wider(self.mpp, row.mpp)
        self.width_px = _wider(self.width_px, width_px)
        self.width_um = _wider(self.width_um, width_um)

    @classmethod
    def from_dict(cls, value: dict[str, Any]) -> Tally:
        """Restore from JSON."""
        counters = {key: Counter(value[key]) for key in ("against", "sources", "classes")}
        ranges = {
            key: None if value[key] is None else tuple(value[key])
            for key in ("mpp", "width_px", "width_um")
        }
        skipped = [(name, reason) for name, reason in value["skipped"]]
        return cls(**(value | counters | ranges | {"skipped": skipped}))


def _wider(known: tuple[float, float] | None, value: float | None) -> tuple[float, float] | None:
    if known is None or value is None:
        return None
    return min(known[0], value), max(known[1], value)


def uniform(limits: tuple[float, float] | None, tolerance: float) -> float | None:
    """Return the one value, where least and greatest agree within a share of it."""
    if limits is None or limits[1] > limits[0] * (1 + tolerance):
        return None
    return limits[0]


class CollectionWriter:
    """Shards of both splits, closed together, so that what is closed can be gone on from.

    Parameters
    ----------
    work
        Hidden folder of the shards.
    command
        What is being collected and how. Shards of another command are removed.
    """

    def __init__(self, work: Path, command: dict[str, Any]) -> None:
        self.work, self.command = work, command
        self.closed: dict[str, list[Shard]] = {split: [] for split in _SPLITS}
        self._open: dict[str, ShardWriter] = {}
        self.tally = Tally()
        if not self._restore():
            self.start_over()

    def _restore(self) -> bool:
        try:
            state = read_json(self.work / STATE, required=("command", "tally", "shards"))
            if state["command"] != self.command:
                return False
            self.tally = Tally.from_dict(state["tally"])
            self.closed = {
                split: [Shard(**shard) for shard in state["shards"][split]] for split in _SPLITS
            }
        except (InputError, KeyError, TypeError, ValueError):
            return False
        files = {shard.file for shards in self.closed.values() for shard in shards}
        return all((self.work / file).is_file() for file in files)

    def start_over(self) -> None:
        """Forget what was written."""
        shutil.rmtree(self.work, ignore_errors=True)
        self.closed = {split: [] for split in _SPLITS}
        self.tally = Tally()

    def add(self, row: Row, width_px: int) -> None:
        """Append a patch to its split."""
        if row.split not in self._open:
            number = len(self.closed[row.split])
            self._open[row.split] = ShardWriter(self.work / f"{row.split}-{number:05d}.parquet")
        self._open[row.split].add(row)
        self.tally.add(row, width_px)

    @property
    def full(self) -> bool:
        """Whether a shard has reached its size."""
        return any(writer.bytes >= SHARD_BYTES for writer in self._open.values())

    def checkpoint(self) -> None:
        """Close the open shards and note how far the sources have been read."""
        for split, writer in self._open.items():
            self.closed[split].append(writer.close())
        self._open = {}
        shards = {split: [asdict(s) for s in shards] for split, shards in self.closed.items()}
        state = {"command": self.command, "tally": vars(self.tally), "shards": shards}
        write_json(self.work / STATE, state)

    def abandon(self) -> None:
        """Close files after an error; what was noted stays."""
        for writer in self._open.values():
            writer.abandon()

    def stored(self) -> Iterator[list[dict[str, Any]]]:
        """Give what identifies the patches of the closed shards, batch by batch."""
        import pyarrow.parquet as pq

        for split in _SPLITS:
            for shard in self.closed[split]:
                with pq.ParquetFile(self.work / shard.file) as file:
                    for batch in file.iter_batches(columns=_IDENTITY):
                        yield batch.to_pylist()

    def finish(self, output: Path, about: dict[str, Any]) -> dict[str, Any]:
        """Give the collection its name; returns its manifest."""
        self.checkpoint()
        splits = {split: shards for split, shards in self.closed.items() if shards}
        named = {split: _final_names(split, shards) for split, shards in splits.items()}
        hashes = [shard.content_hash for shards in splits.values() for shard in shards]
        manifest = {
            "format": FORMAT,
            "c2lst": __version__,
            "name": output.name,
            "patches": sum(self.tally.sources.values()),
            "size": uniform(self.tally.width_px, 0.0),
            "patch_um": uniform(self.tally.width_um, 0.01),
            "mpp": self.tally.mpp,
            **about,
            "content_hash": hash_strings(hashes),
            "splits": {
                split: {"patches": sum(s.rows for s in shards), "shards": list(map(asdict, shards))}
                for split, shards in named.items()
            },
        }
        with whole_directory(output, COLLECTION_FILES) as partial:
            write_json(partial / MANIFEST, manifest)
            (partial / "README.md").write_text(card(manifest), encoding="utf-8")
            for split, shards in splits.items():
                indices = [(self.work / shard.file).with_suffix(".npy") for shard in shards]
                join_indices(indices, partial / "index" / f"{split}.npy")
            (partial / "data").mkdir()
            for split, shards in splits.items():
                for shard, final in zip(shards, named[split], strict=True):
                    (self.work / shard.file).replace(partial / "data" / final.file)
        shutil.rmtree(self.work)
        return manifest


def _final_names(split: str, shards: list[Shard]) -> list[Shard]:
    total = len(shards)
    return [
        Shard(f"{split}-{number:05d}-of-{total:05d}.parquet", s.rows, s.bytes, s.content_hash)
        for number, s in enumerate(shards)
    ]
