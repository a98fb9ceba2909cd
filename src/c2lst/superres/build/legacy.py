"""Legacy Spatial Transcriptomics as an external set: its spots are the bins, pooled to squares.

Spots of 200 µm pitch, averaged two by two or three by three, are what is given; the original
grid is what is wanted.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from c2lst.data.readers import read
from c2lst.errors import InputError
from c2lst.superres.build.grid import check_widths
from c2lst.superres.maps import MapSample, SuperresMaps
from c2lst.superres.raster import Placement, warp

if TYPE_CHECKING:
    from c2lst.data.section import Section

POOLED = 2


def build(
    source: Path,
    *,
    section: str | None = None,
    patient: str | None = None,
    genes: tuple[str, ...] | None = None,
    number: int = 25,
    factor: int = POOLED,
    image_um: float | None = None,
    image: Path | None = None,
    mpp: float | None = None,
) -> SuperresMaps:
    """Read a legacy section and lay its spots on their grid.

    Parameters
    ----------
    source
        Folder of the section.
    section
        Which, where the folder holds several.
    patient
        Whom it was taken of; by default the section's name.
    genes
        Genes of the maps; by default the ``number`` of the highest mean.
    factor
        Spots along the side of a pooled square.
    image_um
        µm per px of the image; by default an eighth of the pitch.
    image, mpp
        As the reader takes them.

    Raises
    ------
    InputError
        If the section cannot be read, lacks a gene, or is no square array.
    """
    check_widths(image_um=image_um)
    if factor < 2:
        raise InputError("--factor", "spots along a square", found=factor, expected="2 or more")
    found = read(source, format="legacy", section=section, image=image, mpp=mpp, size=32)
    columns = _columns(found, genes, number)
    row, column = (found.adata.obs[key].to_numpy(int) for key in ("array_row", "array_col"))
    row, column = row - row.min(), column - column.min()
    shape = (int(row.max()) + 1, int(column.max()) + 1)
    counts = np.zeros((len(columns), *shape), dtype=np.float32)
    counts[:, row, column] = np.asarray(found.counts[:, columns].todense()).T
    tissue = np.zeros(shape, dtype=bool)
    tissue[row, column] = True
    pitch = round(found.pitch_um, 6)
    px = 8 if image_um is None else round(pitch / image_um)
    if px < 1:
        raise InputError(
            "--image-um", "is wider than a spot's pitch", found=image_um, expected=pitch
        )
    places = (np.column_stack([column, row]) + 0.5) * pitch
    with found.open_image() as slide:
        placement = Placement.fitted(places, found.centres_px)
        pixels = warp(slide, placement, (shape[0] * px, shape[1] * px), pitch / px)
    sample = MapSample(found.name, patient or found.name, counts, pixels, tissue)
    names = tuple(found.genes[columns].tolist())
    about = {"kind": f"legacy Spatial Transcriptomics, {factor}×{factor} spots pooled"}
    return SuperresMaps(names, pitch, pitch * factor, (sample,), source=about)


def _columns(section: Section, genes: tuple[str, ...] | None, number: int) -> np.ndarray:
    """Places of the genes asked for, or of those with the highest mean."""
    if genes is None:
        mean = np.asarray(section.counts.mean(axis=0)).ravel()
        return np.argsort(-mean, kind="stable")[:number]
    found = section.adata.var_names.get_indexer(list(genes))
    if (found < 0).any():
        missing = [gene for gene, at in zip(genes, found, strict=True) if at < 0]
        raise InputError(
            f"section {section.name!r}", f"{len(missing)} of {len(genes)} genes are unknown",
            found=missing[0], remedy="check the names in --genes",
        )  # fmt: skip
    return np.asarray(found)
