"""Working ahead: what the next batch needs is made ready while the current one is computed."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

import numpy as np

Fetched = TypeVar("Fetched")

Request = tuple[int, np.ndarray, np.ndarray]
"""A step, the indices of samples that it wants, and their positions in its batch."""


class ReadAhead(Generic[Fetched]):
    """Fetches what requests ask for on a thread of its own, one request ahead.

    An accelerator would wait while patches are read and decoded, and noise is drawn. What is
    fetched, and the order of the requests, are the same as without; memory holds two requests in
    place of one.

    Parameters
    ----------
    fetch
        Is called on that thread alone, by one request at a time.
    """

    def __init__(self, fetch: Callable[..., Fetched]) -> None:
        self._fetch = fetch
        # Its thread ends with it.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="read-ahead")
        self._ahead: tuple[Request, Future[Fetched]] | None = None

    def take(self, wanted: Request, following: Request | None) -> Fetched:
        """Return what is wanted, and begin to fetch what follows.

        Parameters
        ----------
        wanted
            What was said to follow, or anything else.
        following
            What will be wanted next, if that is known.
        """
        ahead, self._ahead = self._ahead, None
        if ahead is not None and _same(ahead[0], wanted):
            coming = ahead[1]
        else:
            coming = self._thread.submit(self._fetch, *wanted)
        if following is not None:
            self._ahead = following, self._thread.submit(self._fetch, *following)
        return coming.result()


def _same(one: Request, other: Request) -> bool:
    (step, *arrays), (other_step, *others) = one, other
    return step == other_step and all(map(np.array_equal, arrays, others))
