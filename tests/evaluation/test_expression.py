from __future__ import annotations

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy.stats import pearsonr, spearmanr

from c2lst.errors import InputError
from c2lst.evaluation.expression import DEFAULT_METHOD, compare, evaluate
from c2lst.evaluation.expression.blocks import SpatialBlocks, interval


def predictions(
    methods: dict[str, np.ndarray], observed: np.ndarray, train: int = 10, seed: int = 0
) -> anndata.AnnData:
    n = len(observed)
    split = np.where(np.arange(n) < train, "train", "test")
    adata = anndata.AnnData(
        observed.astype(np.float64),
        obs=pd.DataFrame({"split": pd.Categorical(split)}, index=[f"s{i}" for i in range(n)]),
        var=pd.DataFrame(index=[f"g{i}" for i in range(observed.shape[1])]),
        layers={"observed": observed, **methods},
    )
    adata.obsm["spatial"] = np.random.default_rng(seed).uniform(0, 1000, (n, 2))
    return adata


@pytest.fixture
def observed() -> np.ndarray:
    return np.random.default_rng(1).exponential(1, (110, 6))


def median(observed: np.ndarray) -> np.ndarray:
    return np.tile(np.median(observed[:10], axis=0), (len(observed), 1))


def test_a_perfect_prediction(observed):
    adata = predictions(
        {
            "predicted": observed.copy(),
            "baseline_train_median": median(observed),
            "lower": observed - 1,
            "upper": observed + 1,
        },
        observed,
    )
    metrics, genes = evaluate(adata)
    row = metrics.set_index("method").loc[DEFAULT_METHOD]
    assert row["mae"] == row["rmse"] == row["mae_low"] == row["mae_high"] == 0
    for name in ("pearson", "pearson_low", "spearman", "skill", "skill_low", "variance_ratio"):
        assert row[name] == pytest.approx(1)
    assert row["coverage"] == 1
    assert row["spots"] == 100
    assert row["genes"] == 6
    base = metrics.set_index("method").loc["train_median"]
    assert base["skill"] == base["skill_low"] == base["skill_high"] == 0
    assert base["pearson"] == 0
    assert len(genes) == 12
    assert set(genes.columns) >= {"method", "gene", "mae", "pearson", "constant"}


def test_numbers_agree_with_scipy_and_see_test_spots_only(observed):
    rng = np.random.default_rng(4)
    predicted = observed + rng.normal(size=observed.shape)
    predicted[:10] = 1e6
    metrics, genes = evaluate(predictions({"predicted": predicted}, observed))
    test_observed, test_predicted = observed[10:], predicted[10:]
    expected = [pearsonr(test_observed[:, g], test_predicted[:, g]).statistic for g in range(6)]
    np.testing.assert_allclose(genes["pearson"], expected)
    row = metrics.iloc[0]
    assert row["pearson"] == pytest.approx(np.mean(expected))
    ranks = [spearmanr(test_observed[:, g], test_predicted[:, g]).statistic for g in range(6)]
    assert row["spearman"] == pytest.approx(np.mean(ranks))
    assert row["mae"] == pytest.approx(np.abs(test_observed - test_predicted).mean())
    assert np.isnan(row["skill"])


def test_constant_genes_are_counted_not_hidden(observed):
    observed[:, 2] = 0.5
    predicted = observed + np.random.default_rng(0).normal(size=observed.shape)
    predicted[:, 4] = 3.0
    metrics, genes = evaluate(predictions({"predicted": predicted}, observed))
    assert metrics.loc[0, "pearson_genes"] == 5
    assert np.isfinite(
        metrics.loc[0, ["pearson", "pearson_low", "pearson_high"]].astype(float)
    ).all()
    table = genes.set_index("gene")
    assert np.isnan(table.loc["g2", "pearson"])
    assert table.loc["g2", "constant"]
    assert table.loc["g4", "pearson"] == 0


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("test", [1, 2, 5])
def test_few_test_spots(test, observed):
    few = observed[: 10 + test]
    metrics, _ = evaluate(
        predictions({"predicted": few + 0.1, "baseline_train_median": median(few)}, few)
    )
    row = metrics.set_index("method").loc[DEFAULT_METHOD]
    assert row["mae"] == pytest.approx(0.1)
    assert row["mae_low"] == pytest.approx(0.1)
    assert row["pearson_genes"] == (0 if test == 1 else 6)


