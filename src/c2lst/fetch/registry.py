"""What can be fetched: a JSON file, and names such as ``her2st`` and ``her2st/C2``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from c2lst.errors import InputError
from c2lst.storage import read_json

REGISTRY = Path(__file__).with_name("registry.json")

_SAMPLE = re.compile(r"[A-Za-z]+[0-9]+")


@dataclass(frozen=True)
class DataSet:
    """One data set and where it lives.

    Parameters
    ----------
    name
        What `c2lst fetch` calls it.
    what, about, home, licence, cite
        For people: content, size, page, terms, publication.
    parts
        Names of its sections or organs; none where there are too many to list.
    web, hub
        Where its files are: at addresses, or in a repository of the Hugging Face hub.
    """

    name: str
    what: str
    about: str
    home: str
    licence: str
    cite: str
    parts: tuple[str, ...] | None
    web: Mapping[str, Any] | None = None
    hub: Mapping[str, Any] | None = None

    def chosen(self, part: str | None) -> tuple[str, ...]:
        """Return the part of that name, or all parts for none.

        Raises
        ------
        InputError
            If there is no such part, or one must be chosen.
        """
        name = self.name if part is None else f"{self.name}/{part}"
        if self.parts is None:
            if part is None or not _SAMPLE.fullmatch(part):
                raise InputError(
                    name, "names no sample", expected=f"such as {self.name}/TENX95",
                    remedy=f"find one on {self.home}",
                )  # fmt: skip
            return (part,)
        if part is None and self.hub is None:
            return self.parts
        if part not in self.parts:
            raise InputError(
                name, "names no part of the data set",
                expected=f"{self.name}/ and one of {', '.join(self.parts)}",
            )  # fmt: skip
        return (part,)


def load_registry() -> dict[str, DataSet]:
    """Read all data sets."""
    entries = read_json(REGISTRY)
    return {
        name: DataSet(name, **{**entry, "parts": entry["parts"] and tuple(entry["parts"])})
        for name, entry in entries.items()
    }


def find_data_set(name: str) -> tuple[DataSet, tuple[str, ...]]:
    """Return the data set and the parts that ``name`` stands for.

    Raises
    ------
    InputError
        If there is none; the message lists what there is.
    """
    first, _, part = name.partition("/")
    known = load_registry()
    if first not in known:
        raise InputError(
            name, "is nothing that can be fetched", expected=f"one of {', '.join(known)}",
            remedy="c2lst fetch --list says more",
        )  # fmt: skip
    return known[first], known[first].chosen(part or None)
