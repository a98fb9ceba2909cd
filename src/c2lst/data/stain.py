"""Stain normalisation by Macenko et al. (ISBI 2009), fitted to whole slides.

A stain adds its own colour vector, times its concentration, to the optical density. The two
vectors of H&E span a plane; they are the outermost directions of the tissue's pixels in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from c2lst.data.optics import intensity, optical_density
from c2lst.data.tissue import stain_score
from c2lst.errors import InputError
from c2lst.progress import logger

_MAX_PIXELS = 400_000
_LEAST_PIXELS = 500
_TISSUE_SCORE = 0.15
_OUTERMOST = 1.0  # percentile of the angle on either side
_STRONGEST = 99.0  # percentile of the concentration
# Nearer colours cannot be told apart: unmixing multiplies noise by 1 / sin(angle). H&E has 25 to
# 40 degrees; a slide with hardly any eosin has less.
_LEAST_ANGLE = np.deg2rad(18.0)
_LARGEST_RATIO = 3.0


@dataclass(frozen=True, eq=False)
class StainReference:
    """Colours and strengths of haematoxylin and eosin on one slide.

    Parameters
    ----------
    matrix
        (2, 3) optical-density vectors over R, G, B of unit length: haematoxylin, then eosin.
    max_concentrations
        (2,) strong concentration (99th percentile over tissue) of each stain.
    """

    matrix: np.ndarray
    max_concentrations: np.ndarray

    def __post_init__(self) -> None:
        matrix = np.asarray(self.matrix, dtype=np.float64)
        strongest = np.asarray(self.max_concentrations, dtype=np.float64)
        object.__setattr__(self, "matrix", matrix)
        object.__setattr__(self, "max_concentrations", strongest)
        if matrix.shape != (2, 3) or strongest.shape != (2,):
            raise InputError(
                "stain reference",
                "has the wrong shape",
                found=f"{matrix.shape} and {strongest.shape}",
                expected="(2, 3) and (2,)",
            )
        if not (np.isfinite(matrix).all() and np.isfinite(strongest).all()):
            raise InputError("stain reference", "is not finite")
        lengths = np.linalg.norm(matrix, axis=1)
        if not np.allclose(lengths, 1, atol=1e-6):
            raise InputError(
                "stain reference", "rows are not of unit length", found=lengths.round(6).tolist()
            )
        if _angle(matrix) < 1e-3:
            raise InputError("stain reference", "both stains have the same colour")
        if (strongest <= 0).any():
            raise InputError(
                "stain reference", "max_concentrations must be above 0", found=strongest.tolist()
            )

    @classmethod
    def standard(cls) -> StainReference:
        """Typical H&E, for slides whose own stain cannot be estimated.

        Haematoxylin of Ruifrok & Johnston (2001); eosin as this method finds it on real slides,
        since theirs, of a single-stained slide, is far more magenta.
        """
        matrix = np.array([[0.650, 0.704, 0.286], [0.250, 0.810, 0.530]])
        matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
        return cls(matrix, np.array([1.5, 1.0]))

    @classmethod
    def fit(cls, images: np.ndarray, fallback: StainReference | None = None) -> StainReference:
        """Estimate the stain from the tissue pixels of all ``images`` together.

        Parameters
        ----------
        images
            uint8 (n, S, S, 3) patches of one slide.
        fallback
            What to return where there is too little tissue, or its colours do not part into two
            stains; ``standard()`` by default. A message says so.
        """
        density = _tissue_density(np.asarray(images))
        if len(density) < _LEAST_PIXELS:
            reason = f"only {len(density)} stained pixels"
        else:
            estimate = _macenko(density)
            if isinstance(estimate, StainReference):
                return estimate
            reason = estimate
        logger.warning("stain not estimated (%s): the reference is used as it is", reason)
        return cls.standard() if fallback is None else fallback

    @classmethod
    def representative(cls, images: np.ndarray) -> StainReference:
        """Stain of the most typical image of a collection from many slides.

        Pooled over slides of different tints, the two outermost colours belong to none of them.
        Each image is therefore fitted by itself, and the one nearest to all others is taken, as
        C2L-ST takes one representative patch for each organ. Where fewer than five images can
        be fitted, they are pooled.

        Parameters
        ----------
        images
            uint8 (n, S, S, 3).
        """
        found: list[StainReference] = []
        for image in np.asarray(images):
            density = _tissue_density(image)
            estimate = _macenko(density) if len(density) >= _LEAST_PIXELS else "too little"
            if isinstance(estimate, StainReference):
                found.append(estimate)
        if len(found) < 5:
            return cls.fit(images)
        features = np.stack(
            [np.append(one.matrix.ravel(), np.log(one.max_concentrations)) for one in found]
        )
        apart = np.linalg.norm(features[:, None] - features[None], axis=2)
        return found[int(apart.sum(axis=1).argmin())]

    def normalise(self, images: np.ndarray, source: StainReference | None = None) -> np.ndarray:
        """Give ``images`` this stain, uint8 of the same shape.

        Parameters
        ----------
        images
            uint8 (n, S, S, 3) patches of one slide.
        source
            Stain of that slide; fitted to ``images`` by default.
        """
        source = StainReference.fit(images, fallback=self) if source is None else source
        return StainNormaliser(source, self).apply(images)

    def same_as(self, other: StainReference) -> bool:
        """Whether both hold equal values."""
        return np.array_equal(self.matrix, other.matrix) and np.array_equal(
            self.max_concentrations, other.max_concentrations
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON; ``from_dict`` restores them exactly."""
        return {
            "method": "macenko",
            "stains": ["haematoxylin", "eosin"],
            "matrix": self.matrix.tolist(),
            "max_concentrations": self.max_concentrations.tolist(),
        }

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> StainReference:
        """Inverse of ``to_dict``.

        Raises
        ------
        InputError
            If a key is missing or the values are no stain.
        """
        try:
            return cls(
                np.asarray(value["matrix"], dtype=np.float64),
                np.asarray(value["max_concentrations"], dtype=np.float64),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InputError("stain reference", f"cannot be read ({error!r})") from error


@dataclass(frozen=True, eq=False)
class StainNormaliser:
    """Carries images from the stain of one slide to that of another.

    Per pixel, optical density = concentrations @ matrix + residual. The concentrations are
    scaled so that the strong ones agree, the matrix is exchanged, the residual is kept: what is
    no stain (background, pigment) keeps its colour, and equal stains give the identity.

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

    def apply(self, images: np.ndarray) -> np.ndarray:
        """Normalise uint8 (n, S, S, 3) images; the result is uint8 of the same shape."""
        images = np.asarray(images)
        if images.dtype != np.uint8 or images.ndim < 2 or images.shape[-1] != 3:
            raise InputError(
                "images",
                "cannot be stain-normalised",
                found=f"{images.dtype} of shape {images.shape}",
                expected="uint8 of shape (n, S, S, 3)",
            )
        if self.source.same_as(self.target):
            return images.copy()
        result = np.empty_like(images)
        transform = self.transform.astype(np.float32)
        for start in range(0, len(images), 256):
            part = optical_density(images[start : start + 256])
            result[start : start + 256] = intensity(part @ transform)
        return result


def _angle(matrix: np.ndarray) -> float:
    return float(np.arccos(np.clip(matrix[0] @ matrix[1], -1, 1)))


def _tissue_density(images: np.ndarray) -> np.ndarray:
    """Optical densities of stained pixels, float64 (pixels, 3), evenly thinned."""
    pixels = images.reshape(-1, 3)
    pixels = pixels[:: max(1, len(pixels) // _MAX_PIXELS)]
    return optical_density(pixels[stain_score(pixels) > _TISSUE_SCORE]).astype(np.float64)


def _macenko(density: np.ndarray) -> StainReference | str:
    """Estimate the stain, or say why it cannot be estimated."""
    _, directions = np.linalg.eigh(np.cov(density.T))
    plane = directions[:, [2, 1]]
    # Eigenvectors have no sign; the first is turned towards the tissue, so that the angles of
    # its pixels lie around 0 and never wrap.
    plane = plane * np.where(density.mean(axis=0) @ plane < 0, -1.0, 1.0)
    projected = density @ plane
    angles = np.arctan2(projected[:, 1], projected[:, 0])
    extremes = np.percentile(angles, [_OUTERMOST, 100 - _OUTERMOST])
    stains = np.stack([np.cos(extremes), np.sin(extremes)], axis=1) @ plane.T
    stains = np.clip(stains, 0, None)
    lengths = np.linalg.norm(stains, axis=1, keepdims=True)
    if (lengths < 1e-6).any():
        return "a stain would have no colour"
    stains = stains / lengths
    if _angle(stains) < _LEAST_ANGLE:
        return "its colours do not part into two stains"
    # Haematoxylin is blue: it absorbs red more than blue. Eosin is pink: blue more than red.
    stains = stains[np.argsort(stains[:, 2] - stains[:, 0])]
    strongest = np.percentile(density @ np.linalg.pinv(stains), _STRONGEST, axis=0)
    if not np.isfinite(strongest).all() or (strongest < 0.05).any():
        return "one of the stains is too faint"
    return StainReference(stains, strongest)
