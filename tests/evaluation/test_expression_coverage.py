from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from c2lst.errors import InputError
from c2lst.evaluation.expression import interval_coverage
from toy_predictions import lattice, predictions


def test_intervals_of_known_coverage():
    observed = np.tile(np.arange(100.0)[:, None], (1, 4))
    half = np.where(np.arange(100) % 10 < 8, 1.0, -1.0)[:, None]  # 8 of 10 are covered
    layers = {"predicted": observed, "lower": observed - half, "upper": observed + half}
    adata = predictions(layers, observed, train=20, xy=lattice(10))
    row = interval_coverage(adata).set_index("group").loc["all"]
    assert row["coverage"] == row["gene_median"] == 0.8
    assert row["coverage_low"] < 0.8 < row["coverage_high"]
    assert row["spots"] == 80
    assert row["level"] == 0.9
    assert row["genes_within"] == 0  # 64 of 80, where at least 66 are due
    assert row["width"] == pytest.approx(2 * half[20:].mean())


def test_exact_intervals_pass_and_narrow_ones_do_not():
    rng = np.random.default_rng(0)
    observed = rng.normal(5, 1, (400, 200))
    tables = []
    for level in (0.9, 0.8):
        half = norm.ppf(0.5 + level / 2)
        layers = {
            "predicted": np.full_like(observed, 5),
            "lower": np.full_like(observed, 5 - half),
            "upper": np.full_like(observed, 5 + half),
        }
        adata = predictions(layers, observed, train=40, xy=lattice(20))
        tables.append(interval_coverage(adata).set_index("group").loc["all"])
    exact, narrow = tables
    assert exact["coverage"] == pytest.approx(0.9, abs=0.005)
    assert exact["coverage_low"] < 0.9 < exact["coverage_high"]
    assert exact["genes_within"] > 0.9
    assert narrow["coverage"] == pytest.approx(0.8, abs=0.005)
    assert narrow["genes_within"] < 0.05


def test_thirds_by_distance_to_training_spots():
    xy = lattice(12)
    observed = np.random.default_rng(0).normal(size=(144, 5))
    column = xy[:, 0] / 100
    half = np.where(column <= 4, 9.0, np.where(column <= 8, 1.0, 0.1))[:, None]
    layers = {"predicted": 0 * observed, "lower": 0 * observed - half, "upper": 0 * observed + half}
    adata = predictions(layers, observed, xy=xy)
    adata.obs["split"] = np.where(column == 0, "train", "test")
    table = interval_coverage(adata).set_index("group")
    assert list(table.index) == ["all", "near", "middle", "far"]
    assert table.loc["near", "distance_from"] == 1
    assert table.loc["far", "distance_to"] == 11
    assert table["spots"].tolist() == [132, 48, 48, 36]
    assert table.loc["near", "coverage"] > table.loc["middle", "coverage"]
    assert table.loc["middle", "coverage"] > table.loc["far", "coverage"]
    inside = (np.abs(observed) <= half)[column > 8].mean()
    assert table.loc["far", "coverage"] == pytest.approx(inside)
    assert table.loc["far", "width"] == pytest.approx(0.2)


def test_another_section_has_no_distance():
    observed = np.random.default_rng(0).normal(size=(50, 3))
    layers = {"predicted": observed, "lower": observed - 1, "upper": observed + 1}
    table = interval_coverage(predictions(layers, observed, train=0))
    assert table["group"].tolist() == ["all"]
    assert np.isnan(table["distance_from"]).all()


def test_a_file_without_intervals_is_refused():
    observed = np.random.default_rng(0).normal(size=(50, 3))
    with pytest.raises(InputError, match="no interval"):
        interval_coverage(predictions({"predicted": observed}, observed))
