from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from c2lst.evaluation.expression import DEFAULT_METHOD
from c2lst.report.choices import (
    choose_genes,
    first_component,
    morans_i,
    share_with_neighbour,
    spot_pitch,
    spread,
)
from c2lst.report.scores import GeneScore

GRID = np.stack(np.meshgrid(np.arange(8.0), np.arange(8.0)), axis=-1).reshape(-1, 2)


def scores(count: int) -> tuple[GeneScore, ...]:
    ours = [GeneScore(DEFAULT_METHOD, f"g{k}", 0.4, 0.9 - 0.05 * k) for k in range(count)]
    return (*ours, GeneScore("knn", "g0", 0.4, -1.0))


def test_rules_pick_best_median_and_worst() -> None:
    genes = np.array([f"g{k}" for k in range(15)])
    noise = np.random.default_rng(0).normal(size=(64, 15))
    noise[:, 4] = GRID[:, 0]
    chosen = {c.gene: c.reason for c in choose_genes(scores(15), genes, noise, GRID)}
    assert chosen["g0"] == "best predicted"
    assert chosen["g14"] == "worst predicted"
    assert chosen["g7"] == "median"
    assert chosen["g4"] == "strongest spatial pattern"
    assert len(chosen) == 12


@given(count=st.integers(1, 14))
def test_no_gene_twice_and_never_more_than_there_are(count: int) -> None:
    genes = np.array([f"g{k}" for k in range(count)])
    values = np.random.default_rng(count).normal(size=(64, count))
    chosen = [c.gene for c in choose_genes(scores(count), genes, values, GRID)]
    assert len(chosen) == len(set(chosen)) == min(count, 12)


def test_unscored_genes_do_not_rank() -> None:
    rows = (*scores(3), GeneScore(DEFAULT_METHOD, "g3", 0.4, float("nan")))
    genes = np.array(["g0", "g1", "g2", "g3"])
    chosen = choose_genes(rows, genes, np.full((64, 4), np.nan), GRID)
    assert next(c for c in chosen if c.reason == "worst predicted").gene == "g2"


def test_morans_i_knows_gradients_from_noise_and_checks() -> None:
    noise = np.random.default_rng(1).normal(size=len(GRID))
    edge_only = 2.0 * ((GRID.sum(axis=1) % 2) > 0)
    moran = morans_i(np.column_stack([GRID[:, 0], noise, edge_only, np.ones(len(GRID))]), GRID)
    assert moran[0] > 0.7
    assert abs(moran[1]) < 0.2
    assert moran[2] < 0.05
    assert np.isnan(moran[3])


@given(scale=st.floats(0.01, 100), count=st.integers(1, 64))
def test_neighbours_do_not_depend_on_the_unit(scale: float, count: int) -> None:
    role = np.arange(64) < count
    share = share_with_neighbour(GRID, ~role, role)
    np.testing.assert_equal(share, share_with_neighbour(scale * GRID, ~role, role))
    assert spot_pitch(scale * GRID) == pytest.approx(scale)


def test_share_with_neighbour_counts_only_the_near() -> None:
    first = GRID[:, 0] == 0
    assert share_with_neighbour(GRID, GRID[:, 0] == 1, first) == 1.0
    assert share_with_neighbour(GRID, GRID[:, 0] == 4, first) == 0.0
    assert np.isnan(share_with_neighbour(GRID, np.zeros(64, bool), first))


def test_first_component_follows_the_main_axis() -> None:
    rng = np.random.default_rng(2)
    axis = rng.normal(size=40)
    scores_ = first_component(np.outer(axis, [1.0, 2.0, 3.0]) + 0.01 * rng.normal(size=(40, 3)))
    assert np.corrcoef(axis, scores_)[0, 1] > 0.999


@given(size=st.integers(1, 30), count=st.integers(1, 10))
def test_spread_reaches_both_ends(size: int, count: int) -> None:
    picked = spread(np.arange(size), count)
    assert len(picked) == len(set(picked)) == min(size, count)
    assert picked[0] == 0
    if len(picked) > 1:
        assert picked[-1] == size - 1
