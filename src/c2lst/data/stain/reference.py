"""What the H&E of a slide looks like: one reference for central and local data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from c2lst.data.stain import macenko, reinhard
from c2lst.data.stain.batches import Images, as_tensor, batches, change_each, checked, look_up
from c2lst.data.stain.conversion import TISSUE_SCORE, density_table, staining
from c2lst.data.stain.normalise import StainNormaliser
from c2lst.errors import InputError
from c2lst.progress import logger

if TYPE_CHECKING:
    from torch import Tensor

_NAME = "stain reference"
_MAX_PIXELS = 400_000
_LEAST_PIXELS = 500
_MAX_LAB_PATCHES = 256
_MAX_LAB_PIXELS = 100_000
# Nearer colours cannot be told apart: unmixing multiplies noise by 1 / sin(angle). H&E has 25 to
# 40 degrees; a slide with hardly any eosin has less.
_LEAST_ANGLE = np.deg2rad(18.0)
_FAINTEST = 0.05


MOST_PATCHES = 4096
"""Patches that are enough for a stain: far fewer pixels than theirs are looked at."""


class _NotTwoStainsError(ValueError):
    """Why the stains of an image cannot be estimated."""


@dataclass(frozen=True, eq=False)
class StainReference:
    """Stains of one slide, and the colour that its tissue has by them.

    Parameters
    ----------
    matrix
        (2, 3) optical-density vectors over R, G, B of unit length: haematoxylin, then eosin.
    max_concentrations
        (2,) strong concentration (99th percentile over tissue) of each stain.
    lab
        (2, 3) mean and standard deviation of the tissue's pixels over the CIELAB axes L, a, b,
        within a patch. None in files of c2lst 0.1, and where no patch showed tissue; such a
        reference serves whole slides, but not patches of unknown slides.

    Raises
    ------
    InputError
        If a value cannot be that of a stain.
    """

    matrix: np.ndarray
    max_concentrations: np.ndarray
    lab: np.ndarray | None = None

    def __post_init__(self) -> None:
        for name in ("matrix", "max_concentrations", "lab"):
            if getattr(self, name) is not None:
                values = np.array(getattr(self, name), dtype=np.float64)
                values.setflags(write=False)
                object.__setattr__(self, name, values)
        _check_stains(self.matrix, self.max_concentrations)
        if self.lab is not None:
            _check_lab(self.lab)

    @classmethod
    def standard(cls) -> StainReference:
        """Typical H&E, for slides whose own stain cannot be estimated.

        Haematoxylin of Ruifrok & Johnston (2001); eosin as this method finds it on real slides,
        since theirs, of a single-stained slide, is far more magenta.
        """
        matrix = np.array([[0.650, 0.704, 0.286], [0.250, 0.810, 0.530]])
        matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
        return cls(matrix, np.array([1.5, 1.0]), np.array([[67.0, 23.0, -20.0], [11.0, 5.0, 7.0]]))

    @classmethod
    def fit(cls, images: Images, fallback: StainReference | None = None) -> StainReference:
        """Estimate the stain from the tissue of all ``images`` of one slide together.

        Parameters
        ----------
        images
            uint8 (n, S, S, 3) patches of one slide, array or tensor.
        fallback
            What to return where there is too little tissue, or its colours do not part into two
            stains; by default ``standard()``, with the tissue's own colour where there is any.
            A message says so.
        """
        images = checked(images)
        try:
            matrix, strongest = _two_stains(_tissue_density(images))
        except _NotTwoStainsError as reason:
            logger.warning("stain not estimated (%s): the reference is used as it is", reason)
            if fallback is not None:
                return fallback
            standard = cls.standard()
            matrix, strongest = standard.matrix, standard.max_concentrations
            return cls(matrix, strongest, _lab(images, standard.lab))
        return cls(matrix, strongest, _lab(images, None))

    @classmethod
    def typical(cls, images: Images) -> StainReference:
        """Find what a collection of patches from many slides has in the middle of its tints.

        Pooled over slides of different tints, the two outermost colours belong to none of them.
        The colour is therefore that of the one patch that is nearest to all others, as C2L-ST
        takes one representative patch for each organ; the stains are those of all patches once
        they are brought to that colour.

        Parameters
        ----------
        images
            uint8 (n, S, S, 3) patches, evenly chosen from the collection.

        Raises
        ------
        InputError
            If no patch shows tissue.
        """
        images = checked(images)
        each = _lab_of_each(images)
        if len(each) == 0:
            raise InputError(_NAME, "no patch shows tissue", expected="H&E patches")
        flat = each.reshape(len(each), 6)
        apart = np.linalg.norm(flat[:, None] - flat[None], axis=2).sum(axis=1)
        found = replace(cls.standard(), lab=each[int(apart.argmin())])
        return replace(cls.fit(found.recolour(images), fallback=found), lab=found.lab)

    def normalise(self, images: Images, source: StainReference | None = None) -> Images:
        """Give patches of one slide this stain; same kind and shape.

        Parameters
        ----------
        images
            uint8 (n, S, S, 3), array or tensor.
        source
            Stain of that slide; fitted to ``images`` by default.
        """
        source = StainReference.fit(images, fallback=self) if source is None else source
        return StainNormaliser(source, self).apply(images)

    def recolour(self, images: Images) -> Images:
        """Give patches of unknown slides this colour, each from its own; same kind and shape.

        The empty slide keeps its colour, and a patch with hardly any tissue is returned as it is.

        Parameters
        ----------
        images
            uint8 (n, S, S, 3), array or tensor.

        Raises
        ------
        InputError
            If this reference does not know the colour of its tissue.
        """
        import torch

        if self.lab is None:
            raise InputError(
                _NAME,
                "has no tissue colour to bring patches of unknown slides to",
                remedy="fit it again: files of c2lst 0.1 hold the stains alone",
            )
        target = torch.tensor(self.lab)
        return change_each(images, lambda batch: reinhard.recolour(batch, target))

    def same_as(self, other: StainReference) -> bool:
        """Whether both hold equal values."""
        return self.to_dict() == other.to_dict()

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON; ``from_dict`` restores them exactly."""
        stains = {
            "method": "macenko",
            "stains": ["haematoxylin", "eosin"],
            "matrix": self.matrix.tolist(),
            "max_concentrations": self.max_concentrations.tolist(),
        }
        if self.lab is None:
            return stains
        mean, spread = self.lab.tolist()
        return {**stains, "lab": {"mean": mean, "spread": spread}}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> StainReference:
        """Inverse of ``to_dict``; also reads what c2lst 0.1 wrote, which had no ``lab``.

        Raises
        ------
        InputError
            If a key is missing or the values are no stain.
        """
        try:
            lab = value.get("lab")
            return cls(
                np.asarray(value["matrix"], dtype=np.float64),
                np.asarray(value["max_concentrations"], dtype=np.float64),
                None if lab is None else np.asarray([lab["mean"], lab["spread"]], np.float64),
            )
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise InputError(_NAME, f"cannot be read ({error!r})") from error


