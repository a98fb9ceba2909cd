"""A legacy Spatial Transcriptomics section in miniature: image, counts and spot file."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np

MPP = 2.0
PITCH_UM = 200.0
HAEMATOXYLIN = np.array([0.65, 0.70, 0.29])
EOSIN = np.array([0.25, 0.81, 0.53])


def stained(height: int, width: int, seed: int = 0) -> np.ndarray:
    """An H&E-like image, uint8 (height, width, 3): an ellipse of tissue on an empty slide."""
    from scipy import ndimage

    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    inside = ((x / width - 0.5) / 0.48) ** 4 + ((y / height - 0.5) / 0.48) ** 4 < 1
    nuclei = ndimage.gaussian_filter(rng.random((height, width)) > 0.985, 1.2, output=float)
    fibres = ndimage.gaussian_filter(rng.standard_normal((height, width)), 6)
    amounts = np.stack([18 * nuclei * (0.3 + x / width), 0.35 + 3 * np.abs(fibres)], axis=-1)
    density = (amounts * inside[..., None]) @ np.stack([HAEMATOXYLIN, EOSIN])
    density += 0.04 + 0.01 * rng.standard_normal((height, width, 1))
    return np.clip(255 * np.exp(-density), 0, 255).astype(np.uint8)


def write_legacy_section(
    folder: Path, name: str = "S1", columns: int = 9, rows: int = 8, genes: int = 60, seed: int = 0
) -> Path:
    """Write image, counts and spot file of a small legacy section; returns the folder."""
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    pitch_px = PITCH_UM / MPP
    image = stained(int((rows + 1) * pitch_px), int((columns + 1) * pitch_px), seed)
    Image.fromarray(image).save(folder / f"{name}.png")
    array = np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), axis=-1).reshape(-1, 2) + 1
    level = np.exp(rng.normal(0.5, 1.2, genes))
    trend = 1 + 0.8 * np.outer(np.sin(array[:, 0] / 2), rng.choice([-1, 1], genes))
    counts = rng.poisson(3 * level * trend)
    lines = ["\t".join(["", *(f"G{i}" for i in range(genes))])]
    lines += [
        "\t".join([f"{x}x{y}", *map(str, row)]) for (x, y), row in zip(array, counts, strict=True)
    ]
    with gzip.open(folder / f"{name}.tsv.gz", "wt", encoding="utf-8") as handle:
        handle.write("\n".join(lines) + "\n")
    spots = ["x\ty\tnew_x\tnew_y\tpixel_x\tpixel_y\tselected"]
    spots += [f"{x}\t{y}\t{x}\t{y}\t{x * pitch_px}\t{y * pitch_px}\t1" for x, y in array]
    (folder / f"{name}_selection.tsv").write_text("\n".join(spots) + "\n", encoding="utf-8")
    return folder
