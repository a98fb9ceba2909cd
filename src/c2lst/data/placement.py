"""Where patches lie: on tissue, over the border, on each other; and where new ones may lie."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from c2lst.data.image import SlideImage
from c2lst.data.tissue import TissueMask
from c2lst.errors import InputError
from c2lst.progress import logger

if TYPE_CHECKING:
    from scipy.spatial import KDTree

_MIN_TISSUE_SHARE = 0.5
_OVERLAP_SAMPLE = 20_000
_SPOTS_AT_ONCE = 512
_POSITIONS_AT_ONCE = 100_000


@dataclass(frozen=True, eq=False)
class Placement:
    """How a section's spots and patches lie on their slide.

    Parameters
    ----------
    outside
        bool (n,): spots whose centre is outside the image.
    over_border
        bool (n,): patches that reach over the border, and are filled up with background.
    on_tissue
        bool (n,): spots whose centre is on tissue.
    tissue
        float64 (n,): share of each patch that is tissue.
    overlap
        Median share of a patch that also lies in other spots' patches.
    mask
        The slide's tissue.
    """

    outside: np.ndarray
    over_border: np.ndarray
    on_tissue: np.ndarray
    tissue: np.ndarray
    overlap: float
    mask: TissueMask

    @classmethod
    def of(
        cls, image: SlideImage, centres_px: np.ndarray, mpp: float, patch_um: float
    ) -> Placement:
        """Look where patches of ``patch_um`` around ``centres_px`` (n, 2) lie on the slide."""
        centres = np.asarray(centres_px, dtype=float).reshape(-1, 2)
        size = np.array([image.width, image.height], dtype=float)
        half = patch_um / mpp / 2
        mask = TissueMask.of(image, mpp)
        return cls(
            outside=np.any((centres < 0) | (centres >= size), axis=1),
            over_border=np.any((centres < half) | (centres > size - half), axis=1),
            on_tissue=mask.at(centres),
            tissue=mask.share(centres, 2 * half),
            overlap=float(np.median(patch_overlap(centres * mpp, patch_um, _OVERLAP_SAMPLE)))
            if len(centres)
            else 0.0,
            mask=mask,
        )

    @property
    def tissue_share(self) -> float:
        """Share of the spots that lie on tissue."""
        return float(self.on_tissue.mean()) if len(self.on_tissue) else 0.0

    def __str__(self) -> str:
        parts = [
            f"{self.tissue_share:.0%} of {len(self.on_tissue)} spots lie on tissue",
            f"{self.over_border.sum()} patches reach over the border of the image",
            f"a patch shares {self.overlap:.0%} of its area with other spots' patches (median)",
        ]
        if self.outside.any():
            parts.insert(0, f"{self.outside.sum()} spots lie outside the image")
        return "; ".join(parts)


def patch_overlap(centres_um: np.ndarray, patch_um: float, most: int | None = None) -> np.ndarray:
    """Share of each patch that also lies in the patch of another spot.

    Parameters
    ----------
    centres_um
        (n, 2) centres in µm.
    patch_um
        Width of a patch in µm.
    most
        Look at no more than this many patches, an even selection; at all by default.

    Returns
    -------
    float64 (n,), or (most,) where there are more, in [0, 1].
    """
    from scipy.spatial import KDTree

    centres = np.asarray(centres_um, dtype=float).reshape(-1, 2)
    chosen = np.arange(len(centres))
    if most is not None and len(centres) > most:
        chosen = np.linspace(0, len(centres) - 1, most).round().astype(int)
    shares = np.zeros(len(chosen))
    if len(chosen) == 0:
        return shares
    tree = KDTree(centres)
    for start in range(0, len(chosen), _SPOTS_AT_ONCE):
        some = chosen[start : start + _SPOTS_AT_ONCE]
        pairs = KDTree(centres[some]).sparse_distance_matrix(
            tree, patch_um, p=np.inf, output_type="ndarray"
        )
        spot, other = pairs["i"], pairs["j"]
        spot, other = spot[some[spot] != other], other[some[spot] != other]
        offsets = (centres[other] - centres[some[spot]]) / patch_um
        shares[start : start + len(some)] = _covered(spot, offsets, len(some))
    return shares


def _covered(square: np.ndarray, offsets: np.ndarray, count: int) -> np.ndarray:
    """Share of each of ``count`` unit squares that equal squares cover together.

    ``offsets`` (m, 2), at most 1, are those of squares that lie on square ``square`` (m,).

    A square of equal size that lies on another reaches its left or its right edge, and its lower
    or its upper edge. Between two heights at which squares begin or end, what is covered is thus
    a stretch from the left and one from the right, each as long as the longest.
    """
    order = np.argsort(square, kind="stable")
    square, offsets = square[order], offsets[order]
    first = np.searchsorted(square, np.arange(count))
    rank = np.arange(len(square)) - first[square]
    # Where a square has fewer neighbours than others have, the rest touch it at a corner.
    around = np.ones((2, count, int(rank.max(initial=-1)) + 1))
    around[:, square, rank] = offsets.T
    height = np.where(around[1] >= 0, around[1] - 0.5, around[1] + 0.5)
    by_height = np.argsort(height, axis=1)
    dx, dy, height = (np.take_along_axis(v, by_height, axis=1) for v in (*around, height))
    edge = np.full((count, 1), 0.5)
    lengths = np.diff(np.concatenate([-edge, height, edge], axis=1), axis=1)
    covered = _reach(np.where(dx <= 0, 1 + dx, 0), dy) + _reach(np.where(dx >= 0, 1 - dx, 0), dy)
    return np.asarray((lengths * np.minimum(covered, 1)).sum(axis=1))


def _reach(stretch: np.ndarray, dy: np.ndarray) -> np.ndarray:
    """Longest stretch below the first height, between each two, and above the last."""
    begun = np.maximum.accumulate(np.where(dy >= 0, stretch, 0), axis=1)
    to_end = np.where(dy < 0, stretch, 0)[:, ::-1]
    to_end = np.maximum.accumulate(to_end, axis=1)[:, ::-1]
    return np.maximum(np.pad(begun, ((0, 0), (1, 0))), np.pad(to_end, ((0, 0), (0, 1))))


def tissue_positions(
    image: SlideImage,
    mpp: float,
    patch_um: float,
    stride_um: float,
    exclude_um: np.ndarray | None = None,
    exclude_radius_um: float | None = None,
) -> np.ndarray:
    """Grid positions on tissue whose patches share no pixel with the excluded ones.

    Patches are squares along the image's axes: two of width w share a pixel if and only if their
    centres differ by less than w both in x and in y. A position is therefore dropped where its
    Chebyshev distance to an excluded centre is below ``exclude_radius_um``.

    Parameters
    ----------
    image, mpp
        The slide and its µm per full-resolution px.
    patch_um
        Width of a patch in µm; at least half of it must be tissue, all of it on the slide.
    stride_um
        Step of the grid in µm.
    exclude_um
        (m, 2) centres as (x, y) in µm to stay away from, such as the test spots.
    exclude_radius_um
        ``patch_um`` by default.

    Returns
    -------
    float64 (k, 2) centres as (x, y) in full-resolution px, row by row; k may be 0.
    """
    if not (stride_um > 0 and patch_um > 0):
        raise InputError(
            "tissue positions", "stride_um and patch_um must be above 0", found=stride_um
        )
    half = patch_um / 2
    x = np.arange(half, image.width * mpp - half + 1e-9, stride_um)
    y = np.arange(half, image.height * mpp - half + 1e-9, stride_um)
    if len(x) == 0 or len(y) == 0:
        return np.empty((0, 2))
    mask = TissueMask.of(image, mpp)
    radius = patch_um if exclude_radius_um is None else exclude_radius_um
    excluded = _tree(exclude_um)
    kept = []
    rows = max(1, _POSITIONS_AT_ONCE // len(x))
    for start in range(0, len(y), rows):
        grid_um = np.stack(np.meshgrid(x, y[start : start + rows]), axis=-1).reshape(-1, 2)
        grid_um = grid_um[mask.share(grid_um / mpp, patch_um / mpp) >= _MIN_TISSUE_SHARE]
        if excluded is not None:
            nearest, _ = excluded.query(grid_um, p=np.inf, distance_upper_bound=radius)
            grid_um = grid_um[~(nearest < radius)]
        kept.append(grid_um / mpp)
    return np.concatenate(kept)


def _tree(points_um: np.ndarray | None) -> KDTree | None:
    from scipy.spatial import KDTree

    if points_um is None or len(points_um) == 0:
        return None
    return KDTree(np.asarray(points_um, dtype=float))


def report_resolution(name: str, mpp: float, patch_um: float, size: int) -> None:
    """Warn where the slide has fewer pixels in a patch than the patch is given."""
    native = patch_um / mpp
    if native < size:
        logger.warning(
            "%s: a patch of %g µm is %.0f px on this slide (%.2f µm/px) and is upsampled to "
            "%d px; no detail below %.1f µm is there. Use the full-resolution image, or size %d",
            name, patch_um, native, mpp, size, mpp, max(8, int(native) // 8 * 8),
        )  # fmt: skip
