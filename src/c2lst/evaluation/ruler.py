"""One way to measure all patches of a section, real and synthetic, so that they compare."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from c2lst.errors import InputError
from c2lst.evaluation.appearance import measure, nuclear_threshold

if TYPE_CHECKING:
    from c2lst.data.preprocessing import Preprocessing
    from c2lst.evaluation.encoders import ImageEncoder

SHIFT = "shift"
"""Name of the distance between the features of two patches."""


@dataclass(frozen=True, eq=False)
class Ruler:
    """Measures patches by what was fitted to real ones: never by the patches under test.

    Parameters
    ----------
    preprocessing
        Whose stain and patch width the patches have.
    encoder
        Makes the features by which patches are near or far.
    threshold
        Haematoxylin density from which on a pixel is nuclear.
    spread
        Of each measure, its standard deviation over the real patches; under ``shift``, the root
        mean square distance between the features of two of them.
    """

    preprocessing: Preprocessing
    encoder: ImageEncoder
    threshold: float
    spread: dict[str, float]

    @classmethod
    def fit(cls, images: np.ndarray, preprocessing: Preprocessing, encoder: ImageEncoder) -> Ruler:
        """Fit to real patches.

        Parameters
        ----------
        images
            uint8 ``(n, S, S, 3)`` stain-normalised patches, at least two.
        """
        if len(images) < 2:
            raise InputError("real patches", "too few", found=len(images), expected="at least 2")
        stain = preprocessing.stain
        threshold = nuclear_threshold(images, preprocessing.patch_um, stain=stain)
        ruler = cls(preprocessing, encoder, threshold, {})
        spread = {name: float(values.std()) for name, values in ruler.measure(images).items()}
        # Two draws from one distribution are apart by twice its variance.
        apart = float(np.sqrt(2 * ruler.features(images).var(axis=0).sum()))
        return cls(preprocessing, encoder, threshold, {**spread, SHIFT: apart})

    def measure(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Measures of :func:`~c2lst.evaluation.appearance.measure`, each float32 ``(n,)``."""
        preprocessing = self.preprocessing
        return measure(
            images, preprocessing.patch_um, stain=preprocessing.stain, threshold=self.threshold
        )

    def features(self, images: np.ndarray) -> np.ndarray:
        """Features of the encoder, float32 ``(n, d)``."""
        return self.encoder.encode(images)

    def shift(self, features: np.ndarray, origin: np.ndarray) -> np.ndarray:
        """Distance over the last axis of features, as a multiple of that of two real patches."""
        apart = np.linalg.norm(features - origin, axis=-1)
        return np.asarray(apart / max(self.spread[SHIFT], 1e-12), dtype=np.float32)