def even_rows(count: int) -> np.ndarray:
    """Return rows of the patches to fit a stain to: all of a few thousand, else evenly chosen.

    Patches of a large slide need not all be in memory for a stain.
    """
    return np.linspace(0, count - 1, min(count, MOST_PATCHES)).round().astype(np.int64)


def _check_stains(matrix: np.ndarray, strongest: np.ndarray) -> None:
    if matrix.shape != (2, 3) or strongest.shape != (2,):
        raise InputError(
            _NAME,
            "has the wrong shape",
            found=f"{matrix.shape} and {strongest.shape}",
            expected="(2, 3) and (2,)",
        )
    if not (np.isfinite(matrix).all() and np.isfinite(strongest).all()):
        raise InputError(_NAME, "is not finite")
    lengths = np.linalg.norm(matrix, axis=1)
    if not np.allclose(lengths, 1, atol=1e-6):
        raise InputError(_NAME, "rows are not of unit length", found=lengths.round(6).tolist())
    if _angle(matrix) < 1e-3:
        raise InputError(_NAME, "both stains have the same colour")
    if (strongest <= 0).any():
        raise InputError(_NAME, "max_concentrations must be above 0", found=strongest.tolist())


def _check_lab(lab: np.ndarray) -> None:
    if lab.shape != (2, 3) or not np.isfinite(lab).all() or (lab[1] < 0).any():
        raise InputError(
            _NAME,
            "lab is not a mean and a spread",
            found=lab.tolist(),
            expected="two rows over L, a, b; the second not below 0",
        )


