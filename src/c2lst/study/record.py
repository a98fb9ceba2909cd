"""``study.json``: what a study was asked for, what it has read, and how it ended."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from c2lst import __version__
from c2lst.errors import InputError
from c2lst.storage import is_litter, read_json, write_json
from c2lst.study.grid import StudySettings
from c2lst.workflow.rundir import describe_machine

FORMAT = 2
STUDY_JSON = "study.json"
_REQUIRED = ("format", "request", "sections", "cells", "failed")
_SHARED = {"sections", "splits"}
"""What shared work leaves: a folder of just that is a study whose record is yet to be written."""


def is_study(folder: Path) -> bool:
    """Say whether a folder holds a study."""
    return (folder / STUDY_JSON).is_file()


def read_record(folder: Path) -> dict[str, Any]:
    """Read ``study.json``.

    Raises
    ------
    InputError
        If it is missing, damaged or of another format.
    """
    record = read_json(folder / STUDY_JSON, required=("format",))
    if record["format"] != FORMAT:
        raise InputError(
            folder / STUDY_JSON,
            "unknown format",
            found=record["format"],
            expected=FORMAT,
            remedy="move the file away: the same command takes over what the splits share",
        )
    return read_json(folder / STUDY_JSON, required=_REQUIRED)


def write_record(folder: Path, record: Mapping[str, Any]) -> None:
    """Write ``study.json``."""
    write_json(folder / STUDY_JSON, record)


def open_record(folder: Path, command: str) -> dict[str, Any]:
    """Read the record of a folder's study, or begin one; the request is for the caller to fill in.

    A folder that holds ``sections`` and ``splits`` and nothing else is taken over.

    Raises
    ------
    InputError
        If the folder holds something else.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(folder, "is a file", expected="a folder for the study")
    if is_study(folder):
        record = read_record(folder)
        record["commands"] = list(dict.fromkeys([*record["commands"], command]))
        return record
    held = folder.iterdir() if folder.is_dir() else ()
    if {path.name for path in held if not is_litter(path)} - _SHARED:
        raise InputError(
            folder,
            "is not empty and holds no study",
            remedy="choose a new folder; nothing in this one was touched",
        )
    return {
        "format": FORMAT,
        "c2lst": __version__,
        "commands": [command],
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": describe_machine(),
        "request": {},
        "sections": {},
        "cells": {},
        "failed": {},
    }


def whole_grid(record: Mapping[str, Any], asked: StudySettings) -> StudySettings:
    """Return the grid that holds what was asked for before and what is asked for now."""
    before = record["request"].get("grid")
    return asked if before is None else StudySettings(**before).merged(asked)


def shared_seconds(folder: Path, record: Mapping[str, Any]) -> dict[str, float]:
    """Say how long the shared work of each split took, by ``section/split``.

    A record that was brought from elsewhere says so of splits whose own folder stayed there.
    """
    seconds = dict(record.get("seconds", {}))
    for path in sorted(folder.glob("splits/*/*/manifest.json")):
        stages = read_json(path, required=("stages",))["stages"].values()
        took = round(sum(stage["seconds"] for stage in stages), 2)
        seconds[f"{path.parent.parent.name}/{path.parent.name}"] = took
    return seconds
