"""Nuclei that CellViT (Hörst et al., Medical Image Analysis 2024) found.

Read from its own ``cells.json`` and ``cells.geojson``, and from what HEST-1k brings as
``cellvit_seg/SAMPLE_cellvit_seg.geojson`` (or ``.geojson.zip``).
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from c2lst.errors import InputError
from c2lst.evaluation.cells.nuclei import Nuclei, Segmentation

if TYPE_CHECKING:
    from c2lst.data.section import Section

TYPES = {1: "Neoplastic", 2: "Inflammatory", 3: "Connective", 4: "Dead", 5: "Epithelial"}
_FILES = "cells.json, cells.geojson or SAMPLE_cellvit_seg.geojson(.zip)"


@dataclass(frozen=True, eq=False)
class OutlinedNuclei:
    """The nuclei of n patches as outlines.

    Parameters
    ----------
    patch
        int ``(m,)``: the patch that each is in.
    outlines_um
        For each, ``(k, 2)`` as (x, y) from the upper left corner of its patch.
    types
        For each, the name of its type.
    patches, patch_um
        How many patches there are, and how wide.
    """

    patch: np.ndarray
    outlines_um: Sequence[np.ndarray]
    types: Sequence[str]
    patches: int
    patch_um: float

    def nuclei(self, kinds: tuple[str, ...]) -> Nuclei:
        """Measure them; ``kinds`` holds all types, in the order of the result's ``kind``."""
        found = np.array([_described(outline) for outline in self.outlines_um]).reshape(-1, 4)
        return Nuclei(
            patch=self.patch,
            centres_um=found[:, :2],
            area_um2=found[:, 2],
            eccentricity=found[:, 3],
            kind=np.array([kinds.index(name) for name in self.types], dtype=int),
            kinds=kinds,
            patches=self.patches,
            patch_um=self.patch_um,
        )

    def segment(self, rows: np.ndarray, kinds: tuple[str, ...], size: int = 256) -> Segmentation:
        """Draw those of some patches as areas of ``size`` x ``size`` px."""
        from skimage.draw import polygon

        labels, numbers = np.zeros((len(rows), size, size), dtype=int), []
        for place, row in enumerate(rows):
            for k in np.flatnonzero(self.patch == row).tolist():
                x, y = self.outlines_um[k].T * (size / self.patch_um)
                numbers.append(kinds.index(self.types[k]))
                labels[place][polygon(y, x, (size, size))] = len(numbers)
        return Segmentation(labels, np.array(numbers, dtype=int))


def read_cellvit(path: Path, section: Section, *, mpp: float | None = None) -> OutlinedNuclei:
    """Read the nuclei within the patches of a section's spots.

    A nucleus belongs to every patch that its centre is in.

    Parameters
    ----------
    path
        The file, of the section's slide.
    section
        The spots.
    mpp
        µm per px of the file's coordinates; those of the section by default.

    Raises
    ------
    InputError
        If the file holds no nuclei, or none lies in a patch.
    """
    from scipy.spatial import KDTree

    scale = section.mpp if mpp is None else mpp
    outlines = [(kind, points * scale) for kind, points in read_outlines(path)]
    centres, width = section.centres_um, section.patches.patch_um
    middles = np.array([_described(points)[:2] for _, points in outlines])
    inside = KDTree(middles).query_ball_point(centres, width / 2, p=np.inf)
    patch = np.repeat(np.arange(len(inside)), [len(near) for near in inside])
    if not len(patch):
        raise InputError(
            path, "has no nucleus in a patch of the section",
            found=f"nuclei around {middles.mean(axis=0).round()} µm",
            expected=f"around {centres.mean(axis=0).round()} µm",
            remedy="give the µm per px of the file's coordinates",
        )  # fmt: skip
    corners = centres - width / 2
    row = np.concatenate([np.asarray(near, dtype=int) for near in inside])
    return OutlinedNuclei(
        patch=patch,
        outlines_um=[outlines[k][1] - corners[p] for k, p in zip(row, patch, strict=True)],
        types=[outlines[k][0] for k in row],
        patches=len(section),
        patch_um=width,
    )


def read_outlines(path: Path) -> list[tuple[str, np.ndarray]]:
    """Type and outline ``(k, 2)``, as (x, y) in px, of each nucleus of a file.

    Raises
    ------
    InputError
        If the file cannot be read, lacks a field, or holds no nucleus.
    """
    content = _json(path)
    if isinstance(content, dict) and "cells" in content:
        found = list(_of_cells(path, content))
    else:
        found = list(_of_features(path, content))
    if not found:
        raise InputError(path, "holds no nuclei", expected="cells with outlines")
    return found