def _angle(matrix: np.ndarray) -> float:
    return float(np.arccos(np.clip(matrix[0] @ matrix[1], -1, 1)))


def _tissue_density(images: np.ndarray | Tensor) -> Tensor:
    """Optical densities of stained pixels, float64 (1, 3, pixels), evenly thinned."""
    pixels = images.reshape(1, -1, 1, 3)
    pixels = as_tensor(pixels[:, :: max(1, pixels.shape[1] // _MAX_PIXELS)])
    density = look_up(pixels, density_table(pixels.device).float())
    return density[..., staining(*density[0]) > TISSUE_SCORE].double()


def _two_stains(density: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Matrix (2, 3) and strong concentrations (2,) of tissue (1, 3, pixels), or say why not."""
    if density.shape[2] < _LEAST_PIXELS:
        raise _NotTwoStainsError(f"only {density.shape[2]} stained pixels")
    stains = macenko.outermost_directions(density).clamp(min=0)
    lengths = stains.norm(dim=2, keepdim=True)
    if (lengths < 1e-6).any():
        raise _NotTwoStainsError("a stain would have no colour")
    stains = stains / lengths
    if _angle(stains[0].cpu().numpy()) < _LEAST_ANGLE:
        raise _NotTwoStainsError("its colours do not part into two stains")
    # Haematoxylin is blue: it absorbs red more than blue. Eosin is pink: blue more than red.
    stains = stains[:, (stains[0, :, 2] - stains[0, :, 0]).argsort()]
    amounts = macenko.concentrations(density, stains)
    strongest = macenko.quantile(amounts, macenko.STRONGEST)
    if not bool((strongest > _FAINTEST).all()):
        raise _NotTwoStainsError("one of the stains is too faint")
    return stains[0].cpu().numpy(), strongest[0].cpu().numpy()


def _lab(images: np.ndarray | Tensor, otherwise: np.ndarray | None) -> np.ndarray | None:
    """Mean and spread (2, 3) of the tissue within a patch; ``otherwise`` where there is none."""
    each = _lab_of_each(images, _MAX_LAB_PIXELS)
    return each.mean(axis=0) if len(each) else otherwise


def _lab_of_each(images: np.ndarray | Tensor, pixels: int | None = None) -> np.ndarray:
    """Mean and spread (k, 2, 3) of each patch that shows tissue, of some of the patches.

    ``pixels`` is how many to look at in all, evenly thinned; all by default.
    """
    count, height, width, _ = images.shape
    if 0 in (count, height, width):
        return np.empty((0, 2, 3))
    some = images[:: -(-count // _MAX_LAB_PATCHES)].reshape(-1, height * width, 1, 3)
    if pixels is not None:
        some = some[:, :: max(1, some.shape[0] * some.shape[1] // pixels)]
    each = []
    for part in batches(some):
        found, enough = reinhard.tissue_moments(reinhard.lab_of(part), reinhard.staining_of(part))
        each.append(found[enough].cpu().numpy())
    return np.concatenate(each)