def test_intervals_contain_the_estimate_and_are_deterministic(observed):
    predicted = observed + np.random.default_rng(2).normal(size=observed.shape)
    adata = predictions(
        {"predicted": predicted, "baseline_train_median": median(observed)}, observed
    )
    first, second = evaluate(adata)[0], evaluate(adata)[0]
    pd.testing.assert_frame_equal(first, second)
    for name in ("mae", "pearson", "skill"):
        assert (first[f"{name}_low"] <= first[name]).all()
        assert (first[name] <= first[f"{name}_high"]).all()
    assert not evaluate(adata, seed=1)[0]["mae_low"].equals(first["mae_low"])


def test_errors_that_are_alike_nearby_widen_the_interval():
    rng = np.random.default_rng(0)
    xy = rng.uniform(0, 1000, (600, 2))
    blocks = SpatialBlocks.of(xy, 500, 0)
    smooth = np.sin(xy[:, :1] / 150)
    mixed = rng.permutation(smooth)
    assert blocks.means(smooth).std() > 2 * blocks.means(mixed).std()


def test_blocks_partition_the_spots_and_resamples_agree_with_brute_force():
    rng = np.random.default_rng(0)
    blocks = SpatialBlocks.of(rng.uniform(0, 9, (80, 2)), 20, 0)
    np.testing.assert_array_equal(blocks.members.sum(axis=0), 1)
    assert 6 <= len(blocks.members) <= 36
    # The far border is no block of its own.
    square = np.argwhere(np.ones((12, 12))) * 100.0
    assert SpatialBlocks.of(square, 2, 0).members.sum(axis=1).tolist() == [4] * 36
    assert interval(np.append(np.arange(1001.0), np.nan)) == (25, 975)
    x, y = rng.normal(size=(80, 3)), rng.normal(size=(80, 3))
    fast = blocks.pearson(x, y)
    for resample in (0, 7):
        often = (blocks.draws[resample] @ blocks.members).astype(int)
        rows = np.repeat(np.arange(80), often)
        slow = np.mean([np.corrcoef(x[rows, g], y[rows, g])[0, 1] for g in range(3)])
        assert fast[resample] == pytest.approx(slow)


def test_comparison_is_paired(observed):
    rng = np.random.default_rng(3)
    noise = rng.normal(size=observed.shape)
    adata = predictions(
        {
            "predicted": observed + noise,
            "predicted_real_only": observed + 1.1 * noise,
            "baseline_train_median": observed + 3 * noise,
            "baseline_knn": observed + 2 * noise,
        },
        observed,
    )
    table = compare(adata).set_index(["method", "against"])
    twin = table.loc[(DEFAULT_METHOD, "predicted_real_only")]
    assert twin["mae_difference"] == pytest.approx(-0.1 * np.abs(noise[10:]).mean())
    assert twin["low"] < twin["mae_difference"] < twin["high"] < 0
    metrics = evaluate(adata)[0].set_index("method")
    unpaired = metrics.loc[DEFAULT_METHOD, "mae_high"] - metrics.loc[DEFAULT_METHOD, "mae_low"]
    assert twin["high"] - twin["low"] < 0.3 * unpaired
    assert table.loc[(DEFAULT_METHOD, "knn"), "against_best"]
    assert not table.loc[(DEFAULT_METHOD, "train_median"), "against_best"]


def test_methods_that_are_alike_are_not_told_apart(observed):
    rng = np.random.default_rng(3)
    adata = predictions(
        {
            "predicted": observed + rng.normal(size=observed.shape),
            "baseline_knn": observed + rng.normal(size=observed.shape),
        },
        observed,
    )
    row = compare(adata).iloc[0]
    assert row["low"] < 0 < row["high"]


def test_broken_predictions_are_refused(observed):
    adata = predictions({"predicted": observed.copy()}, observed)
    bad = adata.copy()
    bad.layers["predicted"][50, 2] = np.nan
    with pytest.raises(InputError, match="not finite"):
        evaluate(bad)
    bad = adata.copy()
    bad.layers["predicted"][3, 2] = np.nan  # a training spot is not judged
    evaluate(bad)
    bad = adata.copy()
    bad.obs["split"] = "train"
    with pytest.raises(InputError, match="no held-out spot"):
        evaluate(bad)
    bad = adata.copy()
    del bad.layers["observed"]
    with pytest.raises(InputError, match="observed"):
        evaluate(bad)
