"""Randomness that depends on what is drawn for, not on who draws it or when."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor


def mix_seed(*parts: int) -> int:
    """Hash non-negative integers into one 63-bit seed, alike on every platform."""
    state = np.random.SeedSequence([int(part) for part in parts]).generate_state(1, np.uint64)
    return int(state[0] >> np.uint64(1))


Call = tuple[str, Any]
"""What is drawn: ``normal`` or ``uniform`` with a shape, ``integers`` with a bound."""


class Draws:
    """One independent random stream for each sample of a batch.

    Sample *i* of a batch has the stream of ``(seed, step, positions[i])``, so what it draws does
    not depend on the micro-batch, the process or the device that it landed in, and a run that is
    resumed at a step draws what the uninterrupted run drew.

    Parameters
    ----------
    seed, step
        Seed of the run and number of the optimiser step.
    positions
        Positions of the samples in the effective batch.
    device
        Where the tensors are returned; the drawing itself is on the CPU.
    foreseen
        What is drawn at once, to be at hand when it is asked for. Asking for anything else is no
        error: every stream then begins again, and the values are what they would have been.

    Attributes
    ----------
    calls
        What was asked for so far, in order: what the next batch will ask for, most likely.
    """

    def __init__(
        self,
        seed: int,
        step: int,
        positions: Iterable[int],
        device: torch.device | str = "cpu",
        foreseen: Sequence[Call] = (),
    ) -> None:
        self._seeds = [mix_seed(seed, step, position) for position in positions]
        self._step = (seed, step)
        self._device = device
        self.calls: tuple[Call, ...] = ()
        self._begin()
        self._ready = deque((call, self._draw(*call)) for call in foreseen)

    @property
    def step(self) -> int:
        """Number of the optimiser step."""
        return self._step[1]

    def of_step(self) -> float:
        """Draw a uniform value in [0, 1) that all samples of the step share, on every process."""
        return float(np.random.default_rng(self._step).random())

    def __len__(self) -> int:
        return len(self._seeds)

    def normal(self, shape: tuple[int, ...] = ()) -> Tensor:
        """Draw standard normal values of shape ``(B, *shape)``."""
        return self._take(("normal", shape))

    def uniform(self, shape: tuple[int, ...] = ()) -> Tensor:
        """Draw uniform values in [0, 1) of shape ``(B, *shape)``."""
        return self._take(("uniform", shape))

    def integers(self, high: int) -> Tensor:
        """Draw integers in [0, high) of shape ``(B,)``."""
        return self._take(("integers", high))

    def _begin(self) -> None:
        self._streams = [torch.Generator().manual_seed(seed) for seed in self._seeds]

    def _take(self, call: Call) -> Tensor:
        if self._ready and self._ready[0][0] == call:
            drawn = self._ready.popleft()[1]
        else:
            if self._ready:
                self._ready.clear()
                self._begin()
                for earlier in self.calls:
                    self._draw(*earlier)
            drawn = self._draw(*call)
        self.calls += (call,)
        return drawn.to(self._device)

    def _draw(self, kind: str, given: Any) -> Tensor:
        if kind == "integers":
            return torch.stack([torch.randint(given, (), generator=s) for s in self._streams])
        draw = torch.randn if kind == "normal" else torch.rand
        return torch.stack([draw(given, generator=s) for s in self._streams])


def seeded_normal(seeds: Iterable[int], shape: tuple[int, ...]) -> Tensor:
    """Draw one standard normal tensor of ``shape`` per seed: the starting noise of each image."""
    return torch.stack(
        [torch.randn(shape, generator=torch.Generator().manual_seed(int(s))) for s in seeds]
    )
