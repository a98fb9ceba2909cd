from __future__ import annotations

import logging

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import poisson
from sklearn.metrics import r2_score

from c2lst.errors import InputError
from c2lst.evaluation.expression import DEFAULT_METHOD, evaluate
from toy_predictions import counted, lattice, median, predictions


@pytest.fixture(scope="module")
def tissue() -> dict[str, np.ndarray]:
    """Counts of a smooth tissue on an array, with its rates."""
    rng = np.random.default_rng(0)
    xy = lattice(16)
    share = rng.uniform(0.5, 2, 12)
    rate = share / (2 * share.sum()) * np.exp(np.sin(xy @ rng.uniform(0.002, 0.005, (2, 12))))
    library = 4000 * np.exp(0.3 * rng.normal(size=len(xy)))
    _, observed = counted(rate, library, rng)
    scale = 1e4 / library[:, None]
    best = np.log1p(scale * poisson.median(library[:, None] * rate))
    return {"xy": xy, "library": library, "observed": observed, "best": best}


def scores(tissue: dict[str, np.ndarray], predicted: np.ndarray, **options: object) -> pd.DataFrame:
    observed = tissue["observed"]
    layers = {"predicted": predicted, "baseline_train_median": median(observed, 60)}
    adata = predictions(layers, observed, train=60, xy=tissue["xy"], library_size=tissue["library"])
    return evaluate(adata, **options)[0].set_index("method")


def test_what_was_observed_is_perfect(tissue):
    row = scores(tissue, tissue["observed"].copy()).loc[DEFAULT_METHOD]
    assert row["mae"] == row["rmse"] == row["moran_difference"] == 0
    for name in ("r2", "r2_low", "r2_high", "pearson", "spearman", "skill", "moran_correlation"):
        assert row[name] == pytest.approx(1)
    assert row["explained_share"] > 1  # it foretells the noise as well


def test_the_truth_explains_everything_but_noise(tissue):
    row = scores(tissue, tissue["best"]).loc[DEFAULT_METHOD]
    assert row["explained_share"] == pytest.approx(1, abs=0.04)
    assert row["explained_share_low"] < 1 < row["explained_share_high"]
    assert row["mae"] == pytest.approx(row["noise_floor"], rel=0.03)
    assert row["skill"] < 0.9
    # The map itself is smoother than what counting shows of it, and that is no fault.
    assert row["moran_difference_corrected"] < 0.5 * row["moran_difference"]


def test_the_median_explains_nothing(tissue):
    table = scores(tissue, median(tissue["observed"], 60))
    for row in (table.loc[DEFAULT_METHOD], table.loc["train_median"]):
        for name in ("skill", "skill_low", "skill_high", "explained_share", "explained_share_low"):
            assert row[name] == 0
        assert row["pearson"] == row["spearman"] == row["moran_predicted"] == 0
        assert row["r2"] <= 0
        assert row["flat_genes"] == 12


def test_every_headline_lies_in_its_interval(tissue):
    rng = np.random.default_rng(0)
    predicted = 0.5 * tissue["best"] + 0.5 + 0.2 * rng.normal(size=tissue["best"].shape)
    for _, row in scores(tissue, predicted).iterrows():
        for name in ("mae", "rmse", "pearson", "spearman", "r2", "skill", "noise_floor"):
            assert row[f"{name}_low"] <= row[name] <= row[f"{name}_high"], name
        assert row["explained_share_low"] <= row["explained_share"] <= row["explained_share_high"]


def test_r2_is_that_of_scikit_learn_and_stays_negative(tissue):
    rng = np.random.default_rng(0)
    predicted = tissue["best"] + rng.normal(size=tissue["best"].shape)
    expected = r2_score(tissue["observed"][60:], predicted[60:], multioutput="raw_values")
    row = scores(tissue, predicted, resamples=10).loc[DEFAULT_METHOD]
    assert row["r2"] == pytest.approx(expected.mean())
    assert row["r2"] < 0 < row["pearson"]


