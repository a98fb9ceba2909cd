"""Haematoxylin and eosin image of a simulated tissue, by the law of Beer and Lambert."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from c2lst.data.simulate.fields import random_field, smooth_noise
from c2lst.data.simulate.structures import EPI, FAT_RADIUS_UM, PRO, Cells
from c2lst.data.simulate.tissue import Tissue

STAINS = np.array([[0.62, 0.70, 0.35], [0.17, 0.85, 0.50]])
STAINS /= np.linalg.norm(STAINS, axis=1, keepdims=True)
"""Optical density of haematoxylin and of eosin in red, green and blue: (2, 3), rows of unit norm,
near the vectors of Macenko et al. (ISBI 2009)."""

_STRIP = 256
_GLASS = (0.004, 0.022)


@dataclass(frozen=True)
class _Canvas:
    """Concentrations of the two stains per pixel and the pixels' centres in µm."""

    haematoxylin: np.ndarray
    eosin: np.ndarray
    x_um: np.ndarray
    y_um: np.ndarray
    mpp: float

    def window(self, centre_um: np.ndarray, reach_um: float) -> tuple[slice, slice]:
        """Rows and columns of the pixels within ``reach_um`` of ``centre_um``."""
        low = np.floor((centre_um - reach_um) / self.mpp).astype(int)
        high = np.ceil((centre_um + reach_um) / self.mpp).astype(int) + 1
        low = np.maximum(low, 0)
        return slice(low[1], max(low[1], high[1])), slice(low[0], max(low[0], high[0]))

    def blend(
        self,
        window: tuple[slice, slice],
        cover: np.ndarray,
        haematoxylin: np.ndarray | float,
        eosin: np.ndarray | float,
    ) -> None:
        """Put paint of the given concentrations over a window, ``cover`` in [0, 1]."""
        for layer, paint in ((self.haematoxylin, haematoxylin), (self.eosin, eosin)):
            layer[window] += cover * (paint - layer[window])


def render(tissue: Tissue, mpp: float, rng: np.random.Generator) -> np.ndarray:
    """Render ``tissue`` at ``mpp`` µm per pixel.

    Returns
    -------
    (rows, columns, 3) uint8
        I = 255·exp(-C·S) for the concentrations C (haematoxylin, eosin) and ``STAINS`` S, after a
        slight blur of C, with uneven staining and sensor noise.
    """
    width, height = (max(1, round(length / mpp)) for length in tissue.extent_um)
    canvas = _Canvas(
        haematoxylin=np.zeros((height, width), dtype=np.float32),
        eosin=np.zeros((height, width), dtype=np.float32),
        x_um=((np.arange(width) + 0.5) * mpp).astype(np.float32),
        y_um=((np.arange(height) + 0.5) * mpp).astype(np.float32),
        mpp=mpp,
    )
    _draw_stroma(canvas, tissue, rng)
    _draw_fat(canvas, tissue, rng)
    _draw_glands(canvas, tissue, rng)
    _draw_nuclei(canvas, tissue, rng)
    return _develop(canvas, tissue, rng)


def _step(distance: np.ndarray, width: float) -> np.ndarray:
    """Soft step from 0 to 1 over about ``width``, linear: as an antialiased edge."""
    return np.clip(distance / width + 0.5, 0.0, 1.0)


def _draw_stroma(canvas: _Canvas, tissue: Tissue, rng: np.random.Generator) -> None:
    """Pink fibres that follow the fibre coordinates, with clefts where the stroma is loose."""
    # A texture pixel is 1 µm; the texture is periodic, and the warp hides the period.
    period = 1 << int(np.clip(np.ceil(np.log2(max(tissue.extent_um) / 2)), 8, 11))
    shape = (period, period)
    fine = smooth_noise(rng, shape, (1.5, 22.0)) + 0.7 * smooth_noise(rng, shape, (4.0, 40.0))
    clefts = smooth_noise(rng, shape, (4.5, 26.0))
    grain = smooth_noise(rng, shape, 1.2)
    fibres = tissue.fibres
    cos, sin = np.float32(np.cos(fibres.angle)), np.float32(np.sin(fibres.angle))
    for top in range(0, len(canvas.y_um), _STRIP):
        rows = slice(top, min(top + _STRIP, len(canvas.y_um)))
        x, y = canvas.x_um, canvas.y_um[rows]
        on_tissue = _step(tissue.outline.on_pixels(x, y), max(3.0, canvas.mpp))
        loose = tissue.looseness.on_pixels(x, y)
        immune = tissue.immune.on_pixels(x, y)
        along = x * cos + y[:, None] * sin + fibres.along.on_pixels(x, y)
        across = y[:, None] * cos - x * sin + fibres.across.on_pixels(x, y)
        u = along.astype(np.int32) & (period - 1)
        v = across.astype(np.int32) & (period - 1)
        texture = fine[v, u] + 0.35 * grain[v, (u * 7) & (period - 1)]
        gap = _step(clefts[v, u] + 0.5 * loose - 1.85, 0.4)
        eosin = np.clip(0.47 + 0.10 * texture - 0.07 * loose, 0.05, None) * (1 - 0.92 * gap)
        blue = np.clip(0.085 + 0.02 * texture + 0.03 * immune, 0.02, None) * (1 - 0.9 * gap)
        canvas.haematoxylin[rows] = _GLASS[0] + on_tissue * blue
        canvas.eosin[rows] = _GLASS[1] + on_tissue * eosin


