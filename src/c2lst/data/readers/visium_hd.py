"""Space Ranger's output for Visium HD: bins of 2, 8 and 16 µm, pooled to square pseudo-spots."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from c2lst.data.assembly import assemble, check_patch_request
from c2lst.data.raw import RawSection, ReadRequest
from c2lst.data.readers.axes import array_lattice, check_axes
from c2lst.data.readers.bins import BinnedCounts, bin_width, pseudo_barcodes, sum_by
from c2lst.data.readers.constants import ScaleFactor, SpaceRangerFile
from c2lst.data.readers.counts import TenxMatrix
from c2lst.data.readers.packed import read_length, read_packed_json
from c2lst.data.readers.positions import Places, read_positions
from c2lst.data.readers.spaceranger import (
    SpatialFiles,
    choose_image,
    find,
    join_places,
    sample_name,
)
from c2lst.data.readers.tenx import open_matrix
from c2lst.errors import InputError
from c2lst.progress import logger, progress_bar

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

    from c2lst.data.section import Section

NAME = "visium-hd"
TITLE = "Space Ranger (10x Visium HD)"
HAS_BINS = True
LOOKS_FOR = (
    "binned_outputs/square_016um (or 008um, 002um) with filtered_feature_bc_matrix.h5 and "
    "spatial/tissue_positions.parquet, in the folder or its outs/, or one such square_… folder"
)
TECHNOLOGY = "Visium HD"

LEAST_IN_TISSUE = 0.5
"""Share of a pseudo-spot's bins that must lie in tissue."""

_SQUARE = re.compile(r"square_(\d+)um")
_MATRICES = (
    SpaceRangerFile.FILTERED_H5,
    SpaceRangerFile.FILTERED,
    SpaceRangerFile.RAW_H5,
    SpaceRangerFile.RAW,
)


@dataclass(frozen=True)
class BinFiles:
    """Files of the bins of one width."""

    folder: Path
    bin_um: int
    matrix: Path
    spatial: SpatialFiles

    @property
    def image_folders(self) -> tuple[Path, ...]:
        """Folders in which the microscope image may lie."""
        outs = self.folder.parent.parent
        return (outs / SpaceRangerFile.MICROSCOPE, outs, outs.parent)


def recognise(source: Path, section: str | None) -> str | None:
    """Say why ``source`` is Space Ranger output for Visium HD; none if it is not."""
    squares = _squares(source)
    if not squares:
        return None
    names = ", ".join(squares[width].name for width in sorted(squares))
    return f"it has bins in {names}, as Visium HD"


def read(source: Path, request: ReadRequest) -> Section:
    """Read bins and pool them to pseudo-spots of ``request.bin_um``, 112 µm by default.

    They are made from the widest bins that fit into them a whole number of times. Pseudo-spots
    with less than half of their bins in tissue are dropped. Counts are read in blocks, so that
    memory is bounded by the pooled counts; positions take about 150 bytes a bin, so 2 µm bins
    (11 million) want 2 GB.

    Parameters
    ----------
    source
        ``outs``, the folder it is in, ``binned_outputs``, or one of its ``square_…`` folders.
    request
        How it is to be read.

    Raises
    ------
    InputError
        If a file is missing or damaged, or the files do not fit together.
    """
    check_patch_request(request.patch_um, request.size)
    width = bin_width(request)
    files = locate(source, width)
    stated = _stated_mpp(files)
    places = read_positions(files.spatial.positions)
    mpp = files.bin_um / replace(array_lattice(places), chessboard=False).pitch_px
    matrix = open_matrix(files.matrix)
    rows = join_places(files.matrix, matrix.barcodes, places)
    image = choose_image(files.spatial, files.image_folders, "", places, mpp, request)
    check_axes(places, image.path, mpp / image.scale, image.scale)
    name = request.section or sample_name(files.folder)
    spots, centres, dropped = pool(
        name, matrix, places, rows, files.bin_um, round(width / files.bin_um)
    )
    return assemble(
        RawSection(
            name=name,
            technology=TECHNOLOGY,
            counts=spots.counts,
            barcodes=pseudo_barcodes(width, spots.row, spots.col),
            genes=spots.genes,
            array_row=spots.row,
            array_col=spots.col,
            centres_px=centres * image.scale,
            image_path=image.path,
            pitch_um=width,
            spot_um=width,
            mpp_pitch=mpp / image.scale,
            image_scale=image.scale,
            mpp_stated=stated / image.scale,
            places_file=places.path,
            gene_ids=spots.gene_ids,
            dropped=dropped,
        ),
        request,
    )


def locate(source: Path, width: float) -> BinFiles:
    """Find the widest bins that fit into ``width`` µm a whole number of times.

    Raises
    ------
    InputError
        If there are none, or one of their files is missing.
    """
    squares = _squares(source)
    fitting = [bin_um for bin_um in squares if abs(width / bin_um - round(width / bin_um)) < 1e-6]
    if not fitting:
        raise InputError(
            source,
            f"no bins can be pooled to {width:g} µm" if squares else "holds no bins",
            found=", ".join(f"{bin_um} µm" for bin_um in sorted(squares)) or "no square_…um",
            expected="a whole number of bins in a pseudo-spot" if squares else LOOKS_FOR,
            remedy=f"choose a multiple of {max(squares)} µm with --bin-um"
            if squares
            else "give the outs folder of spaceranger count",
        )
    bin_um = max(fitting)
    folder = squares[bin_um]
    positions = folder / SpaceRangerFile.SPATIAL / SpaceRangerFile.POSITIONS_PARQUET
    matrix = find(folder, _MATRICES)
    for path, name in ((matrix, _MATRICES[0]), (positions, "spatial/tissue_positions.parquet")):
        if path is None or not path.exists():
            raise InputError(
                folder,
                f"{name} is missing",
                found=", ".join(sorted(p.name for p in folder.iterdir())) or "an empty folder",
                expected=f"{_MATRICES[0]} and spatial/{positions.name}",
                remedy="copy the whole folder",
            )
    assert matrix is not None
    return BinFiles(folder, bin_um, matrix, SpatialFiles.beside(positions))