@settings(max_examples=4, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.2, 5), st.floats(0, 3))
def test_what_changes_with_order_and_unit_and_what_does_not(tissue, seed, factor, offset):
    rng = np.random.default_rng(seed)
    predicted = tissue["best"] + 0.3 * rng.normal(size=tissue["best"].shape)
    order = np.concatenate([np.arange(60), 60 + rng.permutation(len(predicted) - 60)])
    first = scores(tissue, predicted, resamples=3).loc[DEFAULT_METHOD]
    moved = {name: value[order] for name, value in tissue.items()}
    again = scores(moved, predicted[order], resamples=3).loc[DEFAULT_METHOD]
    exact = [name for name in first.index if not name.endswith(("_low", "_high", "judged"))]
    np.testing.assert_allclose(again[exact].astype(float), first[exact].astype(float), atol=1e-9)
    scaled = scores(tissue, factor * predicted + offset, resamples=3).loc[DEFAULT_METHOD]
    for name in ("pearson", "spearman", "moran_predicted", "moran_difference", "noise_floor"):
        assert scaled[name] == pytest.approx(first[name], abs=1e-9)
    assert scaled["variance_ratio"] == pytest.approx(factor**2 * first["variance_ratio"])
    if factor > 1.1:
        assert scaled["mae"] > first["mae"]


def test_no_number_goes_missing_without_a_word(tissue, caplog):
    observed = tissue["observed"].copy()
    observed[60:, 3] = 0.0
    changed = tissue | {"observed": observed}
    predicted = tissue["best"].copy()
    predicted[:, 5] = 1.0
    with caplog.at_level(logging.INFO, logger="c2lst"):
        row = scores(changed, predicted).loc[DEFAULT_METHOD]
    assert "1 of 12 genes do not vary" in caplog.text
    assert row["undefined_genes"] == row["flat_genes"] == 1
    assert row["pearson_genes"] == row["moran_genes"] == 11
    numbers = row.drop(["coverage", "judged"], errors="ignore").astype(float)
    assert np.isfinite(numbers).all()


@pytest.mark.parametrize(
    ("change", "said", "lost"),
    [
        ({"library_size": None}, "no obs['library_size']", {"explained_share"}),
        ({"baseline": False}, "no layer baseline_train_median", {"explained_share", "skill"}),
        ({"spots": 62}, "only 2 held-out spots", set()),
        ({"spots": 62}, "0 held-out spots have a neighbour", {"moran_difference"}),
        ({"shift": 0.05}, "not log1p of normalised counts", {"noise_floor"}),
    ],
)
def test_what_is_lacking_is_said(tissue, caplog, change, said, lost):
    keep = np.arange(change.get("spots", 256))
    keep[-1] = 255 if "spots" in change else keep[-1]  # far from the other
    observed = tissue["observed"][keep] + change.get("shift", 0.0)
    layers = {"predicted": tissue["best"][keep]}
    if change.get("baseline", True):
        layers["baseline_train_median"] = median(observed, 60)
    library = change.get("library_size", tissue["library"][keep])
    xy = tissue["xy"][keep]
    adata = predictions(layers, observed, train=60, xy=xy, library_size=library)
    with caplog.at_level(logging.INFO, logger="c2lst"):
        row = evaluate(adata, resamples=50)[0].set_index("method").loc[DEFAULT_METHOD]
    assert said in caplog.text
    assert row[list(lost)].isna().all()
    assert np.isfinite(row[["mae", "rmse"]].astype(float)).all()


def test_without_headroom_there_is_no_explained_share(caplog):
    rng = np.random.default_rng(0)
    library = np.full(250, 4000.0)
    _, observed = counted(np.full((250, 8), 0.003), library, rng)
    adata = predictions(
        {"predicted": observed, "baseline_train_median": median(observed, 100)},
        observed,
        train=100,
        xy=lattice(16)[:250],
        library_size=library,
    )
    row = evaluate(adata, resamples=50)[0].iloc[0]
    assert np.isnan(row["explained_share"])
    assert "errs by no more than counting noise" in caplog.text