def _of_cells(path: Path, content: dict[str, Any]) -> Iterator[tuple[str, np.ndarray]]:
    known = content.get("type_map", TYPES)
    if not isinstance(known, dict):
        raise InputError(path, "type_map is no object", found=known, expected='{"1": NAME, …}')
    names = {str(number): str(name) for number, name in known.items()}
    for number, cell in enumerate(_listed(path, "cells", content["cells"])):
        where = f"cells[{number}]"
        kind = _field(path, where, cell, "type")
        points = _points(path, where, _field(path, where, cell, "contour"))
        yield names.get(str(kind), str(kind)), points


def _of_features(path: Path, content: Any) -> Iterator[tuple[str, np.ndarray]]:
    features = content.get("features", []) if isinstance(content, dict) else content
    for number, feature in enumerate(_listed(path, "features", features)):
        where = f"features[{number}]"
        geometry = _field(path, where, feature, "geometry")
        form = _field(path, f"{where}.geometry", geometry, "type")
        if form not in ("Polygon", "MultiPolygon"):
            continue  # centres alone: they say nothing of size and shape
        where += ".geometry"
        polygons = _field(path, where, geometry, "coordinates")
        where += ".coordinates"
        for polygon in [polygons] if form == "Polygon" else _listed(path, where, polygons):
            outer = polygon[0] if isinstance(polygon, list) and polygon else []
            yield _name_of(feature), _points(path, where, outer)


def _name_of(feature: dict[str, Any]) -> str:
    """Name of a feature's type; GeoJSON allows ``null`` for properties, and so does QuPath."""
    found: Any = feature
    for key in ("properties", "classification", "name"):
        found = found.get(key) if isinstance(found, dict) else None
    return "nucleus" if found is None else str(found)


def _listed(path: Path, where: str, values: Any) -> list[Any]:
    if not isinstance(values, list):
        raise InputError(path, f"{where} is no list", found=type(values).__name__, expected=_FILES)
    return values


def _field(path: Path, where: str, holder: Any, key: str) -> Any:
    if not isinstance(holder, dict) or key not in holder:
        raise InputError(path, f"{where} has no {key!r}", expected=_FILES)
    return holder[key]


def _json(path: Path) -> Any:
    try:
        if path.suffix == ".zip":
            with zipfile.ZipFile(path) as archive:
                (name,) = (n for n in archive.namelist() if n.endswith("json"))
                return json.loads(archive.read(name))
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise InputError(
            path, "is no readable file of nuclei", found=error, expected=_FILES
        ) from error


def _points(path: Path, where: str, values: Any) -> np.ndarray:
    try:
        points = np.asarray(values, dtype=float)
    except (TypeError, ValueError):
        points = np.empty(0)
    if points.ndim != 2 or points.shape[1] != 2 or len(points) < 3:
        raise InputError(
            path, f"{where} is no outline", found=f"shape {points.shape}",
            expected="at least three points (x, y)",
        )  # fmt: skip
    if not np.isfinite(points).all():
        raise InputError(path, f"{where} is no outline", found="coordinates that are not finite")
    return points


def _described(outline: np.ndarray) -> tuple[float, float, float, float]:
    """Centre x and y, area and eccentricity of a polygon, by Green's theorem."""
    origin = outline.mean(axis=0)
    x, y = (outline - origin).T
    x1, y1 = np.roll(x, -1), np.roll(y, -1)
    cross = x * y1 - x1 * y
    signed = cross.sum() / 2
    if abs(signed) < 1e-12:
        return float(origin[0]), float(origin[1]), 0.0, 1.0
    cx, cy = (((a + a1) * cross).sum() / (6 * signed) for a, a1 in ((x, x1), (y, y1)))
    xx = ((x * x + x * x1 + x1 * x1) * cross).sum() / (12 * signed) - cx**2
    yy = ((y * y + y * y1 + y1 * y1) * cross).sum() / (12 * signed) - cy**2
    xy = ((x * y1 + 2 * x * y + 2 * x1 * y1 + x1 * y) * cross).sum() / (24 * signed) - cx * cy
    half_gap, middle = np.hypot((xx - yy) / 2, xy), (xx + yy) / 2
    longness = np.sqrt(np.clip(2 * half_gap / max(middle + half_gap, 1e-12), 0, 1))
    return float(cx + origin[0]), float(cy + origin[1]), float(abs(signed)), float(longness)