def _draw_fat(canvas: _Canvas, tissue: Tissue, rng: np.random.Generator) -> None:
    """Empty rounded polygons with thin pink rims."""
    fat = tissue.fat
    reach, round_um = FAT_RADIUS_UM + 4.0, 2.5
    for cell, centre in enumerate(fat.centres_um):
        window = canvas.window(centre, reach)
        dx = canvas.x_um[window[1]] - centre[0]
        dy = (canvas.y_um[window[0]] - centre[1])[:, None]
        normals, distances = fat.walls(cell)
        # A smooth maximum over the walls and a circle: a polygon with round corners.
        total = np.exp((np.hypot(dx, dy) - FAT_RADIUS_UM) / round_um)
        for normal, distance in zip(normals.astype(np.float32), distances, strict=True):
            total += np.exp((dx * normal[0] + dy * normal[1] - np.float32(distance)) / round_um)
        outside = round_um * np.log(np.maximum(total, 1e-12))
        membrane = rng.uniform(0.8, 1.4)
        soft = max(1.2, canvas.mpp)
        canvas.blend(window, _step(1.5 - outside, soft), 0.07, rng.uniform(0.38, 0.5))
        inside = _step(-membrane - outside, soft)
        canvas.blend(window, inside, 0.006, rng.uniform(0.02, 0.05))


def _draw_glands(canvas: _Canvas, tissue: Tissue, rng: np.random.Generator) -> None:
    """Epithelium in rings: basement membrane, columnar cytoplasm, pale lumen."""
    glands = tissue.glands
    for g, centre in enumerate(glands.centres_um):
        radius, wall = glands.radii_um[g], glands.wall_um[g]
        window = canvas.window(centre, 1.4 * radius + 4.0)
        dx = canvas.x_um[window[1]] - np.float32(centre[0])
        dy = (canvas.y_um[window[0]] - np.float32(centre[1]))[:, None]
        theta = np.arctan2(dy, dx)
        depth = (glands.radius_at(g, theta) - np.hypot(dx, dy)).astype(np.float32)
        soft = max(1.5, canvas.mpp)
        retraction = rng.uniform(0.0, 2.5)
        canvas.blend(window, _step(depth + retraction, soft), 0.03, rng.uniform(0.1, 0.5))
        tone = rng.normal(0, 0.035)
        sides = max(6, int(radius * 0.9))
        borders = 0.05 * np.cos(sides * theta + 0.12 * depth)
        blue = 0.20 + 0.12 * glands.dark[g] + tone - 0.004 * depth
        pink = 0.36 + tone + borders + 0.004 * depth
        canvas.blend(window, _step(depth, soft), np.clip(blue, 0.08, None), pink)
        if wall < radius:
            ragged = 0.5 * np.cos(sides * theta) + 0.9 * np.cos(7 * theta + sides)
            lumen = depth - wall - ragged
            brush = np.exp(-(((lumen + 1.0) / 1.6) ** 2)) * (lumen < 1.0)
            canvas.eosin[window] += 0.22 * brush
            secretion = rng.uniform(0.02, 0.05) if rng.uniform() < 0.7 else rng.uniform(0.08, 0.2)
            canvas.blend(window, _step(lumen, soft), 0.01, secretion)


