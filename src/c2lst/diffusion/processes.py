"""The processes of a training: who they are, and the few things they tell one another.

Gradients are summed here, once per update and after the backward passes, rather than inside them
by DistributedDataParallel: a process that runs out of memory half-way through, or has no samples
in a small batch, then leaves no other waiting. What that gives up, overlapping the last backward
pass with the sum, is little next to an update of several micro-batches.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta

import numpy as np
import torch
from torch import Tensor

from c2lst.devices import best_device
from c2lst.errors import InputError

# What is watched may keep the others waiting for longer than the default of ten minutes.
PATIENCE = timedelta(hours=3)
BUCKET = 1 << 24


class Processes:
    """The processes that train together, as ``accelerate launch`` started them, and this one."""

    def __init__(self) -> None:
        from accelerate import PartialState

        best = best_device()
        several = int(os.environ.get("WORLD_SIZE", "1")) > 1
        state = PartialState(cpu=best.type == "cpu", **({"timeout": PATIENCE} if several else {}))
        # Of several, each has a GPU of its own.
        self.device: torch.device = state.device if several else best
        self.index, self.count = int(state.process_index), int(state.num_processes)
        if several and self.count == 1:
            # accelerate joins no processes on Apple's GPUs, nor without LOCAL_RANK: each would
            # take itself for the main one, and write over what the others write.
            raise InputError(
                "processes", "were started together but do not find one another",
                found=f"WORLD_SIZE={os.environ['WORLD_SIZE']} on {best.type}",
                remedy="unset WORLD_SIZE and use one; several need `accelerate launch` on CUDA, or "
                "C2LST_DEVICE=cpu",
            )  # fmt: skip

    @property
    def is_main(self) -> bool:
        """Whether this is the process that writes."""
        return self.index == 0

    def share(self, size: int) -> np.ndarray:
        """Return this process's positions among the ``size`` of an effective batch."""
        return np.arange(self.index, size, self.count)

    def sum(self, tensors: list[Tensor]) -> None:
        """Replace tensors of one type by their sums over the processes."""
        if self.count == 1:
            return
        for bucket in _buckets(tensors):
            flat = torch.cat([tensor.reshape(-1) for tensor in bucket])
            torch.distributed.all_reduce(flat)
            parts = zip(bucket, flat.split([t.numel() for t in bucket]), strict=True)
            torch._foreach_copy_(bucket, [part.view_as(tensor) for tensor, part in parts])

    def total(self, values: Iterable[float]) -> list[float]:
        """Return the sums over the processes of a few numbers."""
        # Apple's GPUs know no float64, and are never several.
        numbers = torch.tensor(list(values), dtype=torch.float64)
        if self.count == 1:
            return [float(value) for value in numbers]
        numbers = numbers.to(self.device)
        torch.distributed.all_reduce(numbers)
        return [float(value) for value in numbers.cpu()]

    def broadcast(self, tensors: Iterable[Tensor]) -> None:
        """Give every process the tensors of the main one."""
        if self.count > 1:
            for tensor in tensors:
                torch.distributed.broadcast(tensor.detach(), src=0)

    def main_first(self, call: Callable[[], int]) -> int:
        """Return what ``call`` returns on the main process; if it fails there, all stop."""
        answer, error = -1, None
        if self.is_main:
            try:
                answer = call()
            except Exception as raised:  # told to the others before it goes on
                error = raised
        failed, told = self.total([error is not None, answer if self.is_main else 0])
        if error is not None:
            raise error
        if failed:
            raise InputError("training", "the main process stopped; its message says why")
        return int(told)


def _buckets(tensors: list[Tensor]) -> Iterator[list[Tensor]]:
    """Group tensors so that few messages are sent and little memory is taken twice."""
    bucket: list[Tensor] = []
    numbers = 0
    for tensor in tensors:
        bucket.append(tensor)
        numbers += tensor.numel()
        if numbers >= BUCKET:
            yield bucket
            bucket, numbers = [], 0
    if bucket:
        yield bucket
