"""Which patches belong together, and on which side of the validation split they fall."""

from __future__ import annotations

import csv
import hashlib
from pathlib import Path

from c2lst.data.collections.sources.base import SourcePatch
from c2lst.errors import InputError

TRAIN, VALIDATION = "train", "validation"

_STATED = {"train": TRAIN, "val": VALIDATION}
_NAME_COLUMNS = ("name", "file", "image", "path")


def side_of(group: str, validation: float, seed: int) -> str:
    """Return ``"train"`` or ``"validation"`` by the group's name, the seed and nothing else.

    So the patches that a collection gains later move no other, and ``validation`` is the share of
    groups in expectation.
    """
    drawn = hashlib.sha256(f"{seed}|{group}".encode()).digest()
    return VALIDATION if int.from_bytes(drawn[:8], "big") < validation * 2.0**64 else TRAIN


class Grouping:
    """Groups of patches, each on one side of the split.

    A patch belongs to the group that a file gives it, else the group its source gives it, else
    its slide, else to itself. The source's own split is kept; else the group's name decides.

    Parameters
    ----------
    validation
        Share of the groups to validate on, in [0, 1).
    seed
        Another seed, another choice.
    file
        CSV with a column ``name`` or ``file``, of patches or of slides without their suffix, and a
        column ``group``. A patch's own row goes before its slide's.
    """

    def __init__(self, validation: float = 0.1, seed: int = 0, file: Path | None = None) -> None:
        if not 0 <= validation < 1:
            raise InputError(
                "validation",
                "is no share",
                found=validation,
                expected="at least 0, below 1",
                remedy="correct --validation",
            )
        self.validation, self.seed, self.file = validation, seed, file
        self._given = None if file is None else read_groups(file)
        self._sides: dict[str, str] = {}

    def group_of(self, patch: SourcePatch) -> str | None:
        """Return the group of a patch; none for one that belongs to itself."""
        if self._given is None:
            return patch.group or patch.slide
        for name in (patch.name, patch.slide):
            if name in self._given:
                return self._given[name]
        of_slide = "" if patch.slide is None else f", of slide {patch.slide}"
        raise InputError(
            self.file or "groups", "names neither a patch nor its slide",
            found=f"{patch.name}{of_slide}", expected="one row for each patch or slide",
            remedy="add it, or leave the patch out",
        )  # fmt: skip

    def side(self, group: str | None, name: str, stated: str | None) -> str:
        """Return the side of a patch.

        Raises
        ------
        InputError
            If the source divides a group between its sides.
        """
        drawn = side_of(name if group is None else group, self.validation, self.seed)
        side = drawn if stated is None else _STATED[stated]
        if group is not None and self._sides.setdefault(group, side) != side:
            raise InputError(
                name, "its group is on both sides of the split", found=f"group {group!r} in {side}",
                expected=f"{self._sides[group]} as before",
                remedy="correct the split of the source, or the groups",
            )  # fmt: skip
        return side

    def remember(self, group: str, side: str) -> None:
        """Note the side of a group that was stored before."""
        self._sides[group] = side

    def forget(self) -> None:
        """Forget the sides of all groups."""
        self._sides.clear()


def read_groups(file: Path) -> dict[str, str]:
    """Read which group each patch belongs to.

    Raises
    ------
    InputError
        If the file is no such table, or names a patch twice.
    """
    try:
        with file.open(encoding="utf-8-sig", newline="") as handle:
            rows = list(csv.DictReader(handle))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(
            file, "is no readable table", expected="CSV with the columns name and group"
        ) from error
    columns = list(rows[0]) if rows else []
    name = next((column for column in _NAME_COLUMNS if column in columns), None)
    if name is None or "group" not in columns:
        raise InputError(
            file, "lacks a column", found=", ".join(map(str, columns)) or "an empty table",
            expected="name and group", remedy="name the columns in the first line",
        )  # fmt: skip
    groups: dict[str, str] = {}
    for number, row in enumerate(rows, start=2):
        patch, group = row[name], row["group"]
        if not patch or not group:
            raise InputError(file, f"line {number} has an empty field", expected="name and group")
        if groups.setdefault(patch, group) != group:
            raise InputError(
                file, f"line {number}: the patch is in two groups", found=patch,
                expected=groups[patch], remedy="keep one of the lines",
            )  # fmt: skip
    return groups