def _draw_nuclei(canvas: _Canvas, tissue: Tissue, rng: np.random.Generator) -> None:
    """Stamp all nuclei: ellipses with a dark membrane, chromatin texture and nucleoli."""
    cells = tissue.cells
    height, width = canvas.haematoxylin.shape
    ink = np.zeros(height * width, dtype=np.float32)
    chromatin = smooth_noise(rng, (512, 512), 1.0 / canvas.mpp + 0.3)
    shifts = rng.integers(0, 512, (len(cells.kinds), 2))
    wobble = rng.uniform(0, 2 * np.pi, len(cells.kinds))
    nucleolus = rng.uniform(-0.45, 0.45, len(cells.kinds))
    reach = np.ceil((1.15 * cells.axes_um.max(axis=1)) / canvas.mpp + 1).astype(int)
    for half in np.unique(reach):
        members = np.flatnonzero(reach == half)
        side = 2 * half + 1
        batch = max(1, 400_000 // side**2)
        for start in range(0, len(members), batch):
            m = members[start : start + batch]
            corner = np.floor(cells.centres_um[m] / canvas.mpp).astype(np.intp) - half
            columns = corner[:, 0, None] + np.arange(side)
            rows = corner[:, 1, None] + np.arange(side)
            x0, y0 = cells.centres_um[m].T
            dx = (((columns + 0.5) * canvas.mpp) - x0[:, None]).astype(np.float32)[:, None, :]
            dy = (((rows + 0.5) * canvas.mpp) - y0[:, None]).astype(np.float32)[:, :, None]
            noise = chromatin[
                (rows + shifts[m, 0, None])[:, :, None] & 511,
                (columns + shifts[m, 1, None])[:, None, :] & 511,
            ]
            stamp = _nuclei(cells, m, dx, dy, noise, (wobble[m], nucleolus[m]), canvas.mpp)
            inside = (rows >= 0) & (rows < height)
            place = rows[:, :, None] * width + columns[:, None, :]
            valid = inside[:, :, None] & ((columns >= 0) & (columns < width))[:, None, :]
            valid &= stamp > 0
            np.maximum.at(ink, place[valid], stamp[valid])
    ink = ink.reshape(height, width)
    for top in range(0, height, _STRIP):
        rows_ = slice(top, top + _STRIP)
        cover = np.minimum(1.6 * ink[rows_], 1.0)
        canvas.haematoxylin[rows_] *= 1 - 0.7 * cover
        canvas.haematoxylin[rows_] += ink[rows_]
        canvas.eosin[rows_] *= 1 - 0.35 * cover


def _nuclei(
    cells: Cells,
    members: np.ndarray,
    dx: np.ndarray,
    dy: np.ndarray,
    noise: np.ndarray,
    rng_shape: tuple[np.ndarray, np.ndarray],
    mpp: float,
) -> np.ndarray:
    """Haematoxylin of a batch of nuclei on windows (b, side, side), 0 outside of each."""
    wobble, nucleolus = (part.astype(np.float32)[:, None, None] for part in rng_shape)
    angle = cells.angles[members].astype(np.float32)[:, None, None]
    long, short = cells.axes_um[members].astype(np.float32).T[:, :, None, None]
    cos, sin = np.cos(angle), np.sin(angle)
    u = (dx * cos + dy * sin) / long
    v = (dy * cos - dx * sin) / short
    # Bent and lobed a little: no nucleus is an ellipse.
    v = v + 0.22 * np.sin(2.0 * u + wobble)
    rho = np.sqrt(u * u + v * v)
    soft = max(0.9, 0.8 * mpp)
    edge = _step((1 - rho) * np.minimum(short * 1.4, long), soft)
    rim = np.exp(-(((rho - 0.82) / 0.17) ** 2))
    spot = np.exp(-((u - 0.5 * np.sin(wobble)) ** 2 + (v - nucleolus) ** 2) * short / 0.25)
    kinds = cells.kinds[members]
    vesicular = np.where((kinds == EPI) | (kinds == PRO), 1.0, 0.35).astype(np.float32)
    vesicular = vesicular[:, None, None]
    tone = 0.86 + vesicular * (0.26 * rim + 0.45 * spot - 0.06) + (0.10 + 0.10 * vesicular) * noise
    darkness = cells.darkness[members].astype(np.float32)[:, None, None]
    return darkness * edge * np.clip(tone, 0.45, 1.5)


def _develop(canvas: _Canvas, tissue: Tissue, rng: np.random.Generator) -> np.ndarray:
    """Turn concentrations into an 8-bit image."""
    from scipy.ndimage import gaussian_filter

    blur = 0.65 / max(canvas.mpp, 0.65)
    layers = []
    for layer in (canvas.haematoxylin, canvas.eosin):
        uneven = random_field(rng, tissue.extent_um, 900.0, 50.0)
        layers.append((gaussian_filter(layer, blur, truncate=3.0), uneven))
    image = np.empty((*canvas.eosin.shape, 3), dtype=np.uint8)
    for top in range(0, len(image), _STRIP):
        rows = slice(top, min(top + _STRIP, len(image)))
        stains = np.stack(
            [
                layer[rows] * (1 + 0.05 * uneven.on_pixels(canvas.x_um, canvas.y_um[rows]))
                for layer, uneven in layers
            ],
            axis=-1,
        )
        light = 255 * np.exp(-(stains @ STAINS.astype(np.float32)))
        light += 1.2 * rng.standard_normal(light.shape, dtype=np.float32)
        image[rows] = np.clip(np.rint(light), 0, 255)
    return image
