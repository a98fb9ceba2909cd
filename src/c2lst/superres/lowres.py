"""What a model is given: counts of the spots on a grid, and the image of the same place."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from c2lst.data.readers.constants import HEST_LIBRARY, SpatialKey
from c2lst.errors import InputError
from c2lst.superres.maps import MapSample, SuperresMaps
from c2lst.superres.pooling import Sampling
from c2lst.superres.raster import Placement, tissue_of_bins, warp

if TYPE_CHECKING:
    from c2lst.data.section import Section

NEAREST = 4
REACH = 1.25
SAME_PLACE = 0.25
_PITCH_TOLERANCE = 0.1
_SAME_WIDTH = 0.01
_ROUND = 0.95  # of the pitch: wider spots are squares side by side


@dataclass(frozen=True, eq=False)
class LowRes:
    """Spots of one area on a square grid, with the image; rows run down.

    Parameters
    ----------
    name
        Of the area.
    genes
        In the order of ``spots``.
    spots
        Counts, float32 ``(G, h, w)``.
    image
        uint8 ``(k·H, k·W, 3)``.
    tissue
        Which bins to predict are tissue, bool ``(H, W)``; H is at most ``scale``·h.
    scale
        Bins along a spot.
    lr_um
        Side of a spot's square in µm.
    sampling
        What a spot counts.
    origin_um
        Corner (x, y) of the first bin in µm from the corner of the image or the map.
    """

    name: str
    genes: tuple[str, ...]
    spots: np.ndarray
    image: np.ndarray
    tissue: np.ndarray
    scale: int
    lr_um: float
    sampling: Sampling = "squares"
    origin_um: tuple[float, float] = (0.0, 0.0)

    @property
    def bin_um(self) -> float:
        """Side of a bin in µm."""
        return self.lr_um / self.scale

    @property
    def image_px(self) -> int:
        """Image px along a bin, k."""
        return int(self.image.shape[0] // self.tissue.shape[0])

    @classmethod
    def of_sample(cls, maps: SuperresMaps, sample: MapSample) -> LowRes:
        """Return the spots of a map, as a section of its own would have them."""
        return cls(
            sample.name, maps.genes, maps.spots(sample), sample.image, sample.tissue, maps.scale,
            maps.lr_um, maps.sampling,
        )  # fmt: skip

    @classmethod
    def of_section(
        cls,
        section: Section,
        genes: tuple[str, ...],
        *,
        scale: int,
        lr_um: float,
        image_px: int,
        sampling: Sampling = "squares",
    ) -> LowRes:
        """Lay the spots of a section on a square grid of ``lr_um`` along its image.

        A square takes the counts of the spot at its centre; on other arrays, such as a hexagonal
        one, the mean of its nearest spots, weighted by inverse squared distance. If the model's
        spots are whole squares, counts of round spots are brought to the area of a square.

        Parameters
        ----------
        section
            With counts of all ``genes``.
        genes
            Of the model.
        scale, lr_um, image_px, sampling
            Of the model.

        Raises
        ------
        InputError
            If genes are missing, the array has another pitch, or the image is gone or coarser than
            the model's.
        """
        where = f"section {section.name!r}"
        if abs(section.pitch_um / lr_um - 1) > _PITCH_TOLERANCE:
            raise InputError(
                where, "its spots are not as far apart as those that the model was trained on",
                found=f"{section.pitch_um:g} µm", expected=f"{lr_um:g} µm",
                remedy="check the µm/px of the section, or train on maps with this --spot-um",
            )  # fmt: skip
        if section.mpp > lr_um / scale / image_px * (1 + _SAME_WIDTH):
            raise InputError(
                where, "its image is coarser than the model's", found=f"{section.mpp:g} µm/px",
                expected=f"{lr_um / scale / image_px:g} µm/px or finer",
                remedy="give the image in full resolution, or train with a smaller --image-px",
            )  # fmt: skip
        columns = section.adata.var_names.get_indexer(list(genes))
        if (columns < 0).any():
            missing = [gene for gene, at in zip(genes, columns, strict=True) if at < 0]
            raise InputError(
                where, f"{len(missing)} of {len(genes)} genes of the model are not in it",
                found=f"without {missing[0]}", expected="all of them",
                remedy="use the same names, or train on the genes that they share",
            )  # fmt: skip
        counts = np.asarray(section.counts[:, columns].todense(), dtype=np.float32)
        factor = _area_factor(section, lr_um, sampling)
        origin, shape = _grid(section.centres_um, lr_um)
        spots = _on_grid(section.centres_um, counts * factor, origin, shape, lr_um)
        bin_um = lr_um / scale
        placement = Placement.along_image(origin, section.mpp)
        bins = (shape[0] * scale, shape[1] * scale)
        with section.open_image() as slide:
            image = warp(
                slide, placement, (bins[0] * image_px, bins[1] * image_px), bin_um / image_px
            )
            tissue = tissue_of_bins(slide, placement, bins, bin_um)
        return cls(section.name, genes, spots, image, tissue, scale, lr_um, sampling, origin)

    def require(self, genes: tuple[str, ...], scale: int, lr_um: float, sampling: Sampling) -> None:
        """See that this is what a model of these genes, sizes and spots can be given.

        Raises
        ------
        InputError
            If it is not, or there is no tissue.
        """
        where = f"sample {self.name!r}"
        for what, found, expected in (
            ("genes", self.genes, genes),
            ("bins along a spot", self.scale, scale),
            ("what a spot counts", self.sampling, sampling),
        ):
            if found != expected:
                raise InputError(
                    where, f"{what} are not the model's", found=found, expected=expected
                )
        if abs(self.lr_um / lr_um - 1) > _SAME_WIDTH:
            raise InputError(
                where, "spots are not as wide as the model's", found=f"{self.lr_um:g} µm",
                expected=f"{lr_um:g} µm",
            )  # fmt: skip
        if not self.tissue.any():
            raise InputError(where, "has no tissue", remedy="check its image")

    def with_image_px(self, image_px: int) -> LowRes:
        """Return the same with ``image_px`` px along a bin, averaged.

        Raises
        ------
        InputError
            If the image is coarser, or its px fill none of those a whole number of times.
        """
        if self.image_px % image_px:
            raise InputError(
                f"sample {self.name!r}", "the image's resolution does not fit the model",
                found=f"{self.bin_um / self.image_px:g} µm/px",
                expected=f"{self.bin_um / image_px:g} µm/px, or a whole part of it",
                remedy="build the maps with another --image-um",
            )  # fmt: skip
        factor = self.image_px // image_px
        height, width = self.image.shape[0] // factor, self.image.shape[1] // factor
        means = self.image.reshape(height, factor, width, factor, 3).mean(axis=(1, 3))
        return replace(self, image=means.round().astype(np.uint8))


def _area_factor(section: Section, lr_um: float, sampling: Sampling) -> float:
    """Compute how many times larger a model's spot is than one of the section.

    Pseudo-spots are squares as wide as their pitch, and are taken as they are.
    """
    library = section.adata.uns.get(SpatialKey.SPATIAL, {}).get(HEST_LIBRARY, {})
    diameter_px = library.get(SpatialKey.SCALEFACTORS, {}).get(SpatialKey.SPOT_DIAMETER)
    if sampling == "discs" or diameter_px is None:
        return 1.0
    diameter_um = float(diameter_px) * section.mpp
    if diameter_um > _ROUND * section.pitch_um:
        return 1.0
    return float(lr_um**2 / (np.pi / 4 * diameter_um**2))


def _grid(centres_um: np.ndarray, lr_um: float) -> tuple[tuple[float, float], tuple[int, int]]:
    """Corner and (rows, columns) of squares around the spots, in phase with as many as possible."""
    phase = np.exp(2j * np.pi * centres_um / lr_um).mean(axis=0)
    offset = np.angle(phase) / (2 * np.pi) * lr_um
    low = np.round((centres_um.min(axis=0) - offset) / lr_um) * lr_um + offset - lr_um / 2
    number = np.floor((centres_um.max(axis=0) - low) / lr_um).astype(int) + 1
    return (float(low[0]), float(low[1])), (int(number[1]), int(number[0]))


def _on_grid(
    centres_um: np.ndarray,
    counts: np.ndarray,
    origin_um: tuple[float, float],
    shape: tuple[int, int],
    lr_um: float,
) -> np.ndarray:
    """Bring counts to the squares of a grid, float32 (G, h, w); zero where no spot is near."""
    from scipy.spatial import cKDTree

    rows, columns = shape
    row, column = np.divmod(np.arange(rows * columns), columns)
    squares = (np.stack([column, row], axis=1) + 0.5) * lr_um + origin_um
    number = min(NEAREST, len(centres_um))
    distance, spot = cKDTree(centres_um).query(squares, k=number)
    distance, spot = distance.reshape(-1, number) / lr_um, spot.reshape(-1, number)
    weight = np.where(distance < REACH, 1 / np.maximum(distance, 1e-6) ** 2, 0.0)
    same = distance[:, 0] < SAME_PLACE
    weight[same] = np.arange(number) == 0
    # A square that is empty on a square array stays so: its neighbours are a whole pitch away.
    weight[distance[:, 0] > 0.75] = 0.0
    total = weight.sum(axis=1, keepdims=True)
    weight = np.divide(weight, total, out=np.zeros_like(weight), where=total > 0)
    values = np.einsum("nk,nkg->gn", weight, counts[spot])
    return values.reshape(-1, rows, columns).astype(np.float32)
