"""Which of the patches that were read are stored, in which group and on which side."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from c2lst.data.collections.copies import (
    Fingerprint,
    KnownPatches,
    Member,
    Original,
    earlier_copies,
)
from c2lst.data.collections.duplicates import hash_grey
from c2lst.data.collections.grouping import Grouping
from c2lst.data.collections.prepare import Prepared
from c2lst.data.collections.shards import Row
from c2lst.data.collections.writing import Tally


class Selection:
    """Drops or flags copies, and gives each patch its group and side.

    A flagged copy that belongs to no slide or group of its own joins that of its original.

    Parameters
    ----------
    grouping
        Groups and split.
    others
        Patches of other collections, by their name.
    keep_copies
        Whether copies are flagged instead of dropped.
    """

    def __init__(
        self, grouping: Grouping, others: Mapping[str, KnownPatches], keep_copies: bool
    ) -> None:
        self.grouping, self.others, self.keep_copies = grouping, others, keep_copies
        self.known = KnownPatches()

    def remember(self, stored: Iterable[list[dict[str, Any]]]) -> None:
        """Take up patches that an interrupted run has stored, batch by batch."""
        for batch in stored:
            self.known.add(
                [Fingerprint(row["sha256"], row["phash"]) for row in batch],
                [Member(_full_name(r["source"], r["name"]), r["group"], r["split"]) for r in batch],
            )
            for row in batch:
                self.grouping.remember(row["group"], row["split"])

    def rows(self, patches: list[tuple[str, Prepared]], tally: Tally) -> list[tuple[Row, int]]:
        """Return the rows to store, with their widths in px.

        Parameters
        ----------
        patches
            Patches with the names of their sources.
        tally
            Where copies are counted.
        """
        prints = _fingerprints([patch for _, patch in patches])
        outside, before = self._in_others(prints, tally), self.known.originals(prints)
        rows, kept = [], dict[int, Member]()
        for number, earlier in enumerate(earlier_copies(prints)):
            within = [Original(kept[first], exact) for first, exact in earlier if first in kept]
            original = before[number] or next(iter(within), None)
            if original is not None and number not in outside:
                tally.exact += original.exact
                tally.near += not original.exact
            if self.keep_copies or (original is None and number not in outside):
                source, patch = patches[number]
                near = None if original is None else original.patch
                row = self._row(source, patch, prints[number], near, outside.get(number, near))
                kept[number] = Member(_full_name(source, row.name), row.group, row.split)
                rows.append((row, patch.width_px))
        self.known.add([prints[number] for number in kept], list(kept.values()))
        return rows

    def _in_others(self, prints: list[Fingerprint], tally: Tally) -> dict[int, Member]:
        """Find those that are copies of patches of other collections."""
        found = {}
        for label, other in self.others.items():
            for number, original in enumerate(other.originals(prints)):
                if original is not None:
                    found[number] = original.patch
                    tally.against[label] += 1
        return found

    def _row(
        self,
        source: str,
        prepared: Prepared,
        print_: Fingerprint,
        near: Member | None,
        copy_of: Member | None,
    ) -> Row:
        patch = prepared.patch
        group = self.grouping.group_of(patch)
        if group is None and near is not None:
            group, side = near.group, near.side
        else:
            side = self.grouping.side(group, patch.name, patch.split)
        return Row(
            image=prepared.encoded,
            name=patch.name,
            source=source,
            slide=patch.slide,
            group=_full_name(source, patch.name) if group is None else group,
            label=patch.label,
            mpp=prepared.mpp,
            split=side,
            sha256=print_.sha256,
            phash=print_.phash,
            copy_of=None if copy_of is None else copy_of.name,
        )


def _full_name(source: str, name: str) -> str:
    return f"{source}:{name}"


def _fingerprints(patches: list[Prepared]) -> list[Fingerprint]:
    if not patches:
        return []
    hashes, blank = hash_grey(np.stack([patch.grey for patch in patches]))
    return [
        Fingerprint(patch.sha256, None if empty else int(value))
        for patch, value, empty in zip(patches, hashes, blank, strict=True)
    ]
