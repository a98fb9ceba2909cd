"""From the stain of one slide to that of another."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from c2lst.data.stain.batches import Images, as_tensor, change_each, checked, look_up
from c2lst.data.stain.conversion import density_table

if TYPE_CHECKING:
    from torch import Tensor

    from c2lst.data.stain.reference import StainReference

_LARGEST_RATIO = 3.0


@dataclass(frozen=True, eq=False)
class StainNormaliser:
    """Carries images from the stain of one slide to that of another.

    Per pixel, optical density = concentrations @ matrix + residual. The concentrations are
    scaled so that the strong ones agree, the matrix is exchanged, the residual is kept: what is
    no stain (background, pigment) keeps its colour, and equal stains give the identity.

    Nothing is estimated from the images, so blank and odd ones are no special case.

    Parameters
    ----------
    source, target
        The stain that the images have, and the one that they get.
    """

    source: StainReference
    target: StainReference

    @cached_property
    def transform(self) -> np.ndarray:
        """(3, 3) map T of optical densities: density_out = density_in @ T."""
        # A faint slide would otherwise have its noise multiplied.
        ratio = self.target.max_concentrations / self.source.max_concentrations
        ratio = np.clip(ratio, 1 / _LARGEST_RATIO, _LARGEST_RATIO)
        change = ratio[:, None] * self.target.matrix - self.source.matrix
        return np.eye(3) + np.linalg.pinv(self.source.matrix) @ change

    def apply(self, images: Images) -> Images:
        """Normalise uint8 (n, S, S, 3) images, array or tensor; same kind and shape."""
        import torch

        images = checked(images)
        if np.array_equal(self.transform, np.eye(3)):
            return images.clone() if isinstance(images, torch.Tensor) else images.copy()
        device = as_tensor(images).device
        transform = torch.tensor(self.transform.T, dtype=torch.float32, device=device)
        # In powers of two, which are several times quicker than those of e.
        exponents = (-density_table(device) / np.log(2)).float()
        white = torch.full((1, 1, 1), np.log2(255), device=device)

        def change(batch: Tensor) -> Tensor:
            maps = transform.expand(len(batch), 3, 3)
            light = torch.baddbmm(white, maps, look_up(batch, exponents))
            return torch.minimum(light, white).exp2_().round_()

        return change_each(images, change)