def _squares(source: Path) -> dict[int, Path]:
    """Folders of bins by their width in µm."""
    own = _SQUARE.fullmatch(source.resolve().name)
    if own:
        return {int(own[1]): source} if source.is_dir() else {}
    outs = source / SpaceRangerFile.OUTS
    for folder in (source / SpaceRangerFile.BINNED, outs / SpaceRangerFile.BINNED, source):
        found = {
            int(match[1]): path
            for path in (sorted(folder.iterdir()) if folder.is_dir() else [])
            if (match := _SQUARE.fullmatch(path.name)) and path.is_dir() and int(match[1]) > 0
        }
        if found:
            return found
    return {}


def _stated_mpp(files: BinFiles) -> float:
    """µm per full-resolution px as the scale factors state it, which must be of these bins."""
    path = files.spatial.scalefactors or files.spatial.positions.with_name(
        SpaceRangerFile.SCALEFACTORS.value
    )
    factors = read_packed_json(path)
    bin_um = read_length(path, factors, ScaleFactor.BIN_SIZE)
    if bin_um != files.bin_um:
        raise InputError(
            path,
            f"key {ScaleFactor.BIN_SIZE.value!r} is of other bins",
            found=f"{bin_um:g} µm",
            expected=f"{files.bin_um} µm, as its folder says",
            remedy="copy the folder again, under its own name",
        )
    return read_length(path, factors, ScaleFactor.MPP)


def pool(
    name: str, matrix: TenxMatrix, places: Places, rows: np.ndarray, bin_um: int, factor: int
) -> tuple[BinnedCounts, np.ndarray, dict[str, int]]:
    """Sum the counts of the bins in tissue over squares of ``factor`` by ``factor`` bins.

    Parameters
    ----------
    name
        The section, for messages.
    matrix
        Counts of bins.
    places
        All bins, in tissue or not.
    rows
        Row of ``places`` for each barcode of ``matrix``.
    bin_um
        Width of a bin, µm.
    factor
        Bins along a side of a square.

    Returns
    -------
    The squares with at least half of their bins in tissue and a count above zero; their centres
    as (x, y) in full-resolution px, float64 (n, 2); how many were left out, by reason.
    """
    row, col = places.array_row // factor, places.array_col // factor
    key, square = np.unique(row * (col.max() + 1) + col, return_inverse=True)
    in_tissue = np.bincount(square, weights=places.in_tissue, minlength=len(key))
    bins = np.bincount(square, minlength=len(key))
    x, y = (np.bincount(square, weights=values) / bins for values in places.centres_px.T)
    kept = in_tissue >= LEAST_IN_TISSUE * factor**2
    number = np.where(kept, np.cumsum(kept) - 1, -1)[square]
    groups = np.where(places.in_tissue, number, -1)[rows]
    counts = _sum_blocks(matrix, groups, int(kept.sum()))
    filled = np.asarray(counts.sum(axis=1)).ravel() > 0
    dropped = {
        "with less than half of their bins in tissue": int((~kept & (in_tissue > 0)).sum()),
        "with no count above zero": int((~filled).sum()),
    }
    logger.info(
        "%s: %d pseudo-spots of %g µm from %d bins of %d µm in tissue; dropped: %s; "
        "another width: --bin-um",
        name, filled.sum(), bin_um * factor, places.in_tissue.sum(), bin_um,
        ", ".join(f"{number} {why}" for why, number in dropped.items()),
    )  # fmt: skip
    if not filled.any():
        raise InputError(
            matrix.path,
            f"no pseudo-spot of {bin_um * factor} µm lies in tissue and has counts",
            found=f"{places.in_tissue.sum()} bins in tissue",
            expected="tissue over half of a pseudo-spot",
            remedy="choose a smaller width with --bin-um",
        )
    first = np.flatnonzero(kept)[filled]
    squares = BinnedCounts(
        counts[filled],
        matrix.genes,
        key[first] // (col.max() + 1),
        key[first] % (col.max() + 1),
        bin_um * factor,
        gene_ids=matrix.gene_ids,
    )
    return squares, np.stack([x, y], axis=1)[first], dropped


def _sum_blocks(matrix: TenxMatrix, groups: np.ndarray, number: int) -> csr_matrix:
    from scipy import sparse

    total = sparse.csr_matrix((number, len(matrix.genes)), dtype=np.int32)
    start = 0
    with progress_bar("pooling bins", len(groups)) as bar:
        for block in matrix.blocks():
            rows = slice(start, start + block.shape[0])
            total = total + sum_by(groups[rows], number, block)
            start = rows.stop
            bar.advance(block.shape[0])
    return total
