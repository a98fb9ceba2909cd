from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from c2lst.data.genes import ExpressionScaler, GenePanel
from c2lst.errors import InputError


def test_the_panel_holds_the_genes_of_highest_mean(small_section):
    panel = GenePanel.top_mean(small_section, 10)
    means = np.asarray(small_section.counts.mean(axis=0)).ravel()
    assert set(panel.genes) == set(small_section.genes[np.argsort(-means)[:10]])
    assert (
        list(means[panel.columns(small_section)])
        == sorted(means[panel.columns(small_section)])[::-1]
    )


def test_a_gene_that_nobody_expresses_is_not_chosen(small_section):
    expressed = int((np.asarray(small_section.counts.sum(axis=0)).ravel() > 0).sum())
    assert len(GenePanel.top_mean(small_section, expressed)) == expressed
    for n in (expressed + 1, 0, -3):
        with pytest.raises(InputError, match="no such size"):
            GenePanel.top_mean(small_section, n)


def test_a_list_keeps_its_order(small_section):
    assert GenePanel.from_list(["G5", "G1"], small_section).genes == ("G5", "G1")


@pytest.mark.parametrize(
    ("genes", "words"), [(["G1", "XYZ"], "XYZ"), (["G1", "G1"], "twice"), ([], "empty")]
)
def test_a_list_that_does_not_fit_is_refused(small_section, genes, words):
    with pytest.raises(InputError, match=words):
        GenePanel.from_list(genes, small_section)


def test_the_hash_depends_on_the_order(small_section):
    assert GenePanel(("a", "b")).hash != GenePanel(("b", "a")).hash
    assert GenePanel(("a", "b")).hash == GenePanel(("a", "b")).hash


def test_lognorm_is_log1p_of_counts_per_target_sum_over_all_genes(small_section):
    panel = GenePanel.top_mean(small_section, 7)
    scaler = ExpressionScaler.fit(small_section, panel)
    counts = small_section.counts.toarray().astype(float)
    expected = np.log1p(counts / counts.sum(axis=1, keepdims=True) * 1e4)
    found = scaler.lognorm(small_section, panel)
    assert found.dtype == np.float32
    assert np.allclose(found, expected[:, panel.columns(small_section)], rtol=1e-5)


def test_scaled_training_values_have_mean_0_and_deviation_1(small_section):
    panel = GenePanel.top_mean(small_section, 20)
    scaler = ExpressionScaler.fit(small_section, panel)
    scaled = scaler.scale(scaler.lognorm(small_section, panel))
    assert np.abs(scaled.mean(axis=0)).max() < 1e-4
    assert np.abs(scaled.std(axis=0) - 1).max() < 1e-4


@settings(max_examples=30)
@given(st.lists(st.floats(-6, 6), min_size=5, max_size=5))
def test_scaling_and_its_inverse_cancel(small_section, row):
    panel = GenePanel.top_mean(small_section, 5)
    scaler = ExpressionScaler.fit(small_section, panel)
    values = np.array([row], np.float32)
    assert np.allclose(scaler.scale(scaler.unscale(values)), values, atol=1e-4)


def test_counts_come_back(small_section):
    panel = GenePanel.top_mean(small_section, 15)
    scaler = ExpressionScaler.fit(small_section, panel)
    lognorm = scaler.lognorm(small_section, panel)
    counts = small_section.counts[:, panel.columns(small_section)].toarray()
    assert np.allclose(scaler.to_counts(lognorm, small_section.library_size), counts, atol=1e-2)
    typical = scaler.to_counts(lognorm[:1]).sum() / scaler.median_library_size
    assert typical == pytest.approx(counts[0].sum() / small_section.library_size[0], rel=1e-4)


def test_a_gene_that_does_not_vary_stays_finite(small_section):
    panel = GenePanel(("G0", "G1"))
    one = small_section.subset(small_section.barcodes[:1])
    scaler = ExpressionScaler.fit(one, panel)
    assert (scaler.std == 1).all()
    assert np.isfinite(scaler.scale(scaler.lognorm(small_section, panel))).all()


def test_a_scaler_survives_json_exactly(small_section):
    scaler = ExpressionScaler.fit(small_section, GenePanel.top_mean(small_section, 9))
    other = ExpressionScaler.from_dict(scaler.to_dict())
    assert np.array_equal(scaler.mean, other.mean) and np.array_equal(scaler.std, other.std)
    assert scaler.median_library_size == other.median_library_size


@pytest.mark.parametrize(
    "values",
    [
        (1e4, [0.0], [0.0], 10.0),
        (1e4, [np.nan], [1.0], 10.0),
        (1e4, [0.0, 1.0], [1.0], 10.0),
        (0.0, [0.0], [1.0], 10.0),
        (1e4, [0.0], [1.0], 0.0),
    ],
)
def test_what_is_no_scaler_is_refused(values):
    with pytest.raises(InputError, match="expression scaler"):
        ExpressionScaler(*values)


def test_a_spot_without_counts_has_no_expression(small_section):
    import dataclasses

    adata = small_section.adata.copy()
    counts = adata.X.tolil()
    counts[3] = 0
    adata.X = counts.tocsr()
    section = dataclasses.replace(small_section, adata=adata)
    with pytest.raises(InputError, match="no counts at all"):
        ExpressionScaler.fit(section, GenePanel(("G0",)))
