"""Run a study: shared work once a split, then its cells; what is done is never done again."""

from __future__ import annotations

import dataclasses
import shutil
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from c2lst.errors import InputError
from c2lst.progress import logger, progress_bar
from c2lst.study.cells import carry_out
from c2lst.study.grid import Cell, SplitKey, StudySettings
from c2lst.study.record import open_record, write_record
from c2lst.study.shared import Study, prepare
from c2lst.study.workers import Failure, work_off

if TYPE_CHECKING:
    from collections.abc import Sequence

    from c2lst.settings import RunSettings


@dataclass(frozen=True)
class Outcome:
    """How a study ended.

    Parameters
    ----------
    root
        Its folder.
    cells
        How many cells it has.
    failed
        Cell to why it failed; giving the same command again tries these once more.
    """

    root: Path
    cells: int
    failed: dict[str, str]


def run_study(
    sources: Sequence[str | Path],
    output: str | Path,
    settings: RunSettings,
    grid: StudySettings,
    *,
    central: str | Path | None = None,
    jobs: int = 1,
    command: str = "c2lst.study",
) -> Outcome:
    """Compare ratios, controls and baselines over fractions, schemes and seeds of sections.

    Parameters
    ----------
    sources
        Sections, in any layout that :func:`c2lst.data.readers.read` knows.
    output
        Folder of the study. One that holds an unfinished study of the same request is continued,
        and ends with the same numbers.
    settings
        How each part is trained; its fraction, scheme and seed are those of the grid.
    grid
        What is compared.
    central
        A central model for all: its folder, or its id on the hub. Without it each split pretrains
        one on its section's tissue outside its test spots.
    jobs
        Processes, of one thread each; 1 works in this one.
    command
        How to repeat the study.

    Raises
    ------
    InputError
        If an input cannot be used, or the folder holds something else.
    """
    from c2lst.central.hub import model_folder
    from c2lst.study.page import write_study_page

    if not sources:
        raise InputError("study", "no section is given", expected="one or more")
    if jobs < 1:
        raise InputError("study", "jobs", found=jobs, expected="at least 1")
    folder = None if central is None else model_folder(central, "a central model").absolute()
    paths = list(dict.fromkeys(Path(source).expanduser().absolute() for source in sources))
    root = Path(output)
    request = {
        "sections": [str(path) for path in paths],
        "central": None if folder is None else str(folder),
        "grid": dataclasses.asdict(grid),
        "settings": dataclasses.asdict(settings),
    }
    record = open_record(root, request, command)
    if folder is None:
        logger.info("no central model is given: each split pretrains one outside its test spots")
    study = Study(root.absolute(), grid, settings, folder)
    splits = grid.splits(_read_sections(study, paths, record))
    failed = _work(study, splits, jobs)
    record["failed"] = {_name(cell): failure.message for cell, failure in failed.items()}
    record["tracebacks"] = {_name(c): f.details for c, f in failed.items() if f.details}
    write_record(root, record)
    cells = [cell for key in splits for cell in grid.cells(key)]
    if any(_is_done(study, cell) for cell in cells):
        write_study_page(root)
    return Outcome(root, len(cells), record["failed"])


def _read_sections(study: Study, paths: list[Path], record: dict[str, Any]) -> list[str]:
    """Read each section once, and return their names."""
    from c2lst.data.readers import read

    size = _size(study)
    with progress_bar("read", len(paths)) as bar:
        for path in paths:
            if str(path) not in record["sections"]:
                section = read(path, patch_um=study.settings.patch_um, size=size)
                if section.name in record["sections"].values():
                    raise InputError(
                        path,
                        "a section of this name is given twice",
                        found=section.name,
                        remedy="give each section once; rename one of two that are not the same",
                    )
                section.save(study.section_folder(section.name))
                record["sections"][str(path)] = section.name
                write_record(study.root, record)
            bar.advance(note=record["sections"][str(path)])
    return [record["sections"][str(path)] for path in paths]


def _size(study: Study) -> int:
    from c2lst.central import CentralModel

    if study.central is None:
        return study.settings.central.shape.size
    return CentralModel.load(study.central).size


def _work(study: Study, splits: list[SplitKey], jobs: int) -> dict[Cell, Failure]:
    """Do what is not done; return what failed."""
    todo = {key: [c for c in study.grid.cells(key) if not _is_done(study, c)] for key in splits}
    todo = {key: cells for key, cells in todo.items() if cells}
    count = sum(map(len, todo.values()))
    total = len(splits) * len(study.grid.arms())
    logger.info("%d splits, %d cells, of which %d are done", len(splits), total, total - count)
    tasks: list[SplitKey | Cell] = list(todo)
    failed: dict[Cell, Failure] = {}

    def next_tasks(task: SplitKey | Cell, failure: Failure | None) -> list[SplitKey | Cell]:
        return list(todo[task]) if isinstance(task, SplitKey) and failure is None else []

    with progress_bar("study", total, completed=total - count) as bar:
        for task, failure in work_off(tasks, partial(do, study), next_tasks, jobs):
            cells = [task] if isinstance(task, Cell) else todo[task]
            if failure is not None:
                failed |= dict.fromkeys(cells, failure)
                logger.warning("%s failed: %s", _label(task), failure.message)
            if isinstance(task, Cell) or failure is not None:
                bar.advance(len(cells), note=cells[0].arm.name)
    for key in splits:
        if all(_is_done(study, cell) for cell in study.grid.cells(key)):
            shutil.rmtree(study.split_folder(key) / ".work", ignore_errors=True)
    return failed


def do(study: Study, task: SplitKey | Cell) -> None:
    """Do one piece of work: what a split shares, or a cell."""
    if isinstance(task, SplitKey):
        prepare(study, task)
    else:
        carry_out(study, task)


def _is_done(study: Study, cell: Cell) -> bool:
    return study.cell_folder(cell).is_dir()


def _name(cell: Cell) -> str:
    return f"{cell.split.section}/{cell.split.name}/{cell.arm.name}"


def _label(task: SplitKey | Cell) -> str:
    return f"{task.section}/{task.name}" if isinstance(task, SplitKey) else _name(task)
