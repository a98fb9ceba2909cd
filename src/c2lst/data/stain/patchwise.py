"""Each patch by itself, by the definitions of torchstain, for work that was begun with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from c2lst.data.stain import macenko, reinhard
from c2lst.data.stain.batches import Images, as_tensor, change_each, checked, look_up
from c2lst.data.stain.conversion import srgb_of_lab
from c2lst.data.stain.reference import StainReference
from c2lst.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

Method = Literal["macenko", "reinhard"]

_LIGHT = 240.0
_THINNEST = 0.15
_LEAST_PIXELS = 16
_LEAST_ANGLE = np.deg2rad(0.5)
_FAINTEST = 1e-3
_LEAST_SPREAD = 1e-3


@dataclass(frozen=True, eq=False)
class PatchNormaliser:
    """Normalises each patch from its own estimate, many at a time.

    It gives what the Macenko and Reinhard normalisers of torchstain give when they are called
    for each patch: 240 as the light of the empty slide, pixels below 0.15 of optical density
    (natural logarithm) in any channel left out, percentiles 1 and 99, no residual, and for
    Reinhard the mean and spread over all pixels. A patch that these definitions do not fit (fewer
    than 16 tissue pixels, one colour) comes back as it is.

    A patch of nothing but stroma gets the nuclei of its reference this way: estimate the stain
    of the whole slide (:class:`StainNormaliser`) where the slide is known.

    Parameters
    ----------
    target
        What the patches get, from :meth:`fit`.
    method
        ``"macenko"`` or ``"reinhard"``.
    """

    target: StainReference
    method: Method = "macenko"

    def __post_init__(self) -> None:
        if self.method not in ("macenko", "reinhard"):
            raise InputError(
                "stain method", "is unknown", found=self.method, expected="macenko or reinhard"
            )
        if self.method == "reinhard" and self.target.lab is None:
            raise InputError("stain reference", "has no tissue colour, which reinhard needs")

    @classmethod
    def fit(cls, image: Images, method: Method = "macenko") -> PatchNormaliser:
        """Take one uint8 (S, S, 3) patch as the target.

        Raises
        ------
        InputError
            If its stains cannot be estimated.
        """
        one = as_tensor(checked(image[None]))
        stains, strongest, known = _stains(_density(one))
        if not bool(known):
            raise InputError("target patch", "does not part into two stains", expected="H&E")
        lab = _moments(reinhard.lab_of(one))
        matrix = stains[0].double().cpu().numpy()
        matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
        return cls(StainReference(matrix, strongest[0].cpu().numpy(), lab[0].cpu().numpy()), method)

    def apply(self, images: Images) -> Images:
        """Normalise uint8 (n, S, S, 3) images, array or tensor; same kind and shape."""
        return change_each(images, self._macenko if self.method == "macenko" else self._reinhard)

    def _macenko(self, images: Tensor) -> Tensor:
        import torch

        density = _density(images)
        stains, strongest, known = _stains(density)
        target = torch.tensor(self.target.matrix, dtype=density.dtype, device=density.device)
        strong = torch.tensor(self.target.max_concentrations).to(density)
        ratio = (strong / strongest)[..., None]
        change = macenko.unmixing(stains) @ (ratio * target)
        light = (-(change.mT @ density)).exp_().mul_(_LIGHT).clamp_(max=255).floor_()
        return _where(known, light, images)

    def _reinhard(self, images: Tensor) -> Tensor:
        import torch

        lab = reinhard.lab_of(images)
        own = _moments(lab)
        target = torch.tensor(self.target.lab).to(lab)
        light = srgb_of_lab(reinhard.transfer(lab, own, target)).floor_()
        return _where((own[:, 1] > _LEAST_SPREAD).all(dim=1), light, images)


def _density(images: Tensor) -> Tensor:
    import torch

    levels = torch.arange(256, dtype=torch.float32, device=images.device)
    return look_up(images, -((levels + 1) / _LIGHT).log())


def _stains(density: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Stains (b, 2, 3), strong concentrations (b, 2), and whether they can be told, bool (b,)."""
    import torch

    tissue = density.amin(dim=1) >= _THINNEST
    stains = macenko.outermost_directions(density, tissue)
    # Haematoxylin absorbs more red.
    order = stains[..., 0].argsort(dim=1, descending=True)
    stains = stains.gather(1, order[..., None].expand_as(stains))
    known = (tissue.sum(dim=1) >= _LEAST_PIXELS) & stains.isfinite().all(dim=(1, 2))
    known &= torch.linalg.cross(stains[:, 0], stains[:, 1]).norm(dim=1) > _LEAST_ANGLE
    stains = torch.where(known[:, None, None], stains, torch.eye(3).to(stains)[:2])
    amounts = macenko.concentrations(density, stains)
    strongest = macenko.quantile(amounts, macenko.STRONGEST)
    return stains, strongest, known & (strongest > _FAINTEST).all(dim=1)


def _moments(lab: Tensor) -> Tensor:
    import torch

    return reinhard.moments(lab, torch.ones_like(lab[:, 0], dtype=torch.bool))


def _where(known: Tensor, changed: Tensor, images: Tensor) -> Tensor:
    before = images.permute(0, 3, 1, 2).flatten(2).to(changed.dtype)
    return changed.where(known[:, None, None], before)
