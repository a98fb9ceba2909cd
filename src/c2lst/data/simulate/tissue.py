"""Layout of a simulated tissue: outline, regions, structures and every single cell, in µm."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from c2lst.data.simulate.fields import Field, random_field
from c2lst.data.simulate.structures import (
    ADI,
    CELL_TYPES,
    EPI,
    FAT_RADIUS_UM,
    FIB,
    IMM,
    PRO,
    Cells,
    Fat,
    Fibres,
    Glands,
)

STEP_UM = 10.0
"""Grid on which the smooth fields of the layout are drawn."""

# Semi-axes (along, across) in µm, their relative spread, haematoxylin at the nucleus' centre.
_NUCLEUS = {
    EPI: ((4.6, 3.0), 0.13, 1.00),
    PRO: ((5.6, 3.9), 0.16, 1.65),
    FIB: ((6.4, 1.7), 0.22, 1.20),
    IMM: ((2.9, 2.7), 0.10, 1.70),
    ADI: ((5.0, 1.5), 0.20, 1.25),
}
_FAT_SPACING_UM = 50.0


@dataclass(frozen=True)
class Tissue:
    """Everything that the renderer draws and that the spots are made of.

    Attributes
    ----------
    extent_um
        Width and height of the slide.
    outline
        Signed distance-like field in µm, positive on tissue.
    looseness, immune
        Fields without a unit: oedema of the stroma and propensity for infiltrates.
    """

    extent_um: tuple[float, float]
    outline: Field
    looseness: Field
    immune: Field
    fibres: Fibres
    glands: Glands
    fat: Fat
    cells: Cells


def draw_outline(
    rng: np.random.Generator, extent_um: tuple[float, float], margin_um: float
) -> Field:
    """Draw an irregular outline which stays off the edges of the slide; positive on tissue, µm."""
    width, height = extent_um
    rows, columns = round(height / STEP_UM), round(width / STEP_UM)
    x = (np.arange(columns) + 0.5) * STEP_UM - width / 2
    y = ((np.arange(rows) + 0.5) * STEP_UM - height / 2)[:, None]
    half = np.array([width, height]) / 2 - 0.5 * margin_um
    distance = (np.abs(x / half[0]) ** 3 + np.abs(y / half[1]) ** 3) ** (1 / 3)
    signed = half.min() * (1 - distance)
    wave = 0.3 * margin_um * random_field(rng, extent_um, 1.2 * margin_um, STEP_UM).values
    signed += np.clip(wave, -0.6 * margin_um, 0.35 * margin_um)
    signed += 7.0 * random_field(rng, extent_um, 30.0, STEP_UM).values
    # One corner is cut, as a block's edge or a biopsy's break is.
    theta = rng.uniform(0, 2 * np.pi)
    reach = np.hypot(half[0] * np.cos(theta), half[1] * np.sin(theta))
    cut = 0.97 * reach - (x * np.cos(theta) + y * np.sin(theta))
    # On a long slide the waves count for more along its length: glass is kept at every edge.
    edge = np.minimum(width / 2 - np.abs(x), height / 2 - np.abs(y)) - 0.12 * margin_um
    signed = np.minimum(np.minimum(signed, cut), edge)
    return Field(signed.astype(np.float32), STEP_UM)


def draw_tissue(rng: np.random.Generator, outline: Field, extent_um: tuple[float, float]) -> Tissue:
    """Draw regions, structures and cells within ``outline``."""

    def mixture(broad_um: float, fine_um: float, fine_share: float) -> Field:
        broad = random_field(rng, extent_um, broad_um, STEP_UM).values
        fine = random_field(rng, extent_um, fine_um, STEP_UM).values
        return Field(np.sqrt(1 - fine_share) * broad + np.sqrt(fine_share) * fine, STEP_UM)

    gland_field = mixture(420.0, 110.0, 0.35)
    fat_field = mixture(420.0, 80.0, 0.10)
    immune_field = mixture(380.0, 75.0, 0.45)
    dark_field = mixture(350.0, 120.0, 0.55)
    fibres = Fibres(
        angle=rng.uniform(-np.pi / 2, np.pi / 2),
        along=_scaled(random_field(rng, extent_um, 200.0, STEP_UM), 60.0),
        across=_warp(rng, extent_um),
    )
    looseness = mixture(300.0, 90.0, 0.4)
    fat_margin = Field(fat_field.values - 1.1 - 0.25 * gland_field.values, STEP_UM)
    glands = _draw_glands(rng, extent_um, outline, gland_field, dark_field, fat_margin)
    fat = _draw_fat(rng, extent_um, outline, fat_margin, glands)
    parts = [
        _gland_cells(rng, glands),
        _fat_cells(rng, fat),
        _stroma_cells(rng, extent_um, outline, glands, fat, fibres, immune_field, looseness),
    ]
    cells = _without_overlaps(_joined(parts), outline)
    return Tissue(extent_um, outline, looseness, immune_field, fibres, glands, fat, cells)


def spot_cell_counts(cells: Cells, centres_um: np.ndarray, diameter_um: float) -> np.ndarray:
    """Count the nuclei of each type whose centre lies in each spot; (n, len(CELL_TYPES)) int64."""
    from scipy.spatial import cKDTree

    counts = np.zeros((len(centres_um), len(CELL_TYPES)), dtype=np.int64)
    found = cKDTree(cells.centres_um).query_ball_point(centres_um, diameter_um / 2)
    for spot, members in enumerate(found):
        counts[spot] = np.bincount(cells.kinds[members], minlength=len(CELL_TYPES))
    return counts


def _warp(rng: np.random.Generator, extent_um: tuple[float, float]) -> Field:
    """Displacement across the fibres: broad bends, and the fine waves of collagen."""
    broad = random_field(rng, extent_um, 300.0, STEP_UM).values
    fine = random_field(rng, extent_um, 55.0, STEP_UM).values
    return Field(110.0 * broad + 9.0 * fine, STEP_UM)


def _scaled(field: Field, factor: float) -> Field:
    return Field(factor * field.values, field.step_um)


def _scatter(
    rng: np.random.Generator, extent_um: tuple[float, float], per_mm2: float
) -> np.ndarray:
    area = extent_um[0] * extent_um[1] / 1e6
    return rng.uniform(0, 1, (rng.poisson(area * per_mm2), 2)) * np.array(extent_um)


def _apart(points_um: np.ndarray, radii_um: np.ndarray) -> np.ndarray:
    """Keep, in order, each point whose disc meets no disc kept before; a (n,) mask."""
    from scipy.spatial import cKDTree

    if len(points_um) < 2:
        return np.ones(len(points_um), dtype=bool)
    pairs = cKDTree(points_um).query_pairs(2 * radii_um.max(), output_type="ndarray")
    gap = points_um[pairs[:, 0]] - points_um[pairs[:, 1]]
    touching = np.hypot(gap[:, 0], gap[:, 1]) < radii_um[pairs].sum(axis=1)
    first, second = np.sort(pairs[touching], axis=1).T
    kept = np.zeros(len(points_um), dtype=bool)
    open_ = ~kept
    # Each round keeps all points that no undecided earlier point touches: the same result as
    # going through them one by one, in a few passes over arrays.
    while open_.any():
        live = open_[first] & open_[second]
        first, second = first[live], second[live]
        free = open_.copy()
        free[second] = False
        kept |= free
        open_ &= ~free
        open_[second[free[first]]] = False
    return kept


def _draw_glands(
    rng: np.random.Generator,
    extent_um: tuple[float, float],
    outline: Field,
    propensity: Field,
    dark_field: Field,
    fat_margin: Field,
) -> Glands:
    points = _scatter(rng, extent_um, 1500.0)
    radii = np.clip(36.0 * np.exp(0.38 * rng.standard_normal(len(points))), 17.0, 85.0)
    chance = 1 / (1 + np.exp(-7.0 * (propensity.at(points) - 0.1)))
    wanted = rng.uniform(size=len(points)) < chance
    wanted &= (outline.at(points) > 1.3 * radii) & (fat_margin.at(points) < -0.12)
    points, radii = points[wanted], radii[wanted]
    kept = _apart(points, 1.08 * radii + 2.0)
    points, radii = points[kept], radii[kept]
    count = len(points)
    # Neighbouring glands share some of their grade, each has some of its own.
    grade = 0.85 * dark_field.at(points) + 0.5 * rng.standard_normal(count)
    dark = 1 / (1 + np.exp(-2.2 * (grade - 0.25)))
    solid = rng.uniform(size=count) < 0.1 + 0.5 * dark
    solid |= radii < 23.0
    wall = np.where(solid, 2 * radii, rng.uniform(12.5, 17.0, count))
    spread = np.array([0.17, 0.075, 0.035])
    amplitudes = np.clip(rng.standard_normal((count, 3)), -1.7, 1.7) * spread
    phases = rng.uniform(0, 2 * np.pi, (count, 3))
    return Glands(points, radii, amplitudes, phases, wall, dark)


def _draw_fat(
    rng: np.random.Generator,
    extent_um: tuple[float, float],
    outline: Field,
    fat_margin: Field,
    glands: Glands,
) -> Fat:
    from scipy.spatial import cKDTree

    points = _scatter(rng, extent_um, 6000.0)
    points = points[(fat_margin.at(points) > 0) & (outline.at(points) > 15.0)]
    points = points[glands.distance_inside(points) < -20.0]
    radii = 0.5 * _FAT_SPACING_UM * rng.uniform(0.75, 1.2, len(points))
    points = points[_apart(points, radii)]
    if not len(points):
        return Fat(points, np.zeros((0, 1), dtype=np.intp))
    reach = 2 * FAT_RADIUS_UM
    _, neighbours = cKDTree(points).query(points, k=10, distance_upper_bound=reach)
    return Fat(points, neighbours[:, 1:])


def _cells(
    rng: np.random.Generator, centres_um: np.ndarray, kinds: np.ndarray, angles: np.ndarray
) -> Cells:
    count = len(centres_um)
    axes = np.array([_NUCLEUS[kind][0] for kind in range(len(CELL_TYPES))])[kinds]
    spread = np.array([_NUCLEUS[kind][1] for kind in range(len(CELL_TYPES))])[kinds]
    darkness = np.array([_NUCLEUS[kind][2] for kind in range(len(CELL_TYPES))])[kinds]
    axes = axes * np.exp(spread[:, None] * np.clip(rng.standard_normal((count, 2)), -2, 2))
    darkness = darkness * np.exp(0.16 * np.clip(rng.standard_normal(count), -2, 2))
    return Cells(centres_um, kinds, axes, angles, darkness)


def _joined(parts: list[Cells]) -> Cells:
    return Cells(
        *(
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("centres_um", "kinds", "axes_um", "angles", "darkness")
        )
    )


def _without_overlaps(cells: Cells, outline: Field) -> Cells:
    """Drop cells off the tissue and cells that would sit upon another one."""
    radii = 0.78 * np.sqrt(cells.axes_um.prod(axis=1))
    on_tissue = np.flatnonzero(outline.at(cells.centres_um) > 1.0)
    kept = on_tissue[_apart(cells.centres_um[on_tissue], radii[on_tissue])]
    return Cells(
        cells.centres_um[kept],
        cells.kinds[kept],
        cells.axes_um[kept],
        cells.angles[kept],
        cells.darkness[kept],
    )


def _gland_cells(rng: np.random.Generator, glands: Glands) -> Cells:
    """Nuclei along the basement membrane, in one row or, in dark glands, in several."""
    centres, kinds, angles = [np.zeros((0, 2))], [np.zeros(0, dtype=np.intp)], [np.zeros(0)]
    for g in range(len(glands)):
        radius, wall, dark = glands.radii_um[g], glands.wall_um[g], glands.dark[g]
        rows = np.arange(4.5, min(wall - 5.0, radius), 8.5)
        if wall < radius:  # around a lumen: the second row fills up with the grade
            rows = np.array([5.0, 5.0 + 0.45 * wall])[: 1 + (dark > 0.55)]
        for depth in rows:
            around = 2 * np.pi * max(radius - depth, 2.0)
            count = max(1, int(around / (6.3 + 1.2 * dark)))
            theta = 2 * np.pi * (np.arange(count) + rng.uniform(-0.22, 0.22, count)) / count
            theta += rng.uniform(0, 2 * np.pi)
            reach = glands.radius_at(g, theta) - depth + rng.normal(0, 1.1, count)
            reach = np.maximum(reach, 0.0)
            ray = np.column_stack([np.cos(theta), np.sin(theta)])
            centres.append(glands.centres_um[g] + reach[:, None] * ray)
            kinds.append(np.where(rng.uniform(size=count) < dark, PRO, EPI))
            angles.append(theta + rng.normal(0, 0.25 + 0.5 * (wall > radius), count))
    return _cells(rng, np.concatenate(centres), np.concatenate(kinds), np.concatenate(angles))


def _fat_cells(rng: np.random.Generator, fat: Fat) -> Cells:
    """One flat nucleus at the rim of each adipocyte."""
    count = len(fat.centres_um)
    theta = rng.uniform(0, 2 * np.pi, count)
    ray = np.column_stack([np.cos(theta), np.sin(theta)])
    reach = np.full(count, FAT_RADIUS_UM)
    for cell in range(count):
        normals, distances = fat.walls(cell)
        facing = normals @ ray[cell]
        hit = distances[facing > 0.05] / facing[facing > 0.05]
        reach[cell] = min(reach[cell], hit.min(initial=np.inf))
    centres = fat.centres_um + (reach - 2.5)[:, None] * ray
    return _cells(rng, centres, np.full(count, ADI), theta + np.pi / 2)


def _stroma_cells(
    rng: np.random.Generator,
    extent_um: tuple[float, float],
    outline: Field,
    glands: Glands,
    fat: Fat,
    fibres: Fibres,
    immune: Field,
    looseness: Field,
) -> Cells:
    """Spindle nuclei along the fibres and immune cells in infiltrates, between the structures."""
    most = 18000.0
    points = _scatter(rng, extent_um, most)
    density = np.minimum(90.0 * np.exp(3.3 * immune.at(points)), most)
    immune_points = points[rng.uniform(size=len(points)) < density / most]
    most = 2600.0
    points = _scatter(rng, extent_um, most)
    density = 950.0 * np.exp(-0.55 * looseness.at(points))
    fibroblasts = points[rng.uniform(size=len(points)) < density / most]
    points = np.concatenate([immune_points, fibroblasts])
    kinds = np.repeat([IMM, FIB], [len(immune_points), len(fibroblasts)])
    free = (glands.distance_inside(points) < -2.5) & (outline.at(points) > 2.0)
    free &= fat.depth_inside(points) < 1.5
    points, kinds = points[free], kinds[free]
    angles = fibres.direction_at(points) + rng.normal(0, 0.22, len(points))
    angles = np.where(kinds == IMM, rng.uniform(0, np.pi, len(points)), angles)
    return _cells(rng, points, kinds, angles)
