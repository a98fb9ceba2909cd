"""Patches for CellViT, and the nuclei that it found on them.

CellViT runs in an environment of its own and reads slides. So each set of patches is written as one
tiled TIFF at 0.25 µm/px, its patches in a grid, each continued as in a mirror so that none sees its
neighbours; what CellViT writes is read back from the same folder.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from c2lst.errors import InputError
from c2lst.evaluation.cells.cellvit import OutlinedNuclei, read_cellvit, read_outlines
from c2lst.progress import logger
from c2lst.storage import hash_arrays, read_json, whole_file, write_json

if TYPE_CHECKING:
    from c2lst.data.section import Section
    from c2lst.evaluation.cells.nuclei import Nuclei, Segmentation

UM_PER_PX = 0.25
MARGIN = 32
PATCHES_JSON = "patches.json"
SLIDE = "slide"
_RESULTS = (
    *("{}.json", "{}.geojson", "{}.geojson.zip", "{}_cells.json", "{}_cells.geojson"),
    *("{}/cells.json", "{}/cells.geojson"),
    *("{}/cell_detection/cells.json", "{}/cell_detection/cells.geojson"),
)


@dataclass(frozen=True)
class TileGrid:
    """How the patches of a set lie in its TIFF: ``columns`` a row, each ``side`` px wide."""

    patches: int
    patch_um: float

    @property
    def side(self) -> int:
        """Width of a patch in px, so that a tile is a multiple of 16 px, as TIFF wants it."""
        return max(16, 16 * round(self.patch_um / UM_PER_PX / 16))

    @property
    def tile(self) -> int:
        """Width of a patch with its margins, in px."""
        return self.side + 2 * MARGIN

    @property
    def columns(self) -> int:
        """Patches in a row."""
        return max(1, int(np.ceil(np.sqrt(self.patches))))

    @property
    def mpp(self) -> float:
        """µm per px."""
        return self.patch_um / self.side

    def write(self, path: Path, images: Any) -> None:
        """Write patches ``(n, S, S, 3)`` as one tiled TIFF, a patch at a time."""
        import tifffile

        rows = -(-self.patches // self.columns)
        with whole_file(path) as partial:
            tifffile.imwrite(
                partial,
                self._tiles(images, rows * self.columns),
                shape=(rows * self.tile, self.columns * self.tile, 3),
                dtype=np.uint8,
                photometric="rgb",
                tile=(self.tile, self.tile),
                compression="zlib",
                resolution=(1e4 / self.mpp, 1e4 / self.mpp),
                resolutionunit="CENTIMETER",
                bigtiff=True,
            )

    def _tiles(self, images: Any, count: int) -> Iterator[np.ndarray]:
        from PIL import Image

        for k in range(count):
            if k >= self.patches:
                yield np.full((self.tile, self.tile, 3), 255, np.uint8)
                continue
            image = Image.fromarray(np.asarray(images[k]))
            large = image.resize((self.side, self.side), Image.Resampling.BICUBIC)
            around = ((MARGIN, MARGIN), (MARGIN, MARGIN), (0, 0))
            yield np.pad(np.asarray(large), around, mode="reflect")

    def read(self, path: Path) -> OutlinedNuclei:
        """Read nuclei found on the TIFF; those whose centre is in a margin belong to no patch."""
        patch, outlines, types = [], [], []
        for kind, points in read_outlines(path):
            column, row = (int(c) for c in points.mean(axis=0) // self.tile)
            inner = points - self.tile * np.array([column, row]) - MARGIN
            middle, k = inner.mean(axis=0), row * self.columns + column
            within = (middle >= 0).all() and (middle < self.side).all()
            if within and 0 <= column < self.columns and 0 <= k < self.patches:
                patch.append(k)
                outlines.append(inner * self.mpp)
                types.append(kind)
        where = np.array(patch, dtype=int)
        return OutlinedNuclei(where, outlines, types, self.patches, self.patch_um)


class CellVitNuclei:
    """Nuclei of sets of patches as CellViT found them.

    Parameters
    ----------
    folder
        Where the patches are written, and where CellViT's files lie: ``SET.geojson``,
        ``SET_cells.json``, ``SET/cells.json`` or the like for each set; or ``slide.geojson(.zip)``
        for the section's own slide, which then stands for the sets in ``sections``.
    images
        uint8 patches ``(n, S, S, 3)`` of each set.
    patch_um
        Width of a patch in µm.
    sections
        Spots of the sets that are of the slide.

    Raises
    ------
    InputError
        If results are missing: the patches have then been written. Or if the folder's results
        are of other patches.
    """

    label = "CellViT"

    def __init__(
        self,
        folder: Path,
        images: Mapping[str, Any],
        patch_um: float,
        sections: Mapping[str, Section],
    ) -> None:
        self._patch_um, self._sections = patch_um, sections
        self._counts = {key: len(each) for key, each in images.items()}
        slide = _result(folder, SLIDE)
        self._files = {
            key: _result(folder, key) or (slide if key in sections else None) for key in images
        }
        self._slide = slide
        _write_missing(folder, images, self._files, patch_um)

    @cached_property
    def _sets(self) -> dict[str, OutlinedNuclei]:
        found = {}
        for key, path in self._files.items():
            assert path is not None
            if path == self._slide:
                found[key] = read_cellvit(path, self._sections[key])
            else:
                found[key] = TileGrid(self._counts[key], self._patch_um).read(path)
        return found

    @cached_property
    def kinds(self) -> tuple[str, ...]:
        """Types in any of the sets."""
        return tuple(sorted({name for found in self._sets.values() for name in found.types}))

    def nuclei(self, key: str) -> Nuclei:
        """Return the nuclei of all patches of a set."""
        return self._sets[key].nuclei(self.kinds)

    def segment(self, key: str, rows: np.ndarray) -> Segmentation:
        """Return those of some of its patches as areas."""
        return self._sets[key].segment(rows, self.kinds)


def _result(folder: Path, name: str) -> Path | None:
    """Find CellViT's file of a set, wherever its versions put it."""
    places = (folder / pattern.format(name) for pattern in _RESULTS)
    return next((path for path in places if path.is_file()), None)


def _write_missing(
    folder: Path, images: Mapping[str, Any], files: Mapping[str, Path | None], patch_um: float
) -> None:
    """Check that results are of these patches; write patches that have none, and say so."""
    hashes = {key: hash_arrays({"images": np.asarray(each)}) for key, each in images.items()}
    noted = folder / PATCHES_JSON
    if noted.is_file() and (known := read_json(noted, required=("sets",))["sets"]) != hashes:
        other = ", ".join(sorted(key for key in hashes if known.get(key) != hashes[key]))
        raise InputError(
            noted, "the folder is of other patches", found=other,
            remedy="use another folder for another adapter or other settings",
        )  # fmt: skip
    missing = [key for key, path in files.items() if path is None]
    if not missing:
        return
    folder.mkdir(parents=True, exist_ok=True)
    for key in missing:
        grid = TileGrid(len(images[key]), patch_um)
        path = folder / f"{key}.tiff"
        if not (noted.is_file() and path.is_file()):
            grid.write(path, images[key])
        logger.info("evaluate: %s, %.4g µm/px, for CellViT", path, grid.mpp)
    write_json(noted, {"format": 1, "kind": "cellvit_patches", "sets": hashes})
    raise InputError(
        folder, "has no results of CellViT yet", found=f"none of {', '.join(missing)}",
        expected="SET.geojson, SET_cells.json or SET/cells.json for each",
        remedy=f"run CellViT on SET.tiff at {grid.mpp:.4g} µm/px, then this command again",
    )  # fmt: skip
