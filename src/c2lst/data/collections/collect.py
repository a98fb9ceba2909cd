"""From sources to a stored collection: checked, without copies, split by group."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from c2lst.data.collections.copies import known_in
from c2lst.data.collections.grouping import VALIDATION, Grouping
from c2lst.data.collections.prepare import Cut, Prepared, prepare
from c2lst.data.collections.selection import Selection
from c2lst.data.collections.sources import Source, SourcePatch, find_source
from c2lst.data.collections.store import COLLECTION_FILES
from c2lst.data.collections.writing import CollectionWriter
from c2lst.errors import InputError
from c2lst.progress import logger, progress_bar
from c2lst.storage import hash_file, readable_os_errors, refuse_foreign

_AT_ONCE = 256
_MOST_THREADS = 8
_SLIDE_PATCH_UM, _SLIDE_SIZE = 112.0, 224


@dataclass(frozen=True)
class CollectSettings:
    """How patches are collected.

    Parameters
    ----------
    size, patch_um
        Width in px and µm to bring each patch to; as it is found by default. Patches of slides
        are 224 px and 112 µm wide by default.
    mpp
        µm per px of the images that do not say it themselves.
    stride_um
        Step between patches of slides; their width by default.
    context
        Whether patches that only surround a labelled one are taken too.
    validation, seed
        Share of the groups to validate on, and which.
    copies
        Whether copies of a patch are dropped, or kept beside it and flagged.
    skip_unreadable
        Whether images that cannot be read are left out, instead of ending the work.
    licence
        Terms of the collection, where its sources do not state them.
    """

    size: int | None = None
    patch_um: float | None = None
    mpp: float | None = None
    stride_um: float | None = None
    context: bool = False
    validation: float = 0.1
    seed: int = 0
    copies: Literal["drop", "flag"] = "drop"
    skip_unreadable: bool = False
    licence: str | None = None


def collect(
    sources: Sequence[str | Path],
    output: str | Path,
    settings: CollectSettings | None = None,
    *,
    groups: str | Path | None = None,
    against: Sequence[str | Path] = (),
) -> dict[str, Any]:
    """Collect patches into Parquet shards that ``datasets`` and ``c2lst pretrain`` open.

    Work that was interrupted goes on where it stopped if the sources still give the same patches.

    Parameters
    ----------
    sources
        Folders, archives, slides, or ids; see ``find_source``.
    output
        Folder of the collection.
    settings
        How.
    groups
        CSV with the columns name and group: patches that must stay together in the split.
    against
        Stored collections or section folders; patches that are in them count as copies.

    Returns
    -------
    What ``collection.json`` says.

    Raises
    ------
    InputError
        If a source cannot be used, or ``output`` is no collection.
    """
    settings = CollectSettings() if settings is None else settings
    output = Path(output)
    refuse_foreign(output, COLLECTION_FILES)
    found = [
        find_source(
            str(where),
            mpp=settings.mpp,
            patch_um=_SLIDE_PATCH_UM if settings.patch_um is None else settings.patch_um,
            size=_SLIDE_SIZE if settings.size is None else settings.size,
            stride_um=settings.stride_um,
            context=settings.context,
        )
        for where in sources
    ]
    keep = settings.copies == "flag"
    others = dict(zip(_names(against), map(known_in, against), strict=True))
    grouping = Grouping(
        settings.validation, settings.seed, None if groups is None else Path(groups)
    )
    command = {
        "sources": [str(where) for where in sources],
        "settings": asdict(settings),
        "groups": None if groups is None else hash_file(groups),
        "against": {label: len(known) for label, known in others.items()},
    }
    writer = CollectionWriter(output.parent / f".{output.name}.work", command)
    try:
        try:
            _Run(found, writer, settings, Selection(grouping, others, keep)).finish()
        except _SourcesChangedError:
            logger.info("the sources give other patches than before: starting over")
            writer.start_over()
            grouping.forget()
            _Run(found, writer, settings, Selection(grouping, others, keep)).finish()
        return writer.finish(output, _about(writer, found, settings))
    finally:
        writer.abandon()


class _SourcesChangedError(Exception):
    """The sources do not begin with the patches that were read before."""


class _Run:
    """One run over the sources."""

    def __init__(
        self,
        sources: Sequence[Source],
        writer: CollectionWriter,
        settings: CollectSettings,
        selection: Selection,
    ) -> None:
        self.sources = dict(zip(_names([s.origin for s in sources]), sources, strict=True))
        self.writer, self.settings, self.selection = writer, settings, selection
        self.cut = Cut(settings.size, settings.patch_um, settings.mpp)
        selection.remember(writer.stored())

    def finish(self) -> None:
        """Read what was not read before."""
        counts = [source.count for source in self.sources.values()]
        total = None if None in counts else sum(count or 0 for count in counts)
        tally = self.writer.tally
        if tally.read:
            logger.info("continuing after %d patches", tally.read)
        with (
            readable_os_errors(self.writer.work),
            ThreadPoolExecutor(min(_MOST_THREADS, os.cpu_count() or 1)) as pool,
            progress_bar("collect", total, completed=tally.read) as bar,
        ):
            for batch in _batches(self._patches()):
                ready = []
                for (source, _), found in zip(batch, pool.map(self._prepare, batch), strict=True):
                    if isinstance(found, InputError):
                        tally.skipped.append((found.where, found.problem))
                    else:
                        ready.append((source, found))
                for row, width_px in self.selection.rows(ready, tally):
                    self.writer.add(row, width_px)
                bar.advance(len(batch))
                if self.writer.full:
                    self.writer.checkpoint()

    def _patches(self) -> Iterator[tuple[str, SourcePatch]]:
        """Give the patches that were not read before, with the names of their sources."""
        tally = self.writer.tally
        before, expected = tally.read, tally.names
        tally.read, names = 0, hashlib.sha256()
        for source_name, source in self.sources.items():
            for patch in source:
                names.update(f"{patch.name}\n".encode())
                tally.read, tally.names = tally.read + 1, names.hexdigest()
                if tally.read == before and tally.names != expected:
                    raise _SourcesChangedError
                if tally.read > before:
                    yield source_name, patch
        if tally.read < before:
            raise _SourcesChangedError

    def _prepare(self, given: tuple[str, SourcePatch]) -> Prepared | InputError:
        source, patch = given
        try:
            return prepare(patch, f"{self.sources[source].origin}/{patch.name}", self.cut)
        except InputError as error:
            if not self.settings.skip_unreadable:
                raise
            return error


def _names(places: Sequence[str | Path]) -> list[str]:
    """Name places without the paths of this machine, each differently."""
    plain = [str(p) if ":" in str(p) else Path(p).resolve().name for p in places]
    return [
        f"{name} ({plain[: number + 1].count(name)})" if plain.count(name) > 1 else name
        for number, name in enumerate(plain)
    ]


def _batches(items: Iterable[Any]) -> Iterator[list[Any]]:
    batch = []
    for item in items:
        batch.append(item)
        if len(batch) == _AT_ONCE:
            yield batch
            batch = []
    if batch:
        yield batch


def _about(
    writer: CollectionWriter, sources: Sequence[Source], settings: CollectSettings
) -> dict[str, Any]:
    """Say what was collected, for the manifest."""
    tally = writer.tally
    if not tally.sources:
        raise InputError(
            ", ".join(source.origin for source in sources), "no patch is left to store",
            found=f"{len(tally.skipped)} unreadable, {tally.exact + tally.near} copies, "
            f"{sum(tally.against.values())} in others",
            remedy="give other sources",
        )  # fmt: skip
    writer.checkpoint()
    groups, slides = set[str](), set[str]()
    for batch in writer.stored():
        groups.update(row["group"] for row in batch)
        slides.update(row["slide"] for row in batch if row["slide"] is not None)
    if settings.validation and not writer.closed[VALIDATION]:
        logger.warning(
            "none of the %d groups fell on the validation side: give another --seed or a larger "
            "--validation, if you want one", len(groups),
        )  # fmt: skip
    names = _names([source.origin for source in sources])
    licences = {name: source.licence for name, source in zip(names, sources, strict=True)}
    stated = sorted({terms for terms in licences.values() if terms})
    return {
        "licence": settings.licence or " and ".join(stated) or None,
        "sources": [
            {"source": name, "patches": number, "licence": licences.get(name)}
            for name, number in tally.sources.items()
        ],
        "groups": len(groups),
        "slides": len(slides),
        "classes": dict(sorted(tally.classes.items())),
        "copies": {
            "action": "dropped" if settings.copies == "drop" else "flagged",
            "exact": tally.exact,
            "near": tally.near,
            "against": dict(tally.against),
        },
        "skipped": tally.skipped,
        "settings": asdict(settings),
    }
