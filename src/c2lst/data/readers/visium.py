"""Space Ranger's output for Visium: ``outs/`` with a count matrix and ``spatial/``.

Downloads lay the same files out flat, each with a prefix; both are read.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from c2lst.data.assembly import assemble, check_patch_request
from c2lst.data.raw import RawSection, ReadRequest
from c2lst.data.readers.axes import array_lattice, check_axes
from c2lst.data.readers.constants import SpaceRangerFile
from c2lst.data.readers.positions import Places, read_positions
from c2lst.data.readers.spaceranger import (
    SpatialFiles,
    choose_image,
    join_places,
    prefixes_of,
    sample_name,
)
from c2lst.data.readers.tenx import open_matrix
from c2lst.errors import InputError
from c2lst.progress import logger

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

    from c2lst.data.section import Section

NAME = "visium"
TITLE = "Space Ranger (10x Visium)"
HAS_BINS = False
LOOKS_FOR = (
    "filtered_feature_bc_matrix.h5 (or its folder, or raw_…) and "
    "spatial/tissue_positions[_list].csv, in the folder or its outs/, with or without a prefix"
)
TECHNOLOGY = "Visium"

PITCH_UM = 100.0
"""Distance of neighbouring spots, centre to centre, on the hexagonal array."""

SPOT_UM = 55.0
"""Diameter of a spot."""

_OTHER_PARITY = 0.05
_POSITIONS = (SpaceRangerFile.POSITIONS, SpaceRangerFile.POSITIONS_LIST)
_MATRICES = (
    SpaceRangerFile.FILTERED_H5,
    SpaceRangerFile.FILTERED,
    SpaceRangerFile.MTX,
    SpaceRangerFile.RAW_H5,
    SpaceRangerFile.RAW,
)
_EXPECTED = f"{_MATRICES[0]} and {SpaceRangerFile.SPATIAL}/{_POSITIONS[0]}"


@dataclass(frozen=True)
class VisiumFiles:
    """Files of one sample."""

    section: str
    prefix: str
    root: Path
    matrix: Path
    spatial: SpatialFiles


def recognise(source: Path, section: str | None) -> str | None:
    """Say why ``source`` is Space Ranger output for Visium; none if it is not."""
    root = _root(source)
    if root is None or (root / SpaceRangerFile.BINNED).is_dir():
        return None
    found = _positions(root)
    if found:
        path = next(iter(found.values()))
        try:
            header = read_positions(path).header
        except InputError as error:  # it is read again, and refused, by ``read``
            return f"it has {path.relative_to(root)} ({error.problem})"
        return (
            f"it has {path.relative_to(root)} "
            + (
                "with a header, as Space Ranger 2.0 and later"
                if header
                else "without a header, as Space Ranger before 2.0"
            )
            + " writes it"
        )
    # A bare matrix.mtx may be anyone's; with the other names, positions were left behind.
    named = [p.name for p in _matrices(root).values() if SpaceRangerFile.MTX not in p.name]
    binned = root / SpaceRangerFile.SPATIAL / SpaceRangerFile.POSITIONS_PARQUET
    return f"it has {named[0]}" if named and not binned.exists() else None


def read(source: Path, request: ReadRequest) -> Section:
    """Read the spots in tissue.

    Parameters
    ----------
    source
        ``outs``, the folder it is in, its ``spatial``, or a folder of files with a prefix each.
    request
        How it is to be read; ``section`` chooses one of several prefixes.

    Raises
    ------
    InputError
        If a file is missing or damaged, or the files do not fit together.
    """
    check_patch_request(request.patch_um, request.size)
    files = locate(source, request.section)
    places = read_positions(files.spatial.positions)
    mpp = PITCH_UM / pitch_px(places)
    matrix = open_matrix(files.matrix)
    rows = join_places(files.matrix, matrix.barcodes, places)
    image = choose_image(
        files.spatial, (files.root, files.root.parent), files.prefix, places, mpp, request
    )
    check_axes(places, image.path, mpp / image.scale, image.scale)
    counts = matrix.counts()
    kept, dropped = _kept(files, places.in_tissue[rows], counts)
    rows = rows[kept]
    return assemble(
        RawSection(
            name=files.section,
            technology=TECHNOLOGY,
            counts=counts[kept],
            barcodes=matrix.barcodes[kept],
            genes=matrix.genes,
            array_row=places.array_row[rows],
            array_col=places.array_col[rows],
            centres_px=places.centres_px[rows] * image.scale,
            image_path=image.path,
            pitch_um=PITCH_UM,
            spot_um=SPOT_UM,
            mpp_pitch=mpp / image.scale,
            image_scale=image.scale,
            places_file=places.path,
            gene_ids=matrix.gene_ids,
            dropped=dropped,
        ),
        request,
    )


def _kept(
    files: VisiumFiles, in_tissue: np.ndarray, counts: csr_matrix
) -> tuple[np.ndarray, dict[str, int]]:
    """Which barcodes are spots in tissue with counts, and how many are not, by reason."""
    filled = np.asarray(counts.sum(axis=1)).ravel() > 0
    dropped = {
        "outside the tissue": int((~in_tissue).sum()),
        "with no count above zero": int((in_tissue & ~filled).sum()),
    }
    kept = in_tissue & filled
    logger.info(
        "%s: %d spots; dropped: %s", files.section, kept.sum(),
        ", ".join(f"{number} {why}" for why, number in dropped.items()),
    )  # fmt: skip
    if not kept.any():
        raise InputError(
            files.matrix,
            "no spot in tissue has counts",
            found=f"{len(kept)} barcodes, {int(filled.sum())} with counts",
            expected="counts above zero in tissue",
            remedy=f"check that {files.spatial.positions} is of the same sample",
        )
    return kept, dropped


def locate(source: Path, section: str | None = None) -> VisiumFiles:
    """Find the files of one sample.

    Raises
    ------
    InputError
        If one is missing, or there are several samples and none is chosen.
    """
    root = _root(source) or source
    matrices, positions = _matrices(root), _positions(root)
    if not matrices or not positions:
        raise InputError(
            root,
            "holds no tissue positions" if matrices else "holds no count matrix",
            found=", ".join(p.name for p in (*matrices.values(), *positions.values())) or "neither",
            expected=_EXPECTED,
            remedy="copy the whole outs/ folder; single cells, without positions, are no section",
        )
    chosen = [prefix for prefix, path in matrices.items() if path == source]
    prefix = chosen[0] if chosen else _choose(root, list(matrices), section)
    found = positions.get(prefix) or positions.get("")
    if found is None and len(matrices) == len(positions) == 1:
        found = next(iter(positions.values()))
    if found is None:
        raise InputError(
            root,
            f"tissue positions of {prefix!r} are missing",
            found=", ".join(path.name for path in positions.values()),
            expected=f"{prefix}{_POSITIONS[0]}",
            remedy="give the files of a sample the same prefix",
        )
    name = section or prefix.rstrip("_-.") or sample_name(root)
    spatial = SpatialFiles.beside(found, prefix)
    return VisiumFiles(name, prefix, root, matrices[prefix], spatial)


def _choose(root: Path, prefixes: list[str], section: str | None) -> str:
    names = {prefix.rstrip("_-."): prefix for prefix in prefixes}
    if section in names:
        return names[section]
    if len(names) == 1 and (section is None or "" in names):
        return next(iter(names.values()))
    if section is None and "" in names:
        return ""
    raise InputError(
        root,
        "holds several samples" if section is None else f"section {section!r} is not here",
        found=", ".join(sorted(names)),
        expected="one sample, or the name of one",
        remedy=f"choose one with --section, such as {sorted(names)[-1]!r}",
    )


def _root(source: Path) -> Path | None:
    """Return the folder of matrix and ``spatial``: ``source``, its ``outs``, or its parent."""
    if source.is_file():
        return source.parent if source in _matrices(source.parent).values() else None
    folder = source
    above = folder.parent if folder.name == SpaceRangerFile.SPATIAL else folder
    for candidate in (above, folder / SpaceRangerFile.OUTS):
        if _positions(candidate) or _matrices(candidate):
            return candidate
    return None


def _matrices(root: Path) -> dict[str, Path]:
    """Count matrices by prefix, the filtered ones first."""
    return prefixes_of(root, _MATRICES)


def _positions(root: Path) -> dict[str, Path]:
    """Tissue positions by prefix, in ``spatial`` or lying flat."""
    folders = prefixes_of(root, (SpaceRangerFile.SPATIAL,))
    found = {
        outer or prefix: path
        for outer, folder in folders.items()
        for prefix, path in prefixes_of(folder, _POSITIONS).items()
    }
    return found or prefixes_of(root, _POSITIONS)


def pitch_px(places: Places) -> float:
    """Distance in px of neighbouring spots on Visium's hexagonal array.

    Of row and column, only every other combination holds a spot. A step is 50 µm along a row and
    87 µm across, so exchanged array columns show.

    Raises
    ------
    InputError
        If the positions are not of that array.
    """
    lattice = array_lattice(places)
    odd = int((places.array.sum(axis=1) % 2).sum())
    if min(odd, len(places) - odd) > _OTHER_PARITY * len(places):
        raise InputError(
            places.path,
            "is not of Visium's hexagonal array",
            found=f"{odd} of {len(places)} spots with an odd sum of row and column",
            expected="even sums alone",
            remedy="give it as the format that it is, with --format",
        )
    along, across = np.linalg.norm(lattice.matrix, axis=0)
    if along > across:
        raise InputError(
            places.path,
            "columns 'array_row' and 'array_col' are exchanged",
            found=f"steps of {along:.0f} px a column and {across:.0f} px a row",
            expected="columns closer than rows (50 to 87 µm)",
            remedy="exchange the two columns",
        )
    return replace(lattice, chessboard=True).pitch_px
