"""How counts are shown to a network, and how its answer becomes counts again."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from c2lst.errors import InputError
from c2lst.superres.interpolation import LEAST_SD, Interpolation, interpolated
from c2lst.superres.maps import SuperresMaps
from c2lst.superres.sample import MapSample
from c2lst.superres.settings import Normalisation

_FIELDS = ("hr_mean", "hr_sd", "hr_high", "lr_mean", "lr_sd")
_INTERPOLATION = ("slope", "intercept", "rest")


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
    interpolation
        Where it is there, scaled bins are told as what they differ by from it.
    """

    hr_mean: np.ndarray
    hr_sd: np.ndarray
    hr_high: np.ndarray
    lr_mean: np.ndarray
    lr_sd: np.ndarray
    kind: Normalisation = "log1p"
    interpolation: Interpolation | None = None

    @classmethod
    def fit(
        cls, maps: SuperresMaps, kind: Normalisation = "log1p", *, residual: bool = False
    ) -> ExpressionScale:
        """Fit the scale on training maps, with ``residual`` that of an interpolation, too.

        Raises
        ------
        InputError
            If they have no tissue.
        """
        if not any(sample.tissue.any() for sample in maps.samples):
            raise InputError("maps", "have no bin of tissue", remedy="use maps with more tissue")
        bins = [np.log1p(sample.counts[:, sample.tissue]) for sample in maps.samples]
        spots = [
            np.log1p(maps.spots(sample)).reshape(len(maps.genes), -1) for sample in maps.samples
        ]
        hr, lr = np.concatenate(bins, axis=1), np.concatenate(spots, axis=1)

        def sd(values: np.ndarray) -> np.ndarray:
            return np.maximum(values.std(axis=1), LEAST_SD)

        fields = (hr.mean(axis=1), sd(hr), hr.max(axis=1), lr.mean(axis=1), sd(lr))
        arrays = {k: v.astype(np.float32) for k, v in zip(_FIELDS, fields, strict=True)}
        if residual:
            bins = (hr - arrays["hr_mean"][:, None]) / arrays["hr_sd"][:, None]
            told = [_interpolated_tissue(maps, sample) for sample in maps.samples]
            arrays |= vars(Interpolation.fit(np.concatenate(told, axis=1), bins))
        return cls.of_arrays(arrays, kind)

    def base(self, spots: Tensor, factor: int, shape: tuple[int, ...]) -> Tensor | None:
        """Say what interpolation makes of spots; nothing where the scale has none.

        Parameters
        ----------
        spots
            Counts, ``(B, G, h, w)``.
        factor
            Bins along a spot.
        shape
            Bins (H, W) that are wanted.

        Returns
        -------
        Tensor or None
            What the other methods take as ``base``, ``(B, G, H, W)``.
        """
        if self.interpolation is None:
            return None
        return self.interpolation(interpolated(spots, factor, shape))

    def encode_bins(self, counts: Tensor, base: Tensor | None = None) -> Tensor:
        """Scale counts of bins ``(B, G, H, W)``."""
        if self.kind == "paper":
            return _min_max(counts)
        return self._rest(
            (torch.log1p(counts) - self._of("hr_mean", counts)) / self._of("hr_sd", counts), base
        )

    def encode_spots(self, counts: Tensor) -> Tensor:
        """Scale counts of spots ``(B, G, h, w)``."""
        if self.kind == "paper":
            return _min_max(counts)
        return (torch.log1p(counts) - self._of("lr_mean", counts)) / self._of("lr_sd", counts)

    def decode(self, values: Tensor, base: Tensor | None = None) -> Tensor:
        """Return counts for scaled bins ``(B, G, H, W)``; with ``paper``, relative values."""
        if self.kind == "paper":
            return values.clamp(0, 1)
        logs = self._whole(values, base) * self._of("hr_sd", values) + self._of("hr_mean", values)
        return torch.expm1(logs.clamp(min=0))

    def clamp(self, values: Tensor, base: Tensor | None = None) -> Tensor:
        """Keep scaled values of bins within what the training maps hold."""
        if self.kind == "paper":
            return values.clamp(0, 1)
        mean, sd = self._of("hr_mean", values), self._of("hr_sd", values)
        high = (self._of("hr_high", values) - mean) / sd
        return self._rest(self._whole(values, base).clamp(-mean / sd, high), base)

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the arrays by name, to be saved."""
        own = {name: getattr(self, name) for name in _FIELDS}
        return own if self.interpolation is None else own | vars(self.interpolation)

    @classmethod
    def of_arrays(cls, arrays: dict[str, np.ndarray], kind: Normalisation) -> ExpressionScale:
        """Make a scale of saved arrays.

        Raises
        ------
        InputError
            If one is missing or they differ in length.
        """
        names = _FIELDS + (_INTERPOLATION if arrays.keys() & set(_INTERPOLATION) else ())
        if len({arrays[name].shape for name in names if name in arrays}) != 1 or not (
            arrays.keys() >= set(names)
        ):
            raise InputError(
                "scale of the expression", "arrays", found=", ".join(sorted(arrays)),
                expected=f"{', '.join(names)} of one length", remedy="copy the model again",
            )  # fmt: skip
        line = None
        if len(names) > len(_FIELDS):
            line = Interpolation(**{name: arrays[name] for name in _INTERPOLATION})
        return cls(**{name: arrays[name] for name in _FIELDS}, kind=kind, interpolation=line)

    def _rest(self, bins: Tensor, base: Tensor | None) -> Tensor:
        line = self.interpolation
        return bins if line is None or base is None else line.without(bins, base)

    def _whole(self, rest: Tensor, base: Tensor | None) -> Tensor:
        line = self.interpolation
        return rest if line is None or base is None else line.whole(rest, base)

    def _of(self, name: str, like: Tensor) -> Tensor:
        values: np.ndarray = getattr(self, name)
        return torch.from_numpy(values).to(like.device).view(1, -1, 1, 1)


def _interpolated_tissue(maps: SuperresMaps, sample: MapSample) -> np.ndarray:
    """Interpolate the spots of a training map at its bins of tissue, (G, n)."""
    spots = torch.from_numpy(maps.spots(sample).astype(np.float32))[None]
    return interpolated(spots, maps.scale, sample.shape)[0].numpy()[:, sample.tissue]


def _min_max(counts: Tensor) -> Tensor:
    low, high = counts.amin(dim=(2, 3), keepdim=True), counts.amax(dim=(2, 3), keepdim=True)
    return (counts - low) / (high - low).clamp(min=1e-12)
