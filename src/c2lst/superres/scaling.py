"""How counts are shown to a network, and how its answer becomes counts again."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from c2lst.errors import InputError
from c2lst.superres.maps import SuperresMaps
from c2lst.superres.settings import Normalisation

_FIELDS = ("hr_mean", "hr_sd", "hr_high", "lr_mean", "lr_sd")
_LEAST_SD = 1e-3


@dataclass(frozen=True, eq=False)
class ExpressionScale:
    """Scale of the genes on the training maps; every array is float32 ``(G,)``.

    Parameters
    ----------
    hr_mean, hr_sd
        Mean and standard deviation of log1p counts of the bins of tissue.
    hr_high
        The largest of them.
    lr_mean, lr_sd
        Of log1p counts of the spots.
    kind
        ``log1p``: (log1p(counts) - mean) / sd. ``paper``: counts between the least and the most
        of their window, in [0, 1]; the arrays are not used.
    """

    hr_mean: np.ndarray
    hr_sd: np.ndarray
    hr_high: np.ndarray
    lr_mean: np.ndarray
    lr_sd: np.ndarray
    kind: Normalisation = "log1p"

    @classmethod
    def fit(cls, maps: SuperresMaps, kind: Normalisation = "log1p") -> ExpressionScale:
        """Fit the scale on training maps."""
        bins = [np.log1p(sample.counts[:, sample.tissue]) for sample in maps.samples]
        spots = [
            np.log1p(maps.spots(sample)).reshape(len(maps.genes), -1) for sample in maps.samples
        ]
        hr, lr = np.concatenate(bins, axis=1), np.concatenate(spots, axis=1)

        def sd(values: np.ndarray) -> np.ndarray:
            return np.maximum(values.std(axis=1), _LEAST_SD)

        arrays = (hr.mean(axis=1), sd(hr), hr.max(axis=1), lr.mean(axis=1), sd(lr))
        return cls.of_arrays(
            {k: v.astype(np.float32) for k, v in zip(_FIELDS, arrays, strict=True)}, kind
        )

    def encode_bins(self, counts: Tensor) -> Tensor:
        """Scale counts of bins ``(B, G, H, W)``."""
        if self.kind == "paper":
            return _min_max(counts)
        return (torch.log1p(counts) - self._of("hr_mean", counts)) / self._of("hr_sd", counts)

    def encode_spots(self, counts: Tensor) -> Tensor:
        """Scale counts of spots ``(B, G, h, w)``."""
        if self.kind == "paper":
            return _min_max(counts)
        return (torch.log1p(counts) - self._of("lr_mean", counts)) / self._of("lr_sd", counts)

    def decode(self, values: Tensor) -> Tensor:
        """Return counts for scaled bins ``(B, G, H, W)``; with ``paper``, relative values."""
        if self.kind == "paper":
            return values.clamp(0, 1)
        logs = values * self._of("hr_sd", values) + self._of("hr_mean", values)
        return torch.expm1(logs.clamp(min=0))

    def clamp(self, values: Tensor) -> Tensor:
        """Keep scaled values of bins within what the training maps hold."""
        if self.kind == "paper":
            return values.clamp(0, 1)
        mean, sd = self._of("hr_mean", values), self._of("hr_sd", values)
        return values.clamp(-mean / sd, (self._of("hr_high", values) - mean) / sd)

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the arrays by name, to be saved."""
        return {name: getattr(self, name) for name in _FIELDS}

    @classmethod
    def of_arrays(cls, arrays: dict[str, np.ndarray], kind: Normalisation) -> ExpressionScale:
        """Make a scale of saved arrays.

        Raises
        ------
        InputError
            If one is missing or they differ in length.
        """
        if len({arrays[name].shape for name in _FIELDS if name in arrays}) != 1 or not (
            arrays.keys() >= set(_FIELDS)
        ):
            raise InputError(
                "scale of the expression", "arrays", found=", ".join(sorted(arrays)),
                expected=f"{', '.join(_FIELDS)} of one length", remedy="copy the model again",
            )  # fmt: skip
        return cls(**{name: arrays[name] for name in _FIELDS}, kind=kind)

    def _of(self, name: str, like: Tensor) -> Tensor:
        values: np.ndarray = getattr(self, name)
        return torch.from_numpy(values).to(like.device).view(1, -1, 1, 1)


def _min_max(counts: Tensor) -> Tensor:
    low, high = counts.amin(dim=(2, 3), keepdim=True), counts.amax(dim=(2, 3), keepdim=True)
    return (counts - low) / (high - low).clamp(min=1e-12)
