"""Where images come in and go out: uint8 (n, H, W, 3), as numpy arrays or torch tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from c2lst.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

Images = TypeVar("Images", np.ndarray, "Tensor")

# Enough to outweigh the calls, and little enough to stay in a cache through a dozen passes.
_PIXELS_AT_ONCE = 1 << 17


def checked(images: Images) -> Images:
    """Return ``images`` as array or tensor.

    Raises
    ------
    InputError
        If they are not uint8 of shape (n, H, W, 3).
    """
    import torch

    images = images if isinstance(images, torch.Tensor) else np.asarray(images)
    if images.dtype not in (np.uint8, torch.uint8) or images.ndim != 4 or images.shape[-1] != 3:
        raise InputError(
            "images",
            "cannot be stain-normalised",
            found=f"{images.dtype} of shape {tuple(images.shape)}",
            expected="uint8 of shape (n, S, S, 3)",
        )
    return images


def as_tensor(images: np.ndarray | Tensor) -> Tensor:
    """Return uint8 (n, H, W, 3) as a tensor that shares their memory where that is allowed."""
    import torch

    if isinstance(images, torch.Tensor):
        return images
    return torch.from_numpy(np.require(images, requirements=["C", "W"]))


def change_each(images: Images, change: Callable[[Tensor], Tensor]) -> Images:
    """Change images batch by batch; the result is of the same kind, shape and device.

    Parameters
    ----------
    images
        uint8 (n, H, W, 3).
    change
        From uint8 (b, H, W, 3) to whole numbers in 0..255 of shape (b, 3, H * W).
    """
    import torch

    images = checked(images)
    result = (
        torch.empty_like(images)
        if isinstance(images, torch.Tensor)
        else np.empty(images.shape, dtype=np.uint8)
    )
    for part in _slices(images.shape):
        # By way of 16 bits: from floats straight to 8 takes three times as long.
        levels = change(as_tensor(images[part])).to(torch.int16).to(torch.uint8)
        planes = levels.view(-1, 3, *images.shape[1:3])
        as_tensor(result[part]).copy_(torch.stack(planes.unbind(dim=1), dim=-1))
    return result


def batches(images: np.ndarray | Tensor) -> Iterator[Tensor]:
    """Uint8 (n, H, W, 3) in parts that are bounded in pixels."""
    for part in _slices(images.shape):
        yield as_tensor(images[part])


def _slices(shape: Sequence[int]) -> Iterator[slice]:
    pixels = shape[1] * shape[2]
    if pixels:
        step = max(1, _PIXELS_AT_ONCE // pixels)
        yield from (slice(start, start + step) for start in range(0, shape[0], step))


def look_up(images: Tensor, table: Tensor) -> Tensor:
    """Values of ``table`` (256,) for the levels of uint8 (b, H, W, 3), of shape (b, 3, H * W).

    Channel by channel, since products with 3 × 3 matrices are many times faster that way.
    """
    import torch

    levels = images.permute(0, 3, 1, 2).to(torch.int64, memory_format=torch.contiguous_format)
    return table.index_select(0, levels.view(-1)).view(len(images), 3, -1)
