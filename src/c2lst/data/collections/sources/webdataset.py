"""WebDataset: tars in which files of one sample follow each other and share their name.

A sample is one image (``key.jpg``) with, where there are any, its fields (``key.json``) and its
class (``key.cls``); the key is the name up to the first point after the last ``/``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from c2lst.archives import archive_parts, is_archive, read_members
from c2lst.data.collections.sources.base import Source, SourceOptions, SourcePatch
from c2lst.data.collections.sources.fields import known_fields
from c2lst.data.collections.sources.folder import image_names
from c2lst.errors import InputError

TITLE = "WebDataset"
LOOKS_FOR = (
    "tars with key.jpg or key.png, named one by one or as 'shard-{000..007}.tar', 'shard-*.tar'"
)

_IMAGES = ("jpg", "jpeg", "png")
_READ = (*_IMAGES, "json", "cls", "txt")
_RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")
_MOST_SHARDS = 100_000


def recognise(where: str) -> str | None:
    """Say why ``where`` is a WebDataset; none if it is not."""
    path = Path(where)
    if path.is_dir():
        tars = _tars(path)
        # An archive beside the images that were extracted from it is not read again.
        if not tars or next(image_names(path), None) is not None:
            return None
        return f"it has {len(tars)} tars, the first {tars[0].name}"
    if path.is_file():
        return "it is a tar" if _is_tar(path) else None
    if _is_tar(path) and re.search(r"[*?{\[]", where):
        return "it is a pattern of tars"
    return None


def open_source(where: str, options: SourceOptions) -> Source:
    """Return the samples of all shards.

    Raises
    ------
    InputError
        If a shard is missing.
    """
    path = Path(where)
    return WebDataset(where, _tars(path) if path.is_dir() else _shards(where), options)


def _is_tar(path: Path) -> bool:
    return is_archive(path) and path.suffix.lower() != ".zip"


def _tars(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_file() and _is_tar(path))


def _shards(pattern: str) -> list[Path]:
    """Expand ``{000..007}``, then ``*`` and ``?``; every number of a range must be there."""
    if Path(pattern).is_file():
        return [Path(pattern)]
    found = _RANGE.search(pattern)
    if found is None:
        shards = sorted(Path(pattern).parent.glob(Path(pattern).name))
    else:
        first, last = int(found[1]), int(found[2])
        if last - first >= _MOST_SHARDS:
            raise InputError(pattern, "names too many shards", found=last - first + 1)
        numbers = (f"{number:0{len(found[1])}d}" for number in range(first, last + 1))
        shards = [Path(pattern[: found.start()] + n + pattern[found.end() :]) for n in numbers]
    if not shards:
        raise InputError(pattern, "matches no file", expected="the shards of a WebDataset")
    for shard in shards:
        archive_parts(shard)
    return shards


class WebDataset:
    """Samples of several shards, named ``shard/key``.

    Slide, group, class, µm/px and split are read from ``key.json``.

    Parameters
    ----------
    origin
        What the user called it.
    shards
        The tars, in order.
    options
        ``mpp`` holds for samples that do not say theirs.
    """

    licence = None
    count = None

    def __init__(self, origin: str, shards: list[Path], options: SourceOptions) -> None:
        self.origin = origin
        self.shards = shards
        self.mpp = options.mpp

    def __iter__(self) -> Iterator[SourcePatch]:
        """Give the samples, in the order of the shards."""
        images = 0
        for shard in self.shards:
            name = shard.name.partition(".tar")[0]
            for key, files in _samples(shard):
                if patch := self._patch(f"{name}/{key}", f"{shard}, sample {key!r}", files):
                    images += 1
                    yield patch
        if not images:
            raise InputError(
                self.origin, "holds no images", expected=", ".join(f"key.{s}" for s in _IMAGES)
            )

    def _patch(self, name: str, where: str, files: dict[str, bytes]) -> SourcePatch | None:
        found = [suffix for suffix in files if suffix.rpartition(".")[2] in _IMAGES]
        if len(found) > 1:
            raise InputError(
                where, "has several images", found=", ".join(found), expected="one a sample"
            )
        if not found:
            return None
        fields: dict[str, Any] = {"mpp": self.mpp}
        if "json" in files:
            fields.update(known_fields(_json(files["json"], where), where))
        label = files.get("cls", files.get("txt") if "label" not in fields else None)
        if label is not None:
            fields["label"] = label.decode("utf-8", "replace").strip() or None
        return SourcePatch(name=name, image=files[found[0]], **fields)


def _samples(shard: Path) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Give the key of each sample and its files by suffix."""
    current, files = "", dict[str, bytes]()
    done: set[str] = set()
    for member, content in read_members(shard, _is_read):
        folder, _, name = member.rpartition("/")
        stem, _, suffix = name.partition(".")
        key = f"{folder}/{stem}" if folder else stem
        if key != current:
            if files:
                yield current, files
            if key in done:
                raise InputError(
                    f"{shard}, sample {key!r}",
                    "its files do not follow each other",
                    remedy="write the shard sorted by name",
                )
            done.add(key)
            current, files = key, {}
        if suffix.lower() in files:
            raise InputError(f"{shard}, sample {key!r}", f"has two files .{suffix}")
        files[suffix.lower()] = content
    if files:
        yield current, files


def _is_read(member: str) -> bool:
    name = member.rpartition("/")[2]
    return not name.startswith(".") and name.lower().rpartition(".")[2] in _READ


def _json(content: bytes, where: str) -> dict[str, Any]:
    try:
        record = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise InputError(where, f".json is not readable ({error})") from error
    if not isinstance(record, dict):
        raise InputError(
            where, ".json is no record", found=type(record).__name__, expected="an object"
        )
    return record
