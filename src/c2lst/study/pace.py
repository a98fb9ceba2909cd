"""How long what is left of a study will take, from how long its like has taken."""

from __future__ import annotations

from collections.abc import Iterable
from statistics import fmean
from typing import TYPE_CHECKING

from c2lst.progress import logger
from c2lst.report.wording import duration
from c2lst.storage import read_json
from c2lst.study.cells import CELL_JSON
from c2lst.study.grid import NO_NETWORK, Cell, SplitKey
from c2lst.study.shared import stages_to_do

if TYPE_CHECKING:
    from c2lst.study.shared import Study

Task = SplitKey | Cell


class Pace:
    """Seconds that each kind of work took in this study, and what follows from them.

    Parameters
    ----------
    study
        Whose work is looked at, done and to be done.
    jobs
        Processes that work side by side.
    """

    def __init__(self, study: Study, jobs: int) -> None:
        self._study, self._jobs = study, jobs
        self._seconds: dict[str, list[float]] = {}
        self._told = False

    def note(self, task: Task) -> None:
        """Learn from a task that is done."""
        for kind, seconds in self._took(task).items():
            self._seconds.setdefault(kind, []).append(seconds)

    def left(self, tasks: Iterable[Task]) -> float | None:
        """Seconds that tasks will take; None as long as a kind of work among them is unknown."""
        means = {kind: fmean(values) for kind, values in self._seconds.items()}
        kinds = [kind for task in tasks for kind in self._kinds(task)]
        if not set(kinds) <= set(means):
            return None
        return sum(means[kind] for kind in kinds) / self._jobs

    def tell(self, tasks: list[Task]) -> None:
        """Say once how long is left, as soon as every kind of what is left has been seen."""
        seconds = None if self._told or not tasks else self.left(tasks)
        if seconds is not None:
            self._told = True
            logger.info("about %s left", duration(seconds))

    def _took(self, task: Task) -> dict[str, float]:
        if isinstance(task, Cell):
            path = self._study.cell_folder(task) / CELL_JSON
            return {_kind(task): read_json(path)["seconds"]} if path.is_file() else {}
        path = self._study.split_folder(task) / "manifest.json"
        stages = read_json(path)["stages"] if path.is_file() else {}
        return {name: stage["seconds"] for name, stage in stages.items()}

    def _kinds(self, task: Task) -> list[str]:
        if isinstance(task, Cell):
            return [_kind(task)]
        return stages_to_do(self._study, task, self._study.directory(task))


def _kind(cell: Cell) -> str:
    if cell.arm.is_baseline or cell.arm.name == NO_NETWORK:
        return cell.arm.name
    return cell.arm.network
