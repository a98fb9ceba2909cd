"""Stain augmentation: the same tissue, stained a little more or less."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from c2lst.data.stain.reference import StainReference
from c2lst.rules import hold, share

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, eq=False)
class StainJitter:
    """Varies the amount of each stain from image to image (Tellez et al., 2018).

    The concentration c of each stain becomes a·c + b·w·s, with a in 1 ± strength and b in
    ± strength for the image, s the strong concentration of the reference, and w the share of
    light that the pixel absorbs (ours), so that the empty slide stays white. What is no stain
    keeps its colour, and strength 0 is the identity.

    Parameters
    ----------
    reference
        The stain that the images have.
    strength
        In [0, 1]. 0.05 is what staining varies by within a laboratory, 0.2 is strong.
    """

    reference: StainReference
    strength: float = 0.05

    numbers = 4
    """How many random numbers an image takes."""

    def __post_init__(self) -> None:
        hold(self, "stain jitter", strength=share())

    def apply(self, images: Tensor, uniform: Tensor) -> Tensor:
        """Vary each image by its own random numbers.

        Parameters
        ----------
        images
            uint8 (n, H, W, 3), or floats (n, 3, H, W) in [-1, 1] as a denoiser takes them.
        uniform
            (n, 4) in [0, 1), such as ``draws.uniform((StainJitter.numbers,))``: two factors a,
            two shifts b.

        Returns
        -------
        torch.Tensor
            Of the same shape, type and range.
        """
        import torch

        if self.strength == 0:
            return images
        if images.dtype == torch.uint8:
            planes = images.permute(0, 3, 1, 2).float()
            changed = self._vary(planes, uniform).clamp_(0, 255).round_()
            return changed.to(torch.uint8).permute(0, 2, 3, 1).contiguous()
        changed = self._vary((images.float() + 1) * 127.5, uniform)
        return (changed / 127.5 - 1).clamp_(-1, 1).to(images.dtype)

    def _vary(self, light: Tensor, uniform: Tensor) -> Tensor:
        """Vary intensities (n, 3, H, W) in 0..255."""
        import torch

        def fixed(values: np.ndarray) -> Tensor:
            return torch.tensor(values, dtype=torch.float32, device=light.device)

        matrix = fixed(self.reference.matrix)
        factor, shift = (self.strength * (2 * uniform.to(matrix) - 1)).split(2, dim=1)
        # density' - density = density @ unmixing · (a - 1) @ matrix + w · b · s @ matrix
        scaled = fixed(np.linalg.pinv(self.reference.matrix)) @ (factor[..., None] * matrix)
        shifted = (shift * fixed(self.reference.max_concentrations)) @ matrix
        planes = light.flatten(2)
        density = (255 / planes.clamp(min=1)).log_()
        absorbed = 1 - planes.mean(dim=1, keepdim=True) / 255
        change = scaled.mT @ density + shifted[..., None] * absorbed
        return (planes * (-change).exp_()).view_as(light)
