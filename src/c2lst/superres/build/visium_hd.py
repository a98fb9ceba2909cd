"""Visium HD: its bins of 2, 8 or 16 µm pooled to the bins of a map, with the microscope image."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from c2lst.data.image import SlideImage
from c2lst.data.raw import ReadRequest
from c2lst.data.readers.axes import array_lattice, check_axes
from c2lst.data.readers.positions import read_positions
from c2lst.data.readers.spaceranger import choose_image, join_places, sample_name
from c2lst.data.readers.tenx import open_matrix
from c2lst.data.readers.visium_hd import locate, pool
from c2lst.superres.build.grid import check_widths, choose_genes, on_map
from c2lst.superres.maps import MapSample, SuperresMaps, check_scale
from c2lst.superres.pooling import Sampling
from c2lst.superres.raster import Placement, tissue_of_bins, warp


def build(
    source: Path,
    *,
    patient: str | None = None,
    name: str | None = None,
    genes: tuple[str, ...] | None = None,
    number: int = 25,
    bin_um: float = 10.0,
    spot_um: float = 100.0,
    sampling: Sampling = "squares",
    image_um: float | None = None,
    image: Path | None = None,
) -> SuperresMaps:
    """Pool the bins of a section to those of a map.

    Parameters
    ----------
    source
        ``outs``, the folder it is in, ``binned_outputs``, or one of its ``square_…`` folders.
    patient, name
        By default the name of the sample.
    genes
        Genes of the maps; by default the ``number`` with most counts.
    bin_um
        A multiple of a width that the source has: 10 µm from 2 µm, 8 and 16 µm as they are.
    spot_um, sampling
        Spots, and what a spot counts.
    image_um
        µm per px of the image; by default half a bin.
    image
        The microscope image, where it lies elsewhere.

    Raises
    ------
    InputError
        If a file is missing or damaged, no bins can be pooled to that width, or image and bins
        do not lie on each other.
    """
    check_widths(bin_um=bin_um, spot_um=spot_um, image_um=image_um)
    check_scale(bin_um, spot_um)
    files = locate(source, bin_um)
    places = read_positions(files.spatial.positions)
    mpp = files.bin_um / replace(array_lattice(places), chessboard=False).pitch_px
    matrix = open_matrix(files.matrix)
    rows = join_places(files.matrix, matrix.barcodes, places)
    chosen = choose_image(
        files.spatial, files.image_folders, "", places, mpp, ReadRequest(image=image)
    )
    check_axes(places, chosen.path, mpp / chosen.scale, chosen.scale)
    name = name or sample_name(files.folder)
    factor = round(bin_um / files.bin_um)
    binned, centres, _ = pool(name, matrix, places, rows, files.bin_um, factor)
    columns = choose_genes(str(files.matrix), binned, genes, number)
    counts, present, first = on_map(binned, columns, max(1, round(spot_um / bin_um)))
    shape = (counts.shape[1], counts.shape[2])
    own = np.column_stack([binned.col - first[1], binned.row - first[0]])
    placement = Placement.fitted((own + 0.5) * bin_um, centres * chosen.scale)
    px = max(1, round(bin_um / image_um)) if image_um else 2
    with SlideImage.open(chosen.path) as slide:
        pixels = warp(slide, placement, (shape[0] * px, shape[1] * px), bin_um / px)
        tissue = tissue_of_bins(slide, placement, shape, bin_um) | present
    sample = MapSample(name, patient or name, counts, pixels, tissue)
    names = tuple(binned.genes[columns].tolist())
    return SuperresMaps(
        names, bin_um, spot_um, (sample,), sampling, source={"kind": "Visium HD bins"}
    )
