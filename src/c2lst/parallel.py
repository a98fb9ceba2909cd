"""How many threads to work with."""

from __future__ import annotations

import os

_MOST = 8


def available_threads() -> int:
    """Cores that this process may use, at most 8: beyond that, the disk is what is waited for."""
    affinity = getattr(os, "sched_getaffinity", None)
    count = len(affinity(0)) if affinity else os.cpu_count() or 1
    return min(_MOST, count)
