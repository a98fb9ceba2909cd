"""``study.json``: what a study was asked for, what it has read, and how it ended."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from c2lst import __version__
from c2lst.errors import InputError
from c2lst.storage import read_json, write_json
from c2lst.workflow.rundir import describe_machine, differences

FORMAT = 1
STUDY_JSON = "study.json"
_REQUIRED = ("format", "request", "sections", "failed")


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
    record = read_json(folder / STUDY_JSON, required=_REQUIRED)
    if record["format"] != FORMAT:
        raise InputError(
            folder / STUDY_JSON, "unknown format", found=record["format"], expected=FORMAT
        )
    return record


def write_record(folder: Path, record: Mapping[str, Any]) -> None:
    """Write ``study.json``."""
    write_json(folder / STUDY_JSON, record)


def open_record(folder: Path, request: Mapping[str, Any], command: str) -> dict[str, Any]:
    """Continue the study of a folder, or begin one.

    Raises
    ------
    InputError
        If the folder holds a study of another request, or something else.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(folder, "is a file", expected="a folder for the study")
    record = read_record(folder) if is_study(folder) else {}
    # Before a section is read there is nothing to be kept: a first mistake costs no new folder.
    if record.get("sections"):
        for name, found, expected in differences(record["request"], request):
            raise InputError(
                folder,
                f"holds a study with another {name}",
                found=found,
                expected=expected,
                remedy="choose a new folder with -o, or give the same options to continue",
            )
        return record
    if not record and folder.is_dir() and any(folder.iterdir()):
        raise InputError(
            folder,
            "is not empty and holds no study",
            remedy="choose a new folder; nothing in this one was touched",
        )
    record = {
        "format": FORMAT,
        "c2lst": __version__,
        "command": command,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": describe_machine(),
        "request": dict(request),
        "sections": {},
        "failed": {},
    }
    write_record(folder, record)
    return record
