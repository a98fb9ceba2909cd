"""What the benchmarks against a peer share: talking to it, and the ratio with its interval."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np


class Peer:
    """A peer that works in its own Python while we wait, so that neither slows the other."""

    def __init__(self, python: Path, *options: str) -> None:
        script = Path(__file__).with_name("peer.py")
        self._process = subprocess.Popen(
            [python, script, *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.about = self._answer()

    def seconds(self, **task: Any) -> float:
        """Let it do a task; return the seconds that it says it took."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(task) + "\n")
        self._process.stdin.flush()
        return float(self._answer()["seconds"])

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit("the peer stopped: run benchmarks/peer.py by hand to see why")
        return json.loads(line)

    def close(self) -> None:
        """Let it go."""
        self._process.communicate()


def ratio(theirs: list[float], ours: list[float]) -> str:
    """Median of the paired ratios with its 95 % bootstrap interval over rounds."""
    ratios = np.array(theirs) / np.array(ours)
    rng = np.random.default_rng(0)
    medians = np.median(rng.choice(ratios, (2000, len(ratios))), axis=1)
    low, high = np.percentile(medians, [2.5, 97.5])
    return f"{np.median(ratios):.2f}× ({low:.2f} to {high:.2f})"
