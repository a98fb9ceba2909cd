"""Xenium: transcripts, or cells, summed on square pseudo-spots over the section's H&E image."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from c2lst.data.assembly import assemble, check_patch_request
from c2lst.data.image import SlideImage
from c2lst.data.raw import RawSection, ReadRequest
from c2lst.data.readers.alignment import (
    direction,
    find_alignment,
    find_image,
    inside_image,
    read_alignment,
)
from c2lst.data.readers.bins import BinnedCounts, bin_width, pseudo_barcodes, sum_by
from c2lst.data.readers.constants import SpaceRangerFile, XeniumFile, XeniumKey
from c2lst.data.readers.packed import opened_bytes, read_length, read_packed_json
from c2lst.data.readers.spaceranger import find, sample_name
from c2lst.data.readers.tables import numbers
from c2lst.data.readers.tenx import open_matrix
from c2lst.data.readers.transcripts import bin_transcripts
from c2lst.errors import InputError
from c2lst.progress import logger

if TYPE_CHECKING:
    import pandas as pd

    from c2lst.data.section import Section

NAME = "xenium"
TITLE = "Xenium (10x)"
HAS_BINS = True
LOOKS_FOR = (
    "experiment.xenium with transcripts.parquet (or .csv.gz), or with cell_feature_matrix.h5 and "
    "cells.parquet (or .csv.gz); an H&E image *he_image* with its *_imagealignment.csv"
)
TECHNOLOGY = "Xenium"

_TRANSCRIPTS = (XeniumFile.TRANSCRIPTS_PARQUET, XeniumFile.TRANSCRIPTS_CSV, "transcripts.csv")
_CELLS = (XeniumFile.CELLS_PARQUET, XeniumFile.CELLS_CSV, "cells.csv")
_CELL_MATRICES = (XeniumFile.CELL_MATRIX_H5, XeniumFile.CELL_MATRIX)
_CELL_COLUMNS = [key.value for key in (XeniumKey.CELL, XeniumKey.CELL_X, XeniumKey.CELL_Y)]


def recognise(source: Path, section: str | None) -> str | None:
    """Say why ``source`` is a Xenium output folder; none if it is not."""
    folder = _folder(source)
    for name in (XeniumFile.EXPERIMENT, *_TRANSCRIPTS):
        if (folder / name).is_file() and (source.is_dir() or source.name == name):
            return f"it has {name}"
    return None


def read(source: Path, request: ReadRequest) -> Section:
    """Read a Xenium section as square pseudo-spots of ``request.bin_um``, 112 µm by default.

    Transcripts are counted wherever they lie; where they are missing, the counts of cells are
    summed by the square of the cell's centre. Squares that hold next to nothing are dropped.

    Parameters
    ----------
    source
        The output folder, or its ``experiment.xenium``.
    request
        How it is to be read; ``image`` is the H&E image, whose alignment lies beside it.

    Raises
    ------
    InputError
        If a file is missing or damaged, or image and alignment do not fit.
    """
    check_patch_request(request.patch_um, request.size)
    width = bin_width(request)
    folder = _folder(source)
    name = request.section or sample_name(folder)
    experiment = folder / XeniumFile.EXPERIMENT
    pixel_um = read_length(experiment, read_packed_json(experiment), XeniumKey.PIXEL_SIZE)
    image = request.image or find_image(folder)
    alignment = read_alignment(find_alignment(image, folder))
    squares = _binned(folder, width)
    filled = squares.filled()
    with SlideImage.open(image) as slide:
        morphology_px = filled.centres_um / pixel_um
        alignment = direction(alignment, slide, morphology_px, pixel_um)
        centres = alignment.to_image(morphology_px)
        inside = inside_image(centres, slide)
    spots = filled.subset(inside)
    mpp = alignment.scale * pixel_um
    dropped = {
        "that hold next to nothing": len(squares) - len(filled),
        "beyond the image": int((~inside).sum()),
    }
    logger.info(
        "%s: %d pseudo-spots of %g µm; dropped: %s; another width: --bin-um",
        name, len(spots), width,
        ", ".join(f"{number} {why}" for why, number in dropped.items()),
    )  # fmt: skip
    return assemble(
        RawSection(
            name=name,
            technology=TECHNOLOGY,
            counts=spots.counts,
            barcodes=pseudo_barcodes(width, spots.row, spots.col),
            genes=spots.genes,
            array_row=spots.row,
            array_col=spots.col,
            centres_px=centres[inside],
            image_path=image,
            pitch_um=width,
            spot_um=width,
            mpp_stated=mpp,
            places_file=alignment.path,
            gene_ids=spots.gene_ids,
            dropped=dropped,
        ),
        request,
    )


def _folder(source: Path) -> Path:
    folder = source if source.is_dir() else source.parent
    outs = folder / SpaceRangerFile.OUTS
    return outs if (outs / XeniumFile.EXPERIMENT).is_file() else folder


def _binned(folder: Path, width: float) -> BinnedCounts:
    transcripts = find(folder, _TRANSCRIPTS)
    if transcripts is not None:
        return bin_transcripts(transcripts, width)
    matrix, cells = find(folder, _CELL_MATRICES), find(folder, _CELLS)
    if matrix is None or cells is None:
        raise InputError(
            folder,
            "holds neither transcripts nor cells with counts",
            found=", ".join(sorted(path.name for path in folder.iterdir()))[:200],
            expected=f"{_TRANSCRIPTS[0]}, or {_CELL_MATRICES[0]} and {_CELLS[0]}",
            remedy="copy the whole output folder",
        )
    logger.info("%s has no transcripts; the counts of its cells are used", folder)
    return bin_cells(matrix, cells, width)


def bin_cells(matrix_path: Path, cells_path: Path, bin_um: float) -> BinnedCounts:
    """Sum the counts of cells by the square that their centre lies in.

    Parameters
    ----------
    matrix_path
        ``cell_feature_matrix.h5`` or its folder.
    cells_path
        ``cells.parquet`` or ``cells.csv.gz``: ``cell_id``, ``x_centroid``, ``y_centroid`` (µm).
    bin_um
        Width of a square, µm.

    Returns
    -------
    The squares that hold a cell, row by row.

    Raises
    ------
    InputError
        If a file is damaged, or a cell has no place.
    """
    import pandas as pd

    matrix = open_matrix(matrix_path)
    cells = _read_cells(cells_path)
    ids = cells[XeniumKey.CELL].to_numpy()
    centres = numbers(cells[_CELL_COLUMNS[1:]], cells_path, ids)
    place = pd.Index(ids).get_indexer(pd.Index(matrix.barcodes.astype(object)))
    if (place < 0).any():
        raise InputError(
            matrix_path,
            f"{(place < 0).sum()} of {len(place)} cells have no place",
            found=repr(str(matrix.barcodes[place < 0][0])),
            expected=f"cells of {cells_path.name}, such as {str(ids[0])!r}",
            remedy="give both files of the same section",
        )
    grid = np.floor(centres[place] / bin_um).astype(np.int64)
    squares, groups = np.unique(grid[:, ::-1], axis=0, return_inverse=True)
    counts = sum_by(groups.ravel(), len(squares), matrix.counts())
    row, col = squares.T
    return BinnedCounts(counts, matrix.genes, row, col, bin_um, gene_ids=matrix.gene_ids)


def _read_cells(path: Path) -> pd.DataFrame:
    import pandas as pd
    import pyarrow as pa

    try:
        if path.suffix == ".parquet":
            cells = pd.read_parquet(path)
        else:
            with opened_bytes(path) as stream:
                cells = pd.read_csv(stream, dtype={XeniumKey.CELL.value: str})
    except (OSError, ValueError, pa.ArrowException) as error:
        raise InputError(
            path,
            "is no readable table of cells",
            found=error,
            expected=", ".join(_CELL_COLUMNS),
            remedy="copy the file again, as it was written",
        ) from error
    missing = [column for column in _CELL_COLUMNS if column not in cells]
    ids = cells.get(XeniumKey.CELL.value, pd.Series(dtype=object))
    if missing or ids.duplicated().any() or len(cells) == 0:
        raise InputError(
            path,
            f"column {missing[0]!r} is missing" if missing else "a cell is listed twice, or none",
            found=", ".join(map(str, cells.columns[:12])) if missing else f"{len(cells)} rows",
            expected=", ".join(_CELL_COLUMNS) + ", a row a cell",
            remedy="copy the file again, as it was written",
        )
    # The first releases wrote ids as bytes, or as numbers.
    texts = [v.decode() if isinstance(v, bytes) else str(v) for v in ids]
    return cells.assign(**{XeniumKey.CELL.value: texts})
