"""One area of tissue: a map of counts and the image of the same place."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from c2lst.errors import InputError

AGAIN = "build the maps again"


@dataclass(frozen=True, eq=False)
class MapSample:
    """One area of tissue: a map of counts and the image of the same place.

    Parameters
    ----------
    name, patient
        Of the area, and of whom it was taken: the unit of every split.
    counts
        Counts of each gene in each bin, float32 ``(G, H, W)``; rows run down the image.
    image
        RGB image of the same area, uint8 ``(k·H, k·W, 3)``: k px along a bin.
    tissue
        Which bins are tissue, bool ``(H, W)``.
    expected
        Where the truth is known (simulations): the expectation of ``counts``, of their shape.
    spots
        Counts of the spots, float32 ``(G, h, w)``, where they come with the source; by default
        they are made from the bins.

    Raises
    ------
    InputError
        If the parts do not fit together, or a count is negative or not finite.
    """

    name: str
    patient: str
    counts: np.ndarray
    image: np.ndarray
    tissue: np.ndarray
    expected: np.ndarray | None = None
    spots: np.ndarray | None = None

    def __post_init__(self) -> None:
        where = f"sample {self.name!r}"
        if not self.name or any(sign in self.name for sign in "/\\") or not self.patient:
            raise InputError(where, "needs a patient, and a name without / and \\")
        if self.counts.ndim != 3 or 0 in self.counts.shape:
            raise InputError(
                where, "counts", found=f"shape {self.counts.shape}",
                expected="genes × rows × columns",
            )  # fmt: skip
        rows, columns = self.shape
        for what, values in (("counts", self.counts), ("expected counts", self.expected),
                             ("counts of spots", self.spots)):  # fmt: skip
            if values is not None and not (np.isfinite(values).all() and values.min() >= 0):
                raise InputError(
                    where, f"{what} are negative or not finite", expected="counts", remedy=AGAIN
                )
        if self.tissue.shape != (rows, columns) or self.tissue.dtype != bool:
            raise InputError(
                where, "tissue and map differ in shape", found=f"{self.tissue.shape}",
                expected=f"bool {(rows, columns)}", remedy=AGAIN,
            )  # fmt: skip
        height, width = self.image.shape[:2]
        per_bin = height // rows
        if self.image.dtype != np.uint8 or self.image.shape != (
            per_bin * rows,
            per_bin * columns,
            3,
        ):
            raise InputError(
                where, "image and map do not match", found=f"image of {width}×{height} px",
                expected=f"a whole number of px for each of {columns}×{rows} bins",
                remedy="give the image of the same area",
            )  # fmt: skip
        if self.expected is not None and self.expected.shape != self.counts.shape:
            raise InputError(where, "expected counts are of another shape", remedy=AGAIN)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the map."""
        return int(self.counts.shape[1]), int(self.counts.shape[2])

    @property
    def image_px(self) -> int:
        """Image px along a bin, k."""
        return int(self.image.shape[0] // self.counts.shape[1])
