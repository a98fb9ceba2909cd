"""Colour transfer by Reinhard et al. (2001), for collections of patches from unknown slides.

Unmixing stains needs a slide: two stains of its own, and an empty background that is white.
Patches of a public collection come from hundreds of slides of different tints, one patch a time.
Matching the mean and spread of the tissue's colour in CIELAB needs no more than the patch.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from c2lst.data.tissue import stain_score
from c2lst.errors import InputError

_TISSUE_SCORE = 0.15
_LEAST_SHARE = 0.05
# A patch of one colour would have its noise blown up into tissue.
_LARGEST_RATIO = 2.0


@dataclass(frozen=True, eq=False)
class TissueColour:
    """Mean and spread of the colour of tissue.

    Parameters
    ----------
    mean, spread
        (3,) over the CIELAB axes L, a, b: mean and standard deviation of the tissue's pixels.
    """

    mean: np.ndarray
    spread: np.ndarray

    def __post_init__(self) -> None:
        values = np.concatenate([self.mean, self.spread])
        if values.shape != (6,) or not np.isfinite(values).all() or (self.spread <= 0).any():
            raise InputError("tissue colour", "is not a mean and a spread", found=values.tolist())

    @classmethod
    def fit(cls, images: np.ndarray) -> TissueColour:
        """Average over patches of one slide, each with its own mean and spread.

        Parameters
        ----------
        images
            uint8 RGB ``(n, S, S, 3)``.

        Raises
        ------
        InputError
            If no patch shows tissue.
        """
        each = _statistics_of_each(images)
        return cls(*each.mean(axis=0))

    @classmethod
    def typical(cls, images: np.ndarray) -> TissueColour:
        """Return the colour of the patch that is nearest to all others: one that exists."""
        each = _statistics_of_each(images)
        flat = each.reshape(len(each), 6)
        apart = np.linalg.norm(flat[:, None] - flat[None], axis=2).sum(axis=1)
        return cls(*each[int(apart.argmin())])

    def give_to(self, images: np.ndarray) -> np.ndarray:
        """Give every patch this colour, each from its own; uint8 of the same shape.

        A patch with hardly any tissue is returned as it is.
        """
        return np.stack([self._recolour(image) for image in np.asarray(images)])

    def _recolour(self, image: np.ndarray) -> np.ndarray:
        from skimage.color import lab2rgb, rgb2lab

        own = _statistics(image)
        if own is None:
            return image
        limit = _LARGEST_RATIO
        gain = np.clip(self.spread / np.maximum(own[1], 1e-3), 1 / limit, limit)
        lab = (rgb2lab(image) - own[0]) * gain + self.mean
        lab[..., 0] = np.clip(lab[..., 0], 0, 100)
        return np.round(255 * np.clip(lab2rgb(lab), 0, 1)).astype(np.uint8)


def _statistics(image: np.ndarray) -> np.ndarray | None:
    """Mean and spread (2, 3) of a patch's tissue in CIELAB; None where there is too little."""
    from skimage.color import rgb2lab

    tissue = image[stain_score(image) > _TISSUE_SCORE]
    if len(tissue) < _LEAST_SHARE * image.shape[0] * image.shape[1]:
        return None
    lab = rgb2lab(tissue)
    return np.stack([lab.mean(axis=0), lab.std(axis=0)])


def _statistics_of_each(images: np.ndarray) -> np.ndarray:
    found = [s for s in map(_statistics, np.asarray(images)) if s is not None]
    if not found:
        raise InputError("tissue colour", "no patch shows tissue", expected="H&E patches")
    return np.stack(found)