def test_rounding_of_the_file_does_not_matter(tissue):
    predicted = tissue["best"]
    exact = scores(tissue, predicted, resamples=10).loc[DEFAULT_METHOD]
    stored = tissue | {"observed": tissue["observed"].astype(np.float32)}
    rounded = scores(stored, predicted, resamples=10).loc[DEFAULT_METHOD]
    assert rounded["noise_floor"] == pytest.approx(exact["noise_floor"], rel=1e-12)


def test_a_library_without_counts_is_refused(tissue):
    broken = tissue | {"library": tissue["library"].copy()}
    broken["library"][200] = 0
    with pytest.raises(InputError, match="library_size"):
        scores(broken, tissue["best"])


def test_the_table_of_genes_holds_what_the_means_are_of(tissue):
    rng = np.random.default_rng(0)
    predicted = tissue["best"] + 0.2 * rng.normal(size=tissue["best"].shape)
    layers = {
        "predicted": predicted,
        "baseline_train_median": median(tissue["observed"], 60),
        "lower": predicted - 1,
        "upper": predicted + 2,
    }
    metrics, genes = evaluate(
        predictions(
            layers, tissue["observed"], 60, xy=tissue["xy"], library_size=tissue["library"]
        ),
        resamples=10,
    )
    row, own = metrics.iloc[0], genes[genes["method"] == DEFAULT_METHOD]
    for name in ("mae", "pearson", "spearman", "r2", "noise_floor", "moran_predicted", "coverage"):
        assert own[name].mean() == pytest.approx(row[name]), name
    np.testing.assert_allclose(own["width"], 3)
    assert own["reliability"].between(0, 1).all()
    base = genes.loc[genes["method"] == "train_median", "mae"].to_numpy()
    np.testing.assert_allclose(own["skill"], 1 - own["mae"] / base)
    np.testing.assert_allclose(
        own["explained_share"], (base - own["mae"]) / (base - own["noise_floor"])
    )


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda a: a.obsm["spatial"].__setitem__((30, 0), np.nan), "are no centres of spots"),
        (lambda a: a.obsm.__setitem__("spatial", np.zeros((40, 3))), r"found float64 of shape"),
        (lambda a: a.uns.__setitem__("c2lst", "x"), "is no mapping, found str"),
        (lambda a: a.uns.__setitem__("c2lst", {"interval": 90}), "found 90, expected above 0"),
        (lambda a: a.uns.__setitem__("c2lst", {"target_sum": 0}), "found 0, expected counts"),
        (lambda a: a.obs.__setitem__("library_size", "many"), "library_size.*found many"),
    ],
)
def test_parts_of_no_use_are_refused_by_name(damage, words):
    observed = np.random.default_rng(0).exponential(1, (40, 3))
    adata = predictions({"predicted": observed + 0.1}, observed, library_size=np.full(40, 100.0))
    damage(adata)
    with pytest.raises(InputError, match=words):
        evaluate(adata, resamples=5)


def test_a_file_without_genes_is_refused():
    nothing = np.empty((40, 0))
    with pytest.raises(InputError, match="hold no gene"):
        evaluate(predictions({"predicted": nothing}, nothing), resamples=5)


@pytest.mark.filterwarnings("error")
def test_raw_counts_have_no_noise_floor_and_it_is_said(caplog):
    """Their exponential is beyond any number."""
    counts = np.random.default_rng(0).poisson(900, (40, 3)).astype(float)
    adata = predictions({"predicted": counts}, counts, library_size=np.full(40, 5000.0))
    adata.layers["baseline_train_median"] = median(counts)
    assert np.isnan(evaluate(adata, resamples=5)[0]["noise_floor"]).all()
    assert "not log1p of normalised counts" in caplog.text
