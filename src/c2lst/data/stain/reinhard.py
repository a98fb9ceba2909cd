"""Colour transfer (Reinhard et al., 2001): mean and spread of tissue in CIELAB, patch by patch.

Unmixing stains needs a slide: two stains of its own, and an empty background that is white.
Patches of a public collection come from hundreds of slides of different tints, one patch a time.
Matching the mean and spread of the tissue's colour needs no more than the patch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from c2lst.data.stain.batches import look_up
from c2lst.data.stain.conversion import (
    TISSUE_SCORE,
    density_table,
    lab_of_linear,
    linear_table,
    srgb_of_lab,
    staining,
)

if TYPE_CHECKING:
    from torch import Tensor

_LEAST_SHARE = 0.05
# A patch of one colour would have its noise blown up into tissue.
_LARGEST_RATIO = 2.0


def lab_of(images: Tensor) -> Tensor:
    """CIELAB, float32 (b, 3, H * W), of uint8 sRGB (b, H, W, 3)."""
    return lab_of_linear(look_up(images, linear_table(images.device).float()))


def staining_of(images: Tensor) -> Tensor:
    """How stained each pixel of uint8 (b, H, W, 3) looks, float32 (b, H * W)."""
    density = look_up(images, density_table(images.device).float())
    score: Tensor = staining(*density.unbind(dim=1))
    return score


def moments(lab: Tensor, chosen: Tensor) -> Tensor:
    """Mean and standard deviation (b, 2, 3) of the ``chosen`` (b, P) of (b, 3, P)."""
    import torch

    weight = chosen[:, None].to(lab.dtype)
    count = weight.sum(dim=2).clamp(min=1)
    mean = (lab * weight).sum(dim=2) / count
    square = ((lab - mean[..., None]) * weight).square().sum(dim=2)
    return torch.stack([mean, (square / count).sqrt()], dim=1)


def tissue_moments(lab: Tensor, score: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and spread (b, 2, 3) of each patch's tissue, and whether it has enough, bool (b,).

    Parameters
    ----------
    lab
        (b, 3, P).
    score
        (b, P), from :func:`staining_of`.
    """
    tissue = score > TISSUE_SCORE
    return moments(lab, tissue), tissue.float().mean(dim=1) >= _LEAST_SHARE


def transfer(lab: Tensor, own: Tensor, target: Tensor, limit: float | None = None) -> Tensor:
    """Carry ``lab`` (b, 3, P) from its ``own`` moments (b, 2, 3) to those of ``target`` (2, 3).

    ``limit`` is the most by which a spread is multiplied or divided.
    """
    gain = target[1] / own[:, 1].clamp(min=1e-3)
    if limit is not None:
        gain = gain.clamp(1 / limit, limit)
    shift = target[0] - own[:, 0] * gain
    return lab * gain[..., None] + shift[..., None]


def recolour(images: Tensor, target: Tensor) -> Tensor:
    """Give the tissue of each patch the mean and spread ``target`` (2, 3).

    The less stained a pixel is, the less it changes, so that the empty slide keeps its colour. A
    patch with hardly any tissue stays as it is.

    Parameters
    ----------
    images
        uint8 (b, H, W, 3).
    target
        float32 (2, 3).

    Returns
    -------
    torch.Tensor
        Whole numbers in 0..255, (b, 3, H * W).
    """
    lab, score = lab_of(images), staining_of(images)
    own, enough = tissue_moments(lab, score)
    changed = transfer(lab, own, target.to(lab), _LARGEST_RATIO)
    changed[:, 0].clamp_(0, 100)
    before = images.permute(0, 3, 1, 2).flatten(2).to(lab.dtype)
    share = (score / TISSUE_SCORE).clamp_(max=1) * enough[:, None]
    return before.lerp(srgb_of_lab(changed), share[:, None]).round_()
