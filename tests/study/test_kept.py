"""What a cell keeps of its predictions: errors by block, and maps of a few genes."""

import anndata
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from c2lst.study.block_errors import block_errors, moran_of_genes
from c2lst.study.kept_maps import SPREAD, STRONGEST, genes_to_keep, kept_maps


def predictions(genes=9, across=8, seed=0):
    """Genes from smooth to noise, and predictions that err."""
    rng = np.random.default_rng(seed)
    x, y = (axis.ravel() for axis in np.meshgrid(np.arange(across), np.arange(across)))
    smooth = np.sin(x / 2)[:, None] * np.linspace(2, 0, genes)
    observed = np.exp(smooth + 0.3 * rng.standard_normal((across**2, genes)))
    layers = {"observed": observed, "predicted": observed + rng.normal(size=observed.shape)}
    layers |= {"baseline_train_median": np.tile(np.median(observed, axis=0), (across**2, 1))}
    layers = {name: values.astype(np.float32) for name, values in layers.items()}
    obs = pd.DataFrame({"split": np.where(rng.random(across**2) < 0.3, "train", "test")})
    obs.index = obs.index.astype(str)
    return anndata.AnnData(
        X=layers["predicted"],
        obs=obs,
        var=pd.DataFrame(index=[f"g{i}" for i in range(genes)]),
        layers=layers,
        obsm={"spatial": np.column_stack([x, y]) * 100.0},
    )


@settings(max_examples=10, deadline=None)
@given(st.integers(3, 12), st.integers(5, 9))
def test_blocks_sum_to_the_error_that_is_reported(genes, across):
    whole = predictions(genes, across)
    table = block_errors(whole, moran_of_genes(whole))
    test = (whole.obs["split"] == "test").to_numpy()
    error = np.abs(whole.layers["predicted"] - whole.layers["observed"])[test]
    own = table[(table["method"] == "c2lst (image + place)") & (table["genes"] == "all")]
    assert own["spots"].sum() == test.sum()
    assert own["error"].sum() / test.sum() == pytest.approx(error.mean(), rel=1e-5)
    thirds = table[(table["method"] == own["method"].iloc[0]) & (table["genes"] != "all")]
    assert set(thirds["genes"]) == {"low", "middle", "high"}


def test_thirds_are_ordered_by_moran():
    whole = predictions()
    table = block_errors(whole, moran_of_genes(whole)).drop_duplicates("genes").set_index("genes")
    assert table.loc["low", "moran"] < table.loc["middle", "moran"] < table.loc["high", "moran"]


@given(st.lists(st.floats(-0.2, 0.9) | st.just(float("nan")), min_size=1, max_size=60))
def test_few_genes_are_kept_the_strongest_first(values):
    moran = np.array(values)
    kept = genes_to_keep(moran)
    assert len(set(kept.tolist())) == len(kept) <= STRONGEST + SPREAD
    known = np.nan_to_num(moran, nan=-1.0)
    assert known[kept[0]] == known.max()
    assert (np.diff(known[kept]) <= 0).all()


def test_maps_hold_every_spot_of_a_few_genes_whatever_was_predicted():
    one, two = predictions(genes=40), predictions(genes=40)
    two.layers["predicted"] = two.layers["predicted"] + 5
    maps = [kept_maps(whole, moran_of_genes(whole)) for whole in (one, two)]
    assert maps[0]["gene"].tolist() == maps[1]["gene"].tolist()
    assert len(maps[0]) == 64 * (STRONGEST + SPREAD)
    assert {"x", "y", "part", "observed", "predicted", "moran"} <= set(maps[0])
    assert "alone" not in maps[0]
