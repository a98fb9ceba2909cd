"""SPIDER: labelled H&E patches of one organ, each amid the patches around it.

An organ is a tar in parts (``spider-<organ>.tar.00``, …) of ``images/*.png`` and
``metadata.json``, read as it is, or the folder it was extracted to. Splits are by slide.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import IO

import numpy as np

from c2lst.archives import archive_parts, first_member, is_archive, open_member, read_members
from c2lst.data.collections.sources.base import Source, SourceOptions, SourcePatch
from c2lst.data.collections.sources.folder import image_bytes
from c2lst.data.collections.sources.spider_metadata import Entry, PatchIndex, read_entries
from c2lst.errors import InputError
from c2lst.progress import logger

TITLE = "SPIDER"
LOOKS_FOR = "spider-<organ>.tar.00, .01, … or their content, metadata.json and images/"
LICENCE = "CC BY-NC 4.0"
METADATA = "metadata.json"
IMAGES = "images"
NOMINAL_MPP = 0.5
"""µm/px of the published 20× patches."""


def recognise(where: str) -> str | None:
    """Say why ``where`` is SPIDER; none if it is not."""
    path = Path(where)
    if path.is_dir():
        if (path / METADATA).is_file() and (path / IMAGES).is_dir():
            return f"it has {METADATA} and {IMAGES}/"
        tars = _tars(path)
        return f"it has {', '.join(tars)}" if tars else None
    if path.name.startswith("spider-") and is_archive(path):
        return "it is an archive named spider-<organ>"
    if path.is_file() and is_archive(path):
        first = PurePosixPath(first_member(path) or "")
        if first.name == METADATA or first.parent.name == IMAGES:
            return f"its first file is {first}"
    return None


def open_source(where: str, options: SourceOptions) -> Source:
    """Return the patches of an organ.

    Raises
    ------
    InputError
        If a folder holds the archives of several organs, or a part is missing.
    """
    path = Path(where)
    tars = [] if not path.is_dir() or (path / METADATA).is_file() else _tars(path)
    if len(tars) > 1:
        raise InputError(
            path,
            "holds several organs",
            found=", ".join(tars),
            remedy=f"name one: {path / tars[0]}",
        )
    path = path / tars[0] if tars else path
    if not path.is_dir():
        archive_parts(path)
    return Spider(path, options)


def _tars(folder: Path) -> list[str]:
    """Names of the organs' archives, without the numbers of their parts."""
    found = {
        path.name.partition(".tar")[0] + ".tar"
        for path in folder.glob("spider-*.tar*")
        if is_archive(path)
    }
    return sorted(found)


class Spider:
    """The patches of one organ, named ``slide/image``.

    Parameters
    ----------
    path
        The extracted folder, or the archive as in ``archive_parts``.
    options
        ``context`` adds the patches around each labelled one; they have no class, and positions
        outside the slide are missing. ``mpp`` replaces the nominal 0.5 µm/px of 20×.
    """

    licence = LICENCE

    def __init__(self, path: Path, options: SourceOptions) -> None:
        self.path = path
        self.origin = str(path)
        self.context = options.context
        self.mpp = NOMINAL_MPP if options.mpp is None else options.mpp

    @property
    def count(self) -> int | None:
        """Number of labelled patches; not known before all is read if context is given too."""
        return None if self.context else len(self._index)

    def __iter__(self) -> Iterator[SourcePatch]:
        """Give the patches, in the order of the archive or of the metadata."""
        index = self._index
        seen = np.zeros(len(index), dtype=bool)
        images = self._from_folder(seen) if self.path.is_dir() else self._from_archive()
        for name, row, image in images:
            if seen[row]:
                raise InputError(self.origin, f"image {name!r} is there twice")
            seen[row] = True
            slide = index.slide(row)
            yield SourcePatch(
                name=f"{slide}/{name}",
                image=image,
                slide=slide,
                label=index.label(row),
                mpp=self.mpp,
                split=index.split(row),
            )
        self._report_missing(seen)

    def _from_archive(self) -> Iterator[tuple[str, int, bytes | InputError]]:
        def wanted(member: str) -> bool:
            return self._index.find(PurePosixPath(member).name) is not None

        for member, image in read_members(self.path, wanted):
            name = PurePosixPath(member).name
            row = self._index.find(name)
            if row is not None:
                yield name, row, image

    def _from_folder(self, seen: np.ndarray) -> Iterator[tuple[str, int, bytes | InputError]]:
        for entry in self._entries():
            for name in (entry.image, *(entry.context if self.context else ())):
                row = self._index.find(name)
                path = self.path / IMAGES / name
                # Neighbouring patches share their context.
                if row is not None and not seen[row] and path.is_file():
                    yield name, row, image_bytes(path)

    def _report_missing(self, seen: np.ndarray) -> None:
        gaps = int((~seen & ~self._index.central).sum())
        if gaps:
            logger.info("%s: %d context patches are listed but not there", self.origin, gaps)
        missing = int((~seen & self._index.central).sum())
        if missing:
            rows = ((entry.image, self._index.find(entry.image)) for entry in self._entries())
            first = next((name for name, row in rows if row is not None and not seen[row]), None)
            raise InputError(
                self.origin,
                f"{missing} of {int(self._index.central.sum())} images of {METADATA} are missing",
                found=f"no {IMAGES}/{first}",
                remedy="fetch the archive again, all its parts",
            )

    @cached_property
    def _index(self) -> PatchIndex:
        logger.info("%s: reading %s", self.origin, METADATA)
        return PatchIndex.of(self._entries(), self._metadata_name, self.context)

    @property
    def _metadata_name(self) -> str:
        return str(self.path / METADATA) if self.path.is_dir() else f"{self.path}, {METADATA}"

    def _entries(self) -> Iterator[Entry]:
        with self._open_metadata() as content:
            yield from read_entries(content, self._metadata_name)

    def _open_metadata(self) -> AbstractContextManager[IO[bytes]]:
        if self.path.is_dir():
            return (self.path / METADATA).open("rb")
        return open_member(self.path, METADATA)
