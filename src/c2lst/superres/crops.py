"""Cell crops of a window, in the order in which the network is shown them.

A crop of 16 px at 10 µm/px is what the paper's 320 px at 0.5 µm/px are after its resizing.
"""

from __future__ import annotations

import torch
from torch import Tensor

STAGES = ((0.025, 0.25), (0.05, 0.5))
"""The curriculum: up to this share of the training, only this share of the crops."""

BACKGROUND = 0.75
"""Mean brightness in [-1, 1] above which a crop is empty slide."""

_LEVELS = 64


def curriculum(progress: float) -> float:
    """Share of crops that are shown after ``progress`` of the training, both in [0, 1]."""
    return next((ratio for until, ratio in STAGES if progress < until), 1.0)


def cut_crops(images: Tensor, crop_px: int) -> Tensor:
    """Cut windows ``(B, 3, S, S)`` into crops ``(B, N, 3, crop_px, crop_px)``, row by row."""
    batch, channels, height, width = images.shape
    rows, columns = height // crop_px, width // crop_px
    grid = images.reshape(batch, channels, rows, crop_px, columns, crop_px)
    return grid.permute(0, 2, 4, 1, 3, 5).reshape(-1, rows * columns, channels, crop_px, crop_px)


def entropy(crops: Tensor) -> Tensor:
    """Shannon entropy in bits of the grey levels of crops ``(B, N, 3, p, p)``: ``(B, N)``."""
    batch, number = crops.shape[:2]
    grey = ((crops.float().mean(dim=2) + 1) / 2 * _LEVELS).long().clamp(0, _LEVELS - 1)
    grey = grey.reshape(batch * number, -1)
    counts = torch.zeros(batch * number, _LEVELS, device=crops.device)
    counts.scatter_add_(1, grey, torch.ones_like(grey, dtype=counts.dtype))
    share = counts / grey.shape[1]
    return -torch.special.xlogy(share, share).sum(dim=1).reshape(batch, number) / 0.6931471805599453


def cell_view(images: Tensor, crop_px: int, ratio: float = 1.0) -> Tensor:
    """Average the first ``ratio`` of the crops, sorted by ascending entropy.

    Crops of empty slide are left out, and the others taken again from the start to make up the
    number; where all are empty, all are taken. The network's convolution of crops is linear, so
    that the mean of crops gives the mean of their features.

    Parameters
    ----------
    images
        Windows in [-1, 1], ``(B, 3, S, S)``.

    Returns
    -------
    Tensor
        ``(B, 3, crop_px, crop_px)``.
    """
    crops = cut_crops(images, crop_px)
    number = crops.shape[1]
    shown = max(1, int(number * ratio))
    empty = crops.float().mean(dim=(2, 3, 4)) > BACKGROUND
    rank = torch.where(empty, 1e3, (entropy(crops) * 100).round())
    order = rank.argsort(dim=1, stable=True)
    full = (~empty).sum(dim=1, keepdim=True)
    full = torch.where(full == 0, number, full)
    place = torch.arange(shown, device=images.device)[None] % full
    chosen = order.gather(1, place)[:, :, None, None, None]
    return crops.gather(1, chosen.expand(-1, -1, *crops.shape[2:])).mean(dim=1)
