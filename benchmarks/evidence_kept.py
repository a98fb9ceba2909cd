"""Results of the evidence that outlast the machine that made them: packed, and gone on from.

A folder of kept results holds what a page is written from, and nothing else: the commands, what
each part has printed, the record of the study, and an archive of the finished cells of each split.
With it the page is written again in a minute, and what is missing is added on another machine.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from evidence_parts import PARTS

from c2lst.archives import read_members
from c2lst.storage import whole_file, write_json
from c2lst.study import StudySettings
from c2lst.study.record import (
    STUDY_JSON,
    is_study,
    read_record,
    shared_seconds,
    write_record,
)
from c2lst.study.results import finished_cells

COMMANDS = "commands.txt"
ARCHIVE = ".tar.xz"
_OF_A_MACHINE = ("tracebacks",)


def keep(output: Path, kept: Path) -> None:
    """Pack what is done in a folder of evidence.

    Parameters
    ----------
    output
        The folder of the evidence.
    kept
        Where to; the same results are written as the same bytes.
    """
    for name in _printed():
        if (output / name).is_file():
            _write(kept / name, (output / name).read_bytes())
    study = output / "study"
    if not is_study(study):
        return
    record = read_record(study)
    record["seconds"] = shared_seconds(study, record)
    write_json(kept / STUDY_JSON, _of_no_machine(record))
    by_split: dict[Path, list[Path]] = {}
    for cell in finished_cells(study):
        by_split.setdefault(cell.parents[1], []).append(cell)
    for split, cells in by_split.items():
        _write(kept / f"{split.parent.name}-{split.name}{ARCHIVE}", _packed(cells, study))


def take_up(kept: Path, output: Path, sections: Sequence[Path]) -> None:
    """Put kept results where they are missing in a folder of evidence.

    Parameters
    ----------
    kept
        Folder of kept results; nothing happens where there is none.
    output
        The folder of the evidence; what is there stays.
    sections
        Where the sections of the study are on this machine, as far as they are at hand.
    """
    commands = dict.fromkeys([*read_commands(kept), *read_commands(output)])
    if commands:
        _write(output / COMMANDS, "".join(f"{line}\n" for line in commands).encode())
    for name in _printed():
        if (kept / name).is_file() and not (output / name).is_file():
            _write(output / name, (kept / name).read_bytes())
    if not is_study(kept):
        return
    study = output / "study"
    for archive in sorted(kept.glob(f"*{ARCHIVE}")):
        for name, content in read_members(archive):
            if not (study / name).is_file():
                _write(study / name, content)
    record = _at_hand(read_record(kept), sections)
    write_record(study, _joined(record, read_record(study)) if is_study(study) else record)


def read_commands(folder: Path) -> list[str]:
    """Return the commands that made a folder of evidence, in order."""
    path = folder / COMMANDS
    return path.read_text(encoding="utf-8").splitlines() if path.is_file() else []


def _printed() -> list[str]:
    return [COMMANDS, *(f"{part.name}.md" for part in PARTS)]


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.is_file() or path.read_bytes() != content:
        with whole_file(path) as partial:
            partial.write_bytes(content)


def _packed(cells: Sequence[Path], study: Path) -> bytes:
    """Return an archive of cells that says nothing of when, where and by whom it was made."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:xz", preset=9) as archive:
        for path in sorted(path for cell in cells for path in cell.iterdir()):
            member = tarfile.TarInfo(path.relative_to(study).as_posix())
            member.size = path.stat().st_size
            with path.open("rb") as content:
                archive.addfile(member, content)
    return packed.getvalue()


def _of_no_machine(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the record of a study with the names of its sections in place of their folders."""
    names = {name: name for name in record["sections"].values()}
    request = record["request"] | {"sections": list(names)}
    left = {key: value for key, value in record.items() if key not in _OF_A_MACHINE}
    return left | {"sections": names, "request": request}


def _at_hand(record: Mapping[str, Any], sections: Sequence[Path]) -> dict[str, Any]:
    """Return a kept record with the folders of the sections on this machine."""
    folders = {path.name: str(path.expanduser().absolute()) for path in sections}
    known = {folders.get(name, name): name for name in record["sections"].values()}
    request = record["request"] | {"sections": list(known)}
    return {**record, "sections": known, "request": request}


def _joined(kept: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Return the record of a study that has the splits and cells of both."""
    first, second = (StudySettings(**of["request"]["grid"]) for of in (kept, own))
    sections = dict.fromkeys([*kept["request"]["sections"], *own["request"]["sections"]])
    grid = asdict(first.merged(second))
    request = {**own["request"], "grid": grid, "sections": list(sections)}
    cells = {
        split: _one_of_each_arm([*kept["cells"].get(split, ()), *own["cells"].get(split, ())])
        for split in {**kept["cells"], **own["cells"]}
    }
    joined = {name: {**kept.get(name, {}), **own.get(name, {})} for name in ("sections", "seconds")}
    commands = list(dict.fromkeys([*kept["commands"], *own["commands"]]))
    return {**own, **joined, "commands": commands, "request": request, "cells": cells}


def _one_of_each_arm(cells: Sequence[str]) -> list[str]:
    """Keep the last cell of each arm: of other settings, two of them never stand in one table."""
    return list({cell.rpartition("-")[0]: cell for cell in cells}.values())
