"""Randomness that depends on what is drawn for, not on who draws it or when."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor


def mix_seed(*parts: int) -> int:
    """Hash non-negative integers into one 63-bit seed, alike on every platform."""
    state = np.random.SeedSequence([int(part) for part in parts]).generate_state(1, np.uint64)
    return int(state[0] >> np.uint64(1))


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
    """

    def __init__(
        self, seed: int, step: int, positions: Iterable[int], device: torch.device | str = "cpu"
    ) -> None:
        self._streams = [
            torch.Generator().manual_seed(mix_seed(seed, step, position)) for position in positions
        ]
        self._step = (seed, step)
        self._device = device

    @property
    def step(self) -> int:
        """Number of the optimiser step."""
        return self._step[1]

    def of_step(self) -> float:
        """Draw a uniform value in [0, 1) that all samples of the step share, on every process."""
        return float(np.random.default_rng(self._step).random())

    def __len__(self) -> int:
        return len(self._streams)

    def normal(self, shape: tuple[int, ...] = ()) -> Tensor:
        """Draw standard normal values of shape ``(B, *shape)``."""
        return torch.stack([torch.randn(shape, generator=s) for s in self._streams]).to(
            self._device
        )

    def uniform(self, shape: tuple[int, ...] = ()) -> Tensor:
        """Draw uniform values in [0, 1) of shape ``(B, *shape)``."""
        return torch.stack([torch.rand(shape, generator=s) for s in self._streams]).to(self._device)

    def integers(self, high: int) -> Tensor:
        """Draw integers in [0, high) of shape ``(B,)``."""
        return torch.stack([torch.randint(high, (), generator=s) for s in self._streams]).to(
            self._device
        )


def seeded_normal(seeds: Iterable[int], shape: tuple[int, ...]) -> Tensor:
    """Draw one standard normal tensor of ``shape`` per seed: the starting noise of each image."""
    return torch.stack(
        [torch.randn(shape, generator=torch.Generator().manual_seed(int(s))) for s in seeds]
    )
