"""What interpolated spots say of the bins, gene by gene: the network is asked for the rest."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

LEAST_SD = 1e-3


@dataclass(frozen=True, eq=False)
class Interpolation:
    """A line from interpolated spots to bins for each gene; every array is float32 ``(G,)``.

    The mean of log1p lies below log1p of the mean, and a spot's count says less of a bin the more
    the bins within a spot differ: slope and intercept know both.

    Parameters
    ----------
    slope, intercept
        Scaled bins = slope · interpolated log1p counts of a bin + intercept.
    rest
        Standard deviation of what is left.
    """

    slope: np.ndarray
    intercept: np.ndarray
    rest: np.ndarray

    @classmethod
    def fit(cls, told: np.ndarray, bins: np.ndarray) -> Interpolation:
        """Fit by least squares.

        Parameters
        ----------
        told
            What :func:`interpolated` gives at bins of tissue, ``(G, n)``.
        bins
            Their scaled values, ``(G, n)``.
        """
        centre = told.mean(axis=1, keepdims=True)
        spread = np.maximum(((told - centre) ** 2).mean(axis=1), 1e-12)
        slope = ((told - centre) * bins).mean(axis=1) / spread
        intercept = bins.mean(axis=1) - slope * centre[:, 0]
        rest = (bins - slope[:, None] * told - intercept[:, None]).std(axis=1)
        arrays = (slope, intercept, np.maximum(rest, LEAST_SD))
        return cls(*(values.astype(np.float32) for values in arrays))

    def __call__(self, told: Tensor) -> Tensor:
        """Return scaled bins ``(B, G, H, W)`` for what :func:`interpolated` gives."""
        return told * _of(self.slope, told) + _of(self.intercept, told)

    def without(self, bins: Tensor, base: Tensor) -> Tensor:
        """Return what bins differ by from ``base``, in units of its standard deviation."""
        return (bins - base) / _of(self.rest, bins)

    def whole(self, rest: Tensor, base: Tensor) -> Tensor:
        """Undo :meth:`without`."""
        return base + rest * _of(self.rest, rest)


def interpolated(spots: Tensor, factor: int, shape: tuple[int, ...]) -> Tensor:
    """Interpolate log1p counts of a bin between the centres of the spots.

    Parameters
    ----------
    spots
        Counts, ``(B, G, h, w)``.
    factor
        Bins along a spot.
    shape
        Bins (H, W) that are wanted, from the first.
    """
    logs = torch.log1p(spots.float() / factor**2)
    bins = functional.interpolate(logs, scale_factor=float(factor), mode="bilinear")
    return bins[..., : shape[0], : shape[1]]


def _of(values: np.ndarray, like: Tensor) -> Tensor:
    return torch.from_numpy(values).to(like.device).view(1, -1, 1, 1)
