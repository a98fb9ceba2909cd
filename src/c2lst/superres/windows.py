"""Training windows: every place of the maps that a window fits, at whole spots."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from c2lst.superres.lowres import LowRes
from c2lst.superres.maps import SuperresMaps
from c2lst.superres.settings import SuperresSettings

LEAST_TISSUE = 0.1


def padded(values: np.ndarray, rows: int, columns: int, fill: int = 0) -> np.ndarray:
    """Extend the first two axes to at least ``rows`` and ``columns``."""
    extra = [(0, max(0, rows - values.shape[0])), (0, max(0, columns - values.shape[1]))]
    extra += [(0, 0)] * (values.ndim - 2)
    return np.pad(values, extra, constant_values=fill)


class Field:
    """An area made ready to be cut into windows: extended to whole spots and to one window.

    Parameters
    ----------
    low
        Spots and image.
    settings
        Of the network.
    counts
        Counts of the bins ``(G, H, W)``, for training.
    """

    def __init__(
        self, low: LowRes, settings: SuperresSettings, counts: np.ndarray | None = None
    ) -> None:
        self.settings = settings
        low = low.with_image_px(settings.image_px)
        # Where a window has fewer bins than its spots (256 of 26 spots at 10×), those of the last
        # spots lie in no window, unless there is one beyond them to predict by.
        short = settings.lr_size * settings.scale - settings.hr_size if counts is None else 0
        beyond = -(-short // settings.scale)
        rows, columns = (max(side + beyond, settings.lr_size) for side in low.spots.shape[1:])
        self.grid = (rows, columns)
        self.shape = (rows * settings.scale, columns * settings.scale)
        k = settings.image_px
        self.spots = _extended(low.spots, self.grid)
        self.image = padded(low.image, self.shape[0] * k, self.shape[1] * k, fill=255)
        self.tissue = padded(low.tissue, *self.shape)
        self.counts = None if counts is None else _extended(counts, self.shape)

    def window(self, row: int, column: int) -> dict[str, np.ndarray]:
        """Return the window whose first spot is (row, column)."""
        s = self.settings
        side, k = s.hr_size, s.image_px
        top, left = row * s.scale, column * s.scale
        found = {
            "spots": self.spots[:, row : row + s.lr_size, column : column + s.lr_size],
            "image": self.image[top * k : (top + side) * k, left * k : (left + side) * k],
        }
        if self.counts is not None:
            found["bins"] = self.counts[:, top : top + side, left : left + side]
        return found

    def places(self, stride: int = 1) -> list[tuple[int, int]]:
        """First spots of windows that cover the area, ``stride`` spots apart."""
        rows, columns = (
            sorted({*range(0, side - self.settings.lr_size, stride), side - self.settings.lr_size})
            for side in self.grid
        )
        return [(row, column) for row in rows for column in columns]

    def has_tissue(self, row: int, column: int) -> bool:
        """Whether enough of a window is tissue to learn from."""
        s = self.settings
        top, left = row * s.scale, column * s.scale
        part = self.tissue[top : top + s.hr_size, left : left + s.hr_size]
        return bool(part.mean() >= LEAST_TISSUE)


class WindowSource:
    """All windows of training maps that hold tissue.

    Parameters
    ----------
    maps
        Training maps, at the scale of the settings.
    settings
        Of the network.
    """

    def __init__(self, maps: SuperresMaps, settings: SuperresSettings) -> None:
        self._fields = [
            Field(LowRes.of_sample(maps, sample), settings, sample.counts)
            for sample in maps.samples
        ]
        self._windows = [
            (number, *place)
            for number, area in enumerate(self._fields)
            for place in area.places()
            if area.has_tissue(*place)
        ]

    def __len__(self) -> int:
        return len(self._windows)

    def fetch(self, indices: np.ndarray) -> dict[str, Tensor]:
        """Return ``spots`` and ``bins`` in counts, and ``image`` as uint8 ``(B, S, S, 3)``."""
        windows = []
        for index in indices:
            number, row, column = self._windows[index]
            windows.append(self._fields[number].window(row, column))
        return {
            name: torch.from_numpy(np.stack([window[name] for window in windows]))
            for name in ("spots", "image", "bins")
        }


def _extended(maps: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    values = maps.astype(np.float32, copy=False)  # what networks compute in
    return padded(values.transpose(1, 2, 0), *shape).transpose(2, 0, 1)
