"""Progress bars with time left, and the log that the command line shows."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

logger = logging.getLogger("c2lst")


def console(*, every_process: bool = False) -> Console:
    """Return the console that progress and messages go to: standard error.

    Of several processes that train together the first speaks for all, unless ``every_process``.
    """
    from rich.console import Console

    first = os.environ.get("RANK", "0") == "0"
    return Console(stderr=True, quiet=not (first or every_process))


class Bar:
    """A running progress bar; ``advance`` moves it and may change what stands beside it."""

    def __init__(self, progress: object, task: object) -> None:
        self._progress = progress
        self._task = task

    def advance(self, amount: int = 1, note: str = "") -> None:
        """Move the bar by ``amount`` and show ``note`` beside it."""
        self._progress.update(self._task, advance=amount, note=note)  # type: ignore[attr-defined]


@contextmanager
def progress_bar(label: str, total: int | None, *, completed: int = 0) -> Iterator[Bar]:
    """Show a bar with elapsed time and time left while the block runs; ``total`` may be unknown.

    Nothing is drawn where standard error is no terminal; one line at the end says what was done.
    """
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description:>12}"),
        BarColumn(bar_width=28),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=console(), refresh_per_second=4) as progress:
        task = progress.add_task(label, total=total, completed=completed, note="")
        yield Bar(progress, task)
