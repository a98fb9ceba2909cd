"""What is known about a patch, under the names that data sets give it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from c2lst.errors import InputError

FIELDS: dict[str, tuple[str, ...]] = {
    "slide": ("slide", "slide_id", "slide_name"),
    "group": ("group", "patient", "patient_id", "case_id"),
    "label": ("label", "class", "class_name"),
    "mpp": ("mpp", "pixel_size"),
    "split": ("split",),
}
"""Field of a ``SourcePatch``: the keys or columns it is read from, the first that is there."""

_SPLITS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "val",
}


def known_fields(record: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return slide, group, label, mpp and split of a record, as far as it has them.

    Raises
    ------
    InputError
        If one of them is no plain value, or no µm/px, or no split.
    """
    known: dict[str, Any] = {}
    for field, keys in FIELDS.items():
        key = next((key for key in keys if record.get(key) is not None), None)
        if key is None:
            continue
        value = record[key]
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise InputError(where, f"{key!r} is no text or number", found=type(value).__name__)
        known[field] = str(value)
    if "mpp" in known:
        known["mpp"] = _micrometres(known["mpp"], where)
    if "split" in known:
        known["split"] = known_split(known["split"], where)
    return known


def known_split(name: str, where: str) -> str:
    """Return ``"train"``, or ``"val"`` for whatever is held out.

    Raises
    ------
    InputError
        If it is neither.
    """
    split = split_or_none(name)
    if split is None:
        raise InputError(where, "unknown split", found=repr(name), expected="train, val or test")
    return split


def split_or_none(name: str) -> str | None:
    """As ``known_split``; none for any other name."""
    return _SPLITS.get(name.strip().lower())


def _micrometres(value: str, where: str) -> float:
    try:
        mpp = float(value)
    except ValueError:
        mpp = math.nan
    if not (math.isfinite(mpp) and mpp > 0):
        raise InputError(where, "mpp is no width", found=value, expected="µm per px above 0")
    return mpp
