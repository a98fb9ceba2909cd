"""A predicted map with its uncertainty, and its file."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from c2lst import __version__

if TYPE_CHECKING:
    from anndata import AnnData


@dataclass(frozen=True, eq=False)
class SuperresPrediction:
    """Mean and standard deviation of the maps drawn for an area; arrays are ``(G, H, W)``.

    Parameters
    ----------
    name, genes
        Of the area.
    mean, sd
        Of the counts of a bin.
    log_mean, log_sd
        Of log1p counts.
    first
        Counts of the first map drawn: as rough as a measured one, which the mean is not.
    tissue
        bool ``(H, W)``; all else is zero elsewhere, but for spots that have counts and no tissue:
        theirs are kept, where maps agree with the spots, and are no rows of the file.
    bin_um, origin_um
        Side of a bin, and corner (x, y) of the first, in µm.
    samples
        How many maps were drawn.
    unit
        ``counts`` in a bin; ``relative`` where model and settings leave no unit.
    provenance
        How it was made.
    """

    name: str
    genes: tuple[str, ...]
    mean: np.ndarray
    sd: np.ndarray
    log_mean: np.ndarray
    log_sd: np.ndarray
    first: np.ndarray
    tissue: np.ndarray
    bin_um: float
    origin_um: tuple[float, float]
    samples: int
    unit: str = "counts"
    provenance: dict[str, Any] = field(default_factory=dict)

    def to_anndata(self) -> AnnData:
        """Return the bins of tissue as AnnData.

        ``X``: mean counts of a bin; layers ``sd``, ``log1p`` and ``log1p_sd``. ``obs``:
        ``array_row`` and ``array_col`` on the grid; ``obsm["spatial"]``: centres (x, y) in µm.
        ``uns["c2lst_superres"]``: side of a bin, shape of the grid, unit and provenance. With one
        sample there are no deviations.
        """
        import pandas as pd
        from anndata import AnnData

        row, column = np.nonzero(self.tissue)
        obs = pd.DataFrame(
            {"array_row": row, "array_col": column},
            index=[
                f"bin_{r:05d}_{c:05d}" for r, c in zip(row.tolist(), column.tolist(), strict=True)
            ],
        )
        layers = {"log1p": self.log_mean}
        if self.samples > 1:
            layers |= {"sd": self.sd, "log1p_sd": self.log_sd}
        table = AnnData(
            self.mean[:, self.tissue].T.astype(np.float32),
            obs=obs,
            var=pd.DataFrame(index=list(self.genes)),
            layers={k: v[:, self.tissue].T.astype(np.float32) for k, v in layers.items()},
        )
        centres = (np.column_stack([column, row]) + 0.5) * self.bin_um + self.origin_um
        table.obsm["spatial"] = centres
        table.uns["c2lst_superres"] = {
            "c2lst": __version__,
            "section": self.name,
            "bin_um": self.bin_um,
            "origin_um": np.array(self.origin_um),
            "grid": np.array(self.tissue.shape),
            "unit": self.unit,
            "samples": self.samples,
            **self.provenance,
        }
        return table


class Moments:
    """Running mean and standard deviation over maps, one at a time (Welford, 1962)."""

    def __init__(self) -> None:
        self.number = 0
        self.mean: np.ndarray = np.zeros(())
        self._squares: np.ndarray = np.zeros(())

    def add(self, values: np.ndarray) -> None:
        """Take one more map in."""
        self.number += 1
        before = values - self.mean
        self.mean = self.mean + before / self.number
        self._squares = self._squares + before * (values - self.mean)

    @property
    def sd(self) -> np.ndarray:
        """Standard deviation, with n - 1; zeros of one map."""
        return np.sqrt(self._squares / max(1, self.number - 1))
