"""What an image encoder is, and how images go through one."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

import numpy as np

from c2lst.errors import InputError
from c2lst.progress import progress_bar

if TYPE_CHECKING:
    from torch import Tensor

BATCH = 64


class ImageEncoder(Protocol):
    """Turns patches into feature vectors.

    Attributes
    ----------
    name
        Under which the registry knows it.
    label
        What the features are, for tables and cards: a distance is only comparable with another
        of the same label.
    """

    name: str
    label: str

    def encode(self, images: np.ndarray) -> np.ndarray:
        """Return float32 features ``(n, d)`` of uint8 RGB patches ``(n, S, S, 3)``."""


class IdentifiedEncoder(ImageEncoder, Protocol):
    """An encoder whose features may be kept.

    Attributes
    ----------
    identity
        Changes with whatever changes a feature: weights, input size, scaling, pooling.
    """

    identity: str


def in_batches(images: np.ndarray, encode: Callable[[Tensor], Tensor], label: str) -> np.ndarray:
    """Apply ``encode`` to float pixels ``(B, 3, S, S)`` in [0, 255], a batch at a time.

    Raises
    ------
    InputError
        If the images are no uint8 patches, there is none, or not one fits in memory.
    """
    import torch

    from c2lst.memory import FittingBatches

    check_patches(images)

    def encoded(chosen: slice) -> np.ndarray:
        pixels = torch.from_numpy(np.asarray(images[chosen]))
        features: np.ndarray = encode(pixels.permute(0, 3, 1, 2).float()).cpu().float().numpy()
        return features

    rows = []
    with torch.no_grad(), progress_bar(label, len(images)) as bar:
        for _, features in FittingBatches(BATCH).over(len(images), encoded):
            rows.append(features)
            bar.advance(len(features))
    return np.concatenate(rows).astype(np.float32)


def check_patches(images: np.ndarray) -> None:
    """Refuse what is no uint8 ``(n, S, S, 3)``: pixels in [0, 1] would be taken for black.

    Raises
    ------
    InputError
        If the images are no patches, or there is none.
    """
    shape, dtype = tuple(images.shape), np.dtype(images.dtype)
    if len(shape) != 4 or shape[3] != 3 or not shape[0] or dtype != np.uint8:
        raise InputError(
            "patches",
            "cannot be encoded",
            found=f"{dtype} of shape {shape}",
            expected="uint8 of shape (n ≥ 1, S, S, 3)",
        )
