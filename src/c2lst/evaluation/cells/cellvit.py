"""Nuclei that CellViT (Hörst et al., Medical Image Analysis 2024) found on the slide.

Read from its own ``cells.json`` and ``cells.geojson``, and from what HEST-1k brings as
``cellvit_seg/SAMPLE_cellvit_seg.geojson`` (or ``.geojson.zip``).
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from c2lst.errors import InputError
from c2lst.evaluation.cells.nuclei import Nuclei

if TYPE_CHECKING:
    from c2lst.data.section import Section

TYPES = {1: "Neoplastic", 2: "Inflammatory", 3: "Connective", 4: "Dead", 5: "Epithelial"}


def read_cellvit(path: Path, section: Section, *, mpp: float | None = None) -> Nuclei:
    """Read the nuclei within the patches of a section's spots.

    A nucleus belongs to every patch that its centre is in.

    Parameters
    ----------
    path
        The file.
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
    outlines = list(_outlines(path))
    if not outlines:
        raise InputError(path, "holds no nuclei", expected="cells with outlines")
    kinds = tuple(sorted({kind for kind, _ in outlines}))
    found = np.array([_described(points * scale) for _, points in outlines])
    number = np.array([kinds.index(kind) for kind, _ in outlines])
    centres, width = section.centres_um, section.patches.patch_um
    inside = KDTree(found[:, :2]).query_ball_point(centres, width / 2, p=np.inf)
    patch = np.repeat(np.arange(len(inside)), [len(near) for near in inside])
    if not len(patch):
        raise InputError(
            path, "has no nucleus in a patch of the section",
            found=f"nuclei around {found[:, :2].mean(axis=0).round()} µm",
            expected=f"around {centres.mean(axis=0).round()} µm",
            remedy="give the µm per px of the file's coordinates",
        )  # fmt: skip
    row = np.concatenate([np.asarray(near, dtype=int) for near in inside])
    return Nuclei(
        patch=patch,
        centres_um=found[row, :2] - centres[patch] + width / 2,
        area_um2=found[row, 2],
        eccentricity=found[row, 3],
        kind=number[row],
        kinds=kinds,
        patches=len(section),
        patch_um=width,
    )


def _outlines(path: Path) -> Iterator[tuple[str, np.ndarray]]:
    """Kind and outline (k, 2), as (x, y) in px, of each nucleus of a file."""
    content = _json(path)
    if isinstance(content, dict) and "cells" in content:
        names = {int(k): str(v) for k, v in content.get("type_map", TYPES).items()}
        for cell in content["cells"]:
            yield names.get(int(cell["type"]), str(cell["type"])), _points(path, cell["contour"])
        return
    features = content.get("features", []) if isinstance(content, dict) else content
    for feature in features:
        geometry = feature["geometry"]
        kind = feature.get("properties", {}).get("classification", {}).get("name", "nucleus")
        polygons = geometry.get("coordinates", [])
        if geometry["type"] not in ("Polygon", "MultiPolygon"):
            continue  # centres alone: they say nothing of size and shape
        for polygon in [polygons] if geometry["type"] == "Polygon" else polygons:
            yield str(kind), _points(path, polygon[0])


def _json(path: Path) -> Any:
    try:
        if path.suffix == ".zip":
            with zipfile.ZipFile(path) as archive:
                (name,) = (n for n in archive.namelist() if n.endswith("json"))
                return json.loads(archive.read(name))
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise InputError(
            path, "is no readable file of nuclei", found=error,
            expected="cells.json, cells.geojson or SAMPLE_cellvit_seg.geojson(.zip)",
        ) from error  # fmt: skip


def _points(path: Path, values: Any) -> np.ndarray:
    points = np.asarray(values, dtype=float)
    if points.ndim != 2 or points.shape[1] != 2 or len(points) < 3:
        raise InputError(path, "has an outline of no area", found=f"shape {points.shape}")
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
