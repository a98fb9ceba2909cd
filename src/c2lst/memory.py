"""What to do where a device has too little memory: how it says so, and batches that shrink."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from typing import TypeVar

import torch

from c2lst.devices import VARIABLE
from c2lst.errors import InputError
from c2lst.progress import logger

OUT_OF_MEMORY = (
    "out of memory",
    "can't allocate memory",  # Linux and macOS
    "not enough memory",  # Windows
    "CUBLAS_STATUS_ALLOC_FAILED",
    # A convolution whose workspace does not fit says no more than that it found no way.
    "CUDNN_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_NOT_SUPPORTED",
    "unable to find an engine",
)

Found = TypeVar("Found")


def is_out_of_memory(error: Exception) -> bool:
    """Whether an error says that a device, or the CPU, has no more memory."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error) for text in OUT_OF_MEMORY)


def free_memory() -> None:
    """Give back what PyTorch holds for later."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    elif torch.backends.mps.is_available():
        torch.mps.empty_cache()


class FittingBatches:
    """Batches of work without a gradient, halved, for good, where memory is short.

    Parameters
    ----------
    size
        Most samples at a time.

    Attributes
    ----------
    size
        The same as it stands now.

    Raises
    ------
    InputError
        If the batches are to be of nothing.
    """

    def __init__(self, size: int) -> None:
        if size < 1:
            raise InputError("batch size", "is of nothing", found=size, expected="1 or more")
        self.size = size

    def over(self, count: int, work: Callable[[slice], Found]) -> Iterator[tuple[slice, Found]]:
        """Do ``work`` on the samples from 0 to ``count``, in order.

        What it gives for a sample must not depend on the others of the batch: it may be asked for
        the same samples again, in smaller batches.

        Yields
        ------
        chosen, found
            Which samples, and what ``work`` gave for them.

        Raises
        ------
        InputError
            If not even one sample fits in memory.
        """
        start = 0
        while start < count:
            chosen = slice(start, min(start + self.size, count))
            try:
                found = work(chosen)
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                self._halve(chosen.stop - chosen.start, error)
            else:
                yield chosen, found
                start = chosen.stop
                continue
            # Only now: as long as the error is there, so is what its frames hold.
            free_memory()

    def _halve(self, samples: int, error: Exception) -> None:
        if samples == 1:
            raise InputError(
                "device",
                "not enough memory for one image at a time",
                found=(str(error).splitlines() or [type(error).__name__])[0],
                remedy=f"close other programs, or compute on the CPU with {VARIABLE}=cpu",
            ) from error
        self.size = (samples + 1) // 2
        logger.info("not enough memory: going on with %d at a time", self.size)
