"""SPIDER's ``metadata.json``: checked key by key, kept as a few bytes for each patch."""

from __future__ import annotations

import hashlib
import re
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

import numpy as np

from c2lst.data.collections.sources.fields import known_split
from c2lst.data.collections.sources.json_list import json_objects
from c2lst.errors import InputError
from c2lst.progress import logger

REQUIRED = ("slide_id", "image_name", "class", "split")
_AGAIN = "correct the entry, or fetch the archive again"
CONTEXT = "context_info"

_PLACE = re.compile(r"-?\d{1,2}_-?\d{1,2}")
_NO_FILE_NAME = re.compile(r"[/\\\x00-\x1f\ud800-\udfff]")
_NO_LABEL = -1


@dataclass(frozen=True)
class Entry:
    """One labelled patch of the metadata and the names of the patches around it."""

    slide: str
    image: str
    label: str
    split: str
    context: tuple[str, ...]


def read_entries(content: IO[bytes], where: str) -> Iterator[Entry]:
    """Give the entries in order.

    Raises
    ------
    InputError
        If a key is missing or a value is not of its kind; the message names entry and key.
    """
    for number, record in enumerate(json_objects(content, where)):
        entry = f"{where}, entry {number}"
        missing = [key for key in REQUIRED if key not in record]
        if missing:
            raise InputError(
                entry,
                f"key {missing[0]!r} is missing",
                found=", ".join(sorted(record)) or "no key",
                expected=", ".join((*REQUIRED, CONTEXT)),
                remedy=_AGAIN,
            )
        if number == 0 and (unknown := sorted(set(record) - {*REQUIRED, CONTEXT})):
            logger.warning("%s: keys that are not read: %s", where, ", ".join(unknown))
        yield Entry(
            slide=_text(record, "slide_id", entry),
            image=_file_name(record["image_name"], "image_name", entry),
            label=_text(record, "class", entry),
            split=known_split(_text(record, "split", entry), entry),
            context=_context(record.get(CONTEXT), entry),
        )


def _text(record: dict[str, Any], key: str, entry: str) -> str:
    value = record[key]
    if isinstance(value, bool) or not isinstance(value, str | int) or not str(value).strip():
        raise InputError(
            entry, f"{key!r} is no name", found=repr(value)[:80], expected="text", remedy=_AGAIN
        )
    return str(value)


def _file_name(value: object, key: str, entry: str) -> str:
    name = value.removeprefix("images/") if isinstance(value, str) else ""
    if not name or name in (".", "..") or _NO_FILE_NAME.search(name):
        raise InputError(
            entry,
            f"{key!r} is no file name",
            found=repr(value)[:80],
            expected="such as 'x.png'",
            remedy=_AGAIN,
        )
    return name


def _context(value: object, entry: str) -> tuple[str, ...]:
    """Names of the context patches; positions beyond the slide are absent or empty."""
    if value is None:
        return ()
    if not isinstance(value, dict):
        raise InputError(
            entry, f"{CONTEXT!r} is no object", found=type(value).__name__,
            expected="{'0_0': 'x.png', …}", remedy=_AGAIN,
        )  # fmt: skip
    names = []
    for place, name in value.items():
        if _PLACE.fullmatch(place) is None:
            raise InputError(
                entry,
                f"{CONTEXT!r} has no such place",
                found=repr(place)[:80],
                expected="'0_0'",
                remedy=_AGAIN,
            )
        if name:
            names.append(_file_name(name, CONTEXT, entry))
    return tuple(names)


class PatchIndex:
    """Slide, class and split of every image name, found by the name's hash.

    The largest organ has 2.7 million images: 17 bytes each, where a dictionary would take 200.

    Parameters
    ----------
    keys
        uint64 (n,), hashes of the names, ascending.
    slides, labels
        int32 (n,), positions in ``slide_names`` and ``label_names``; -1 is no label.
    slide_names, slide_splits, label_names
        What the positions stand for.
    """

    def __init__(
        self,
        keys: np.ndarray,
        slides: np.ndarray,
        labels: np.ndarray,
        slide_names: list[str],
        slide_splits: list[str],
        label_names: list[str],
    ) -> None:
        self._keys = keys
        self._slides = slides
        self._labels = labels
        self._slide_names = slide_names
        self._slide_splits = slide_splits
        self._label_names = label_names
        self.central = labels != _NO_LABEL
        """bool (n,): whether the patch is a labelled one, not context alone."""

    @classmethod
    def of(cls, entries: Iterator[Entry], where: str, context: bool) -> PatchIndex:
        """Read all entries.

        Raises
        ------
        InputError
            If there is none, an image is listed twice or for two slides, or a slide is in two
            splits.
        """
        slide_numbers: dict[str, int] = {}
        slide_splits: list[str] = []
        label_numbers: dict[str, int] = {}
        keys, slides, labels = array("Q"), array("i"), array("i")
        for entry in entries:
            slide = slide_numbers.setdefault(entry.slide, len(slide_numbers))
            if slide == len(slide_splits):
                slide_splits.append(entry.split)
            if slide_splits[slide] != entry.split:
                raise InputError(
                    where,
                    f"slide {entry.slide!r} is in two splits",
                    found=f"{entry.image} in {entry.split!r}",
                    expected=f"{slide_splits[slide]!r} as its other patches",
                    remedy="give every patch of a slide the same split",
                )
            keys.append(_key(entry.image))
            slides.append(slide)
            labels.append(label_numbers.setdefault(entry.label, len(label_numbers)))
            for name in entry.context if context else ():
                keys.append(_key(name))
                slides.append(slide)
                labels.append(_NO_LABEL)
        if not keys:
            raise InputError(where, "lists no image", remedy=_AGAIN)
        columns = _merged(np.array(keys), np.array(slides), np.array(labels), where)
        return cls(*columns, list(slide_numbers), slide_splits, list(label_numbers))

    def __len__(self) -> int:
        return len(self._keys)

    def find(self, name: str) -> int | None:
        """Row of an image name; none if it is not listed."""
        key = np.uint64(_key(name))
        row = int(np.searchsorted(self._keys, key))
        return row if row < len(self._keys) and self._keys[row] == key else None

    def slide(self, row: int) -> str:
        """Slide of a row."""
        return self._slide_names[self._slides[row]]

    def split(self, row: int) -> str:
        """Split of a row's slide."""
        return self._slide_splits[self._slides[row]]

    def label(self, row: int) -> str | None:
        """Class of a row; none for context."""
        return self._label_names[self._labels[row]] if self.central[row] else None


def _merged(
    keys: np.ndarray, slides: np.ndarray, labels: np.ndarray, where: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Keep one row for each image: context of several patches, or one labelled and context too."""
    order = np.lexsort((-labels, keys))  # a labelled row comes first
    keys, slides, labels = keys[order].astype(np.uint64), slides[order], labels[order]
    again = np.flatnonzero(keys[1:] == keys[:-1]) + 1
    if (labels[again] != _NO_LABEL).any():
        raise InputError(where, "lists an image twice as a labelled patch", remedy=_AGAIN)
    if (slides[again] != slides[again - 1]).any():
        raise InputError(where, "lists an image for two slides", remedy=_AGAIN)
    first = np.ones(len(keys), dtype=bool)
    first[again] = False
    return keys[first], slides[first], labels[first]


def _key(name: str) -> int:
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "little")
