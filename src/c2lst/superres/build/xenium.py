"""Xenium: transcripts counted in small bins, with the H&E image turned to their frame."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from c2lst.data.image import SlideImage
from c2lst.data.readers.alignment import (
    Alignment,
    direction,
    find_alignment,
    find_image,
    read_alignment,
)
from c2lst.data.readers.constants import SpaceRangerFile, XeniumFile, XeniumKey
from c2lst.data.readers.packed import read_length, read_packed_json
from c2lst.data.readers.spaceranger import find, sample_name
from c2lst.data.readers.transcripts import bin_transcripts
from c2lst.errors import InputError
from c2lst.superres.build.grid import check_widths, choose_genes, on_map, without_strays
from c2lst.superres.maps import MapSample, SuperresMaps, check_scale
from c2lst.superres.pooling import Sampling
from c2lst.superres.raster import Placement, tissue_of_bins, warp

_TRANSCRIPTS = (XeniumFile.TRANSCRIPTS_PARQUET, XeniumFile.TRANSCRIPTS_CSV, "transcripts.csv")


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
    """Count the transcripts of a section in bins.

    Parameters
    ----------
    source
        Output folder, with ``experiment.xenium``, transcripts, and the H&E image with its
        alignment in it or beside it.
    patient, name
        By default the folder's name.
    genes
        Genes of the maps; by default the ``number`` with most transcripts.
    bin_um, spot_um, sampling
        Bins, spots, and what a spot counts.
    image_um
        µm per px of the image; by default half a bin.
    image
        H&E image, where it lies elsewhere.

    Raises
    ------
    InputError
        If a width is none, a file is missing or damaged, or image and transcripts do not lie on
        each other.
    """
    check_widths(bin_um=bin_um, spot_um=spot_um, image_um=image_um)
    check_scale(bin_um, spot_um)
    outs = source / SpaceRangerFile.OUTS
    folder = outs if (outs / XeniumFile.EXPERIMENT).is_file() else source
    transcripts = find(folder, _TRANSCRIPTS)
    if transcripts is None:
        raise InputError(
            folder, "holds no transcripts", expected=_TRANSCRIPTS[0].value,
            remedy="counts of cells are too coarse for bins: copy the whole output folder",
        )  # fmt: skip
    experiment = folder / XeniumFile.EXPERIMENT
    pixel_um = read_length(experiment, read_packed_json(experiment), XeniumKey.PIXEL_SIZE)
    image = image or find_image(folder)
    alignment = read_alignment(find_alignment(image, folder))
    scale = max(1, round(spot_um / bin_um))
    binned = without_strays(bin_transcripts(transcripts, bin_um), scale)
    columns = choose_genes(str(transcripts), binned, genes, number)
    px = max(1, round(bin_um / image_um)) if image_um else 2
    with SlideImage.open(image) as slide:
        alignment = direction(alignment, slide, binned.centres_um / pixel_um, pixel_um)
        counts, _, first = on_map(binned, columns, scale)
        shape = (counts.shape[1], counts.shape[2])
        placement = _placement(alignment, (first[1] * bin_um, first[0] * bin_um), pixel_um)
        pixels = warp(slide, placement, (shape[0] * px, shape[1] * px), bin_um / px)
        tissue = tissue_of_bins(slide, placement, shape, bin_um)
    name = name or sample_name(folder)
    sample = MapSample(name, patient or name, counts, pixels, tissue)
    names = tuple(binned.genes[columns].tolist())
    return SuperresMaps(
        names, bin_um, spot_um, (sample,), sampling, source={"kind": "Xenium transcripts"}
    )


def _placement(alignment: Alignment, origin_um: tuple[float, float], pixel_um: float) -> Placement:
    """From µm of the map, by morphology px, to px of the H&E image."""
    inverse = np.linalg.inv(alignment.matrix)[:2]
    linear = inverse[:, :2] / pixel_um
    shift = linear @ np.array(origin_um) + inverse[:, 2]
    return Placement(np.column_stack([linear, shift]))
