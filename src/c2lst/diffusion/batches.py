"""The samples of a batch and their randomness, as they are made ready ahead of their use."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from c2lst.diffusion.draws import Call, Draws
from c2lst.diffusion.options import TrainSettings


class Source(Protocol):
    """Samples that can be fetched by index, in any order.

    A source that changes from step to step says by ``at(step)`` what it is in one of them. One
    whose samples differ by their place in the batch says by ``within(positions, size)`` what it is
    at some positions, ascending, of an effective batch of ``size``.
    """

    def __len__(self) -> int:
        """Return the number of samples."""

    def fetch(self, indices: np.ndarray) -> dict[str, Tensor]:
        """Return the samples at ``indices``; the first axis of each tensor is the sample."""


class Batches:
    """Fetches samples of a source, with a random stream for each.

    Parameters
    ----------
    source, settings
        Of the training.
    device
        Where the draws are returned.
    by_sample
        Whether a sample's stream is that of its index, in place of that of its position in the
        batch.

    Attributes
    ----------
    foreseen
        What the batch before asked its streams for: the next is given it before it asks.
    """

    def __init__(
        self,
        source: Source,
        settings: TrainSettings,
        device: torch.device,
        *,
        by_sample: bool = False,
    ) -> None:
        self._source, self._settings, self._device = source, settings, device
        self._by_sample = by_sample
        self.foreseen: tuple[Call, ...] = ()

    def fetch(
        self, step: int, indices: np.ndarray, positions: np.ndarray
    ) -> tuple[dict[str, Tensor], Draws]:
        """Return the samples at ``indices``, for some positions of a step's batch."""
        source, settings = self._source, self._settings
        if hasattr(source, "at"):
            source = source.at(step)
        if hasattr(source, "within"):
            source = source.within(positions, settings.batch_size)
        streams = indices if self._by_sample else positions
        draws = Draws(settings.seed, step, streams.tolist(), self._device, self.foreseen)
        return source.fetch(indices), draws
