"""Where pieces of work are done: here, or in processes of one thread each."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import (
    FIRST_COMPLETED,
    Executor,
    Future,
    ProcessPoolExecutor,
    wait,
)
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any, TypeVar

from c2lst.errors import InputError
from c2lst.progress import logger, quietly

Task = TypeVar("Task")


@dataclass(frozen=True)
class Failure:
    """Why a piece of work failed: one line for people, and where it happened."""

    message: str
    details: str


def attempt(work: Callable[..., None], *arguments: Any) -> Failure | None:
    """Do a piece of work without bars of its own; a failure is an answer, not an end."""
    try:
        with quietly():
            work(*arguments)
    except InputError as error:
        return Failure(str(error), "")
    except Exception as error:  # whatever it is, the rest of the study goes on
        line = " ".join(str(error).split())
        return Failure(f"{type(error).__name__}: {line}", traceback.format_exc())
    return None


def work_off(
    tasks: Iterable[Task],
    work: Callable[[Task], None],
    followed_by: Callable[[Task, Failure | None], list[Task]],
    jobs: int,
) -> Iterator[tuple[Task, Failure | None]]:
    """Do tasks, ``jobs`` at a time, and after each what follows it; yield each when it ended.

    Parameters
    ----------
    tasks, work
        What to do and the function that does it, which a process can be sent.
    followed_by
        Task and failure (or None) to the tasks that may begin now; they go first.
    jobs
        Processes; 1 works in this one, with all its threads.

    Raises
    ------
    InputError
        If a process died.
    """
    waiting = deque(tasks)
    running: dict[Future[Failure | None], Task] = {}
    try:
        with _executor(jobs) as executor:
            while waiting or running:
                while waiting and len(running) < jobs:
                    task = waiting.popleft()
                    running[executor.submit(attempt, work, task)] = task
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    task = running.pop(future)
                    failure = future.result()
                    yield task, failure
                    waiting.extendleft(reversed(followed_by(task, failure)))
    except BrokenProcessPool as error:  # an answer tells of it, or the next task that is sent
        raise InputError(
            "study",
            "a process died; most often memory ran out",
            remedy="give the same command with fewer --jobs; finished cells are kept",
        ) from error


class _Here(Executor):
    """Works at once, in this process."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


@contextlib.contextmanager
def _executor(jobs: int) -> Iterator[Executor]:
    import multiprocessing

    if jobs == 1:
        yield _Here()
        return
    before = os.environ.get("OMP_NUM_THREADS")
    # Read by a process when it first multiplies matrices, which is before we could tell it.
    os.environ["OMP_NUM_THREADS"] = "1"
    # Not forked: neither threads nor an accelerator survive that.
    context = multiprocessing.get_context("spawn")
    executor = ProcessPoolExecutor(jobs, mp_context=context, initializer=_begin)
    try:
        yield executor
    finally:
        executor.shutdown(cancel_futures=True)
        if before is None:
            del os.environ["OMP_NUM_THREADS"]
        else:
            os.environ["OMP_NUM_THREADS"] = before


def _begin() -> None:
    """Prepare a process: one thread, silence, and no life after the one that started it."""
    import multiprocessing
    from multiprocessing.connection import wait as wait_for

    import torch

    torch.set_num_threads(1)
    logger.addHandler(logging.NullHandler())
    logger.propagate = False
    parent = multiprocessing.parent_process()
    assert parent is not None

    def follow() -> None:
        wait_for([parent.sentinel])
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
