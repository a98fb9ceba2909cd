"""Where the networks of a cell are trained: advice finds there what other arms have trained.

What is advised on a split is chosen between the largest ratio, its twin and no network. The first
two are arms themselves. Their checkpoints stay until advice has read them, so that it trains
nothing again, and its cell begins after theirs.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from c2lst.evaluation.expression.names import COTRAINED
from c2lst.evaluation.expression.names import TWIN as REAL_ONLY
from c2lst.study.grid import ADVISED, TWIN, Cell, ratio_name

if TYPE_CHECKING:
    from c2lst.study.shared import Study


def fit_folder(study: Study, cell: Cell) -> Path:
    """Return the folder of a cell's checkpoints."""
    scratch, arm = study.directory(cell.split).scratch("cells"), cell.arm
    advice = _advice(study, cell)
    if advice is None:
        return scratch / study.cell_folder(cell).name
    shared = scratch / study.cell_folder(advice).name
    return shared if arm.name == ADVISED else shared / _candidates(study)[arm.name]


def weighed(study: Study, advised: Cell) -> list[Cell]:
    """Return the cells whose networks an advised cell chooses between; none for another cell."""
    if advised.arm.name != ADVISED:
        return []
    return [c for c in study.cells(advised.split) if c != advised and _advice(study, c) == advised]


def clear(study: Study, cell: Cell) -> None:
    """Remove the checkpoints of a cell that is done, unless advice is still to read them."""
    advice = _advice(study, cell)
    if advice in (None, cell) or study.is_done(advice):
        shutil.rmtree(fit_folder(study, cell), ignore_errors=True)


def _candidates(study: Study) -> dict[str, str]:
    """Arm to the name that advice has for it."""
    return {ratio_name(study.grid.largest): COTRAINED, TWIN: REAL_ONLY}


def _advice(study: Study, cell: Cell) -> Cell | None:
    """Return the advised cell that reads what a cell trains, itself if it is one."""
    if cell.arm.name != ADVISED and cell.arm.name not in _candidates(study):
        return None
    for other in study.cells(cell.split):
        alike = other.arm.name == ADVISED and other.arm.network == cell.arm.network
        # Mini-batches mixed in each arm's ratio make another twin than that of advice.
        if alike and study.prediction_of(other) == study.prediction_of(cell):
            return other
    return None
