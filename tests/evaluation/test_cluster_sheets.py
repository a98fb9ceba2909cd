import dataclasses

import numpy as np
import pytest

from c2lst.errors import InputError
from c2lst.evaluation.cluster_sheets import (
    DPI,
    cluster_rows,
    draw_sheet,
    top_genes,
    write_figure,
)

GENES = [f"GENE{k}" for k in range(6)]


@pytest.fixture
def rows():
    """Two clusters of 12 and 3 spots; real patches are even numbers, synthetic ones odd."""
    rng = np.random.default_rng(0)
    clusters = np.repeat([0, 1], [12, 3])
    scaled = rng.standard_normal((15, 6))
    scaled[:12, 4] += 3
    scaled[12:, 1] += 3
    sources = np.repeat(np.arange(15), 2)
    real = (
        np.zeros((15, 8, 8, 3), dtype=np.uint8)
        + 2 * np.arange(15, dtype=np.uint8)[:, None, None, None]
    )
    return cluster_rows(clusters, scaled, GENES, real, real[sources] + 1, sources, patches=5)


def test_both_sides_show_the_same_spots_of_the_cluster(rows):
    assert [(row.name, row.spots, len(row.real)) for row in rows] == [
        ("Cluster 1", 12, 5),
        ("Cluster 2", 3, 3),
    ]
    for row, members in zip(rows, (range(12), range(12, 15)), strict=True):
        np.testing.assert_array_equal(row.synthetic, row.real + 1)
        spots = row.real[:, 0, 0, 0] // 2
        assert set(spots.tolist()) <= set(members) and len(set(spots.tolist())) == len(spots)
    assert rows[0].genes[0] == "GENE4" and rows[1].genes[0] == "GENE1"


def test_a_sheet_has_the_size_of_its_rows_and_shows_them(rows, tmp_path):
    from PIL import Image

    heights = []
    for count in (1, 2):
        path = tmp_path / f"{count}.png"
        write_figure(path, draw_sheet(rows[:count], 112.0))
        with Image.open(path) as image:
            pixels = np.asarray(image.convert("RGB"))
        heights.append(len(pixels))
        # Ten patches of dark pixels a row; white between, and at the border.
        dark = (pixels.max(axis=2) < 40).mean()
        assert 0.1 < dark < 0.6
        assert (pixels[:3] == 255).all() and (pixels[:, -3:] == 255).all()
    assert 0.5 * DPI < heights[1] - heights[0] < 1.2 * DPI


def test_the_scale_bar_is_a_round_length_within_a_patch(rows):
    for patch_um, label in ((112.0, "100 µm"), (55.0, "50 µm"), (8.0, "5 µm")):
        words = [text.get_text() for text in draw_sheet(rows, patch_um).texts]
        assert label in words and "Real" in words and "Synthetic" in words
        assert any("12 spots" in each for each in words)


def test_top_genes_prefer_a_steady_difference():
    scaled = np.zeros((20, 3))
    scaled[:10, 1] = 1 + 0.1 * np.random.default_rng(0).standard_normal(10)
    scaled[0, 2] = 15.0  # one spot alone: a higher mean, of no cluster
    assert top_genes(scaled, np.arange(20) < 10, number=1).tolist() == [1]


def test_a_sheet_of_nothing_is_refused(rows):
    with pytest.raises(InputError, match="as many real as synthetic"):
        draw_sheet([], 112.0)
    with pytest.raises(InputError, match="as many real as synthetic"):
        draw_sheet([dataclasses.replace(rows[0], synthetic=rows[0].synthetic[:2])], 112.0)
