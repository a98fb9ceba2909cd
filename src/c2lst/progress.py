"""Progress bars with time left, and the log that the command line shows."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

logger = logging.getLogger("c2lst")
BRIEF = 1.0
_silent = False


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
    A bar that was there for less than a second leaves no line behind.
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
    with Progress(*columns, console=console(), refresh_per_second=4, disable=_silent) as progress:
        task = progress.add_task(label, total=total, completed=completed, note="")
        started = time.monotonic()
        yield Bar(progress, task)
        progress.live.transient = time.monotonic() - started < BRIEF


@contextmanager
def quietly() -> Iterator[None]:
    """Draw no bars and show no messages while the block runs: a bar around it speaks for it.

    Handlers that are added inside, to keep messages, get them as ever.
    """
    global _silent
    before, levels = _silent, [(handler, handler.level) for handler in logger.handlers]
    _silent = True
    for handler, _ in levels:
        handler.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        _silent = before
        for handler, level in levels:
            handler.setLevel(level)
