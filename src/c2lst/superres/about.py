"""What the JSON of maps and models says of them, checked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from c2lst.errors import InputError

COPY_AGAIN = "copy it again, or make it again"


def read_um(about: dict[str, Any], key: str, where: Path) -> float:
    """Read a length in µm from JSON.

    Raises
    ------
    InputError
        If it is no number above zero.
    """
    value = about[key]
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise InputError(
            where, f"{key!r}", found=repr(value), expected="µm, above 0", remedy=COPY_AGAIN
        )
    return float(value)


def read_names(about: dict[str, Any], key: str, where: Path) -> tuple[str, ...]:
    """Read names from JSON.

    Raises
    ------
    InputError
        If they are no list of text.
    """
    value = about[key]
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise InputError(
            where, f"{key!r}", found=type(value).__name__, expected="names", remedy=COPY_AGAIN
        )
    return tuple(value)


def read_samples(about: dict[str, Any], where: Path) -> list[dict[str, str]]:
    """Read the samples of maps from JSON.

    Raises
    ------
    InputError
        If one has no name, patient or hash.
    """
    entries = about["samples"]
    keys = ("name", "patient", "sha256")
    if not isinstance(entries, list) or not all(
        isinstance(entry, dict) and all(isinstance(entry.get(key), str) for key in keys)
        for entry in entries
    ):
        raise InputError(
            where, "'samples'", expected=f"each with {', '.join(keys)}",
            remedy=COPY_AGAIN,
        )  # fmt: skip
    return entries
