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
from c2lst.storage import one_writer
from c2lst.study.cells import carry_out
from c2lst.study.fits import weighed
from c2lst.study.grid import Cell, SplitKey, StudySettings
from c2lst.study.pace import Pace
from c2lst.study.record import open_record, whole_grid, write_record
from c2lst.study.sections import read_sections
from c2lst.study.shared import Study, check_shared, prepare
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
        How many cells were asked for.
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
        Folder of the study. A study that is there grows by what is asked for and not done yet,
        whatever was asked for before. What its splits share is kept as long as the settings that
        shaped it stay the same; with other settings of the predictor, cells are done again, and
        those of before are set aside.
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
        If an input cannot be used, or the folder holds something else, or work that other
        settings shaped.
    """
    from c2lst.study.page import write_study_page

    if not sources:
        raise InputError("study", "no section is given", expected="one or more")
    if jobs < 1:
        raise InputError("study", "jobs", found=jobs, expected="at least 1")
    paths = list(dict.fromkeys(Path(source).expanduser().absolute() for source in sources))
    asked = _with_networks(grid, settings)
    record = open_record(Path(output), command)
    study = _open(Path(output).absolute(), record, asked, settings, central)
    check_shared(study)
    with one_writer(study.root):
        names = read_sections(study, paths, record)
        splits = asked.splits(names)
        _note_request(study, record, paths)
        failed = _work(study, splits, jobs)
        cells = [cell for key in splits for cell in study.cells(key)]
        _note_failures(study, record, cells, failed)
        if any(study.is_done(cell) for cell in cells):
            write_study_page(study.root)
    return Outcome(Path(output), len(cells), {_name(c): f.message for c, f in failed.items()})


def _with_networks(grid: StudySettings, settings: RunSettings) -> StudySettings:
    """Fill in the network of the settings where none is named; refuse an unknown one early."""
    from c2lst.prediction.networks import ARCHITECTURES
    from c2lst.prediction.options import FROZEN, NETWORKLESS

    known = [*ARCHITECTURES, FROZEN]
    if grid.networks is None:
        own = settings.prediction.network
        grid = dataclasses.replace(grid, networks=() if own == NETWORKLESS else (own,))
    for name in grid.networks or ():
        if name not in known:
            raise InputError("study", "networks", found=name, expected=", ".join(known))
    return grid


def _open(
    root: Path,
    record: dict[str, Any],
    asked: StudySettings,
    settings: RunSettings,
    central: str | Path | None,
) -> Study:
    from c2lst.central import CentralModel
    from c2lst.central.hub import model_folder

    folder = content = None
    if central is None:
        logger.info("no central model is given: each split pretrains one outside its test spots")
    else:
        folder = model_folder(central, "a central model").absolute()
        content = CentralModel.load(folder).hash
    grid = whole_grid(record, asked)
    encoder = _encoder(grid, settings)
    return Study(root, grid, asked, settings, folder, content, encoder)


def _encoder(grid: StudySettings, settings: RunSettings) -> str:
    """Return the identity of the encoder of frozen networks, empty where there are none."""
    from c2lst.prediction.encoders import encoder_identity, refuse_unused
    from c2lst.prediction.options import FROZEN, CotrainingSettings

    name, networks = settings.prediction.encoder, grid.networks or ()
    if FROZEN in networks:
        return encoder_identity(name)
    if name != CotrainingSettings.encoder:
        refuse_unused(name, ", ".join(networks) or "none")
    return ""


def _note_request(study: Study, record: dict[str, Any], paths: Sequence[Path]) -> None:
    """Write down what is asked for in all, and which cells that makes with these settings."""
    before = record["request"].get("sections", [])
    record["request"] = {
        "sections": list(dict.fromkeys([*before, *map(str, paths)])),
        "central": None if study.central is None else study.central.name,
        "central_hash": study.central_hash,
        "grid": dataclasses.asdict(study.grid),
        "settings": dataclasses.asdict(study.settings),
    }
    keys = study.grid.splits(list(record["sections"].values()))
    folders = {key: [study.cell_folder(c) for c in study.grid.cells(key)] for key in keys}
    record["cells"] = {f"{k.section}/{k.name}": [f.name for f in folders[k]] for k in keys}
    shown = {folder for of_split in folders.values() for folder in of_split}
    aside = [c for c in study.root.glob("splits/*/*/cells/[!.]*") if c not in shown]
    if aside:
        logger.info("%d cells of other settings are kept, and stand in no table", len(aside))
    write_record(study.root, record)


def _note_failures(
    study: Study, record: dict[str, Any], cells: Sequence[Cell], failed: dict[Cell, Failure]
) -> None:
    """Write down what failed now; what failed before and was not tried stays as it was."""
    tried = {_name(cell) for cell in cells}
    for name in ("failed", "tracebacks"):
        record[name] = {k: v for k, v in record.get(name, {}).items() if k not in tried}
    record["failed"] |= {_name(cell): failure.message for cell, failure in failed.items()}
    record["tracebacks"] |= {_name(c): f.details for c, f in failed.items() if f.details}
    write_record(study.root, record)


def _work(study: Study, splits: list[SplitKey], jobs: int) -> dict[Cell, Failure]:
    """Do what is not done; return what failed."""
    todo = {key: [c for c in study.cells(key) if not study.is_done(c)] for key in splits}
    todo = {key: cells for key, cells in todo.items() if cells}
    count = sum(map(len, todo.values()))
    total = sum(len(study.cells(key)) for key in splits)
    logger.info("%d splits, %d cells, of which %d are done", len(splits), total, total - count)
    waiting: dict[SplitKey | Cell, None] = dict.fromkeys(todo)
    waiting |= dict.fromkeys(cell for cells in todo.values() for cell in cells)
    pace = Pace(study, jobs)
    failed: dict[Cell, Failure] = {}
    tasks: list[SplitKey | Cell] = list(todo)

    def next_tasks(task: SplitKey | Cell, failure: Failure | None) -> list[SplitKey | Cell]:
        if isinstance(task, SplitKey):
            cells = [] if failure else todo[task]
            return [cell for cell in cells if not before(cell)]
        freed = [cell for cell in todo[task.split] if task in before(cell)]
        return [cell for cell in freed if not any(c in waiting for c in before(cell))]

    def before(cell: Cell) -> list[Cell]:
        return [c for c in weighed(study, cell) if c in todo[cell.split]]

    with progress_bar("study", total, completed=total - count) as bar:
        for task, failure in work_off(tasks, partial(do, study), next_tasks, jobs):
            cells = [task] if isinstance(task, Cell) else todo[task]
            waiting.pop(task)
            if failure is not None:
                failed |= dict.fromkeys(cells, failure)
                waiting = {other: None for other in waiting if other not in failed}
                logger.warning("%s failed: %s", _label(task), failure.message)
            if isinstance(task, Cell) or failure is not None:
                bar.advance(len(cells), note=cells[0].arm.title)
            pace.note(task)
            pace.tell(list(waiting))
    for key in splits:
        if all(study.is_done(cell) for cell in study.cells(key)):
            shutil.rmtree(study.split_folder(key) / ".work", ignore_errors=True)
    return failed


def do(study: Study, task: SplitKey | Cell) -> None:
    """Do one piece of work: what a split shares, or a cell."""
    if isinstance(task, SplitKey):
        prepare(study, task)
    else:
        carry_out(study, task)


def _name(cell: Cell) -> str:
    return f"{cell.split.section}/{cell.split.name}/{cell.arm.title}"


def _label(task: SplitKey | Cell) -> str:
    return f"{task.section}/{task.name}" if isinstance(task, SplitKey) else _name(task)
