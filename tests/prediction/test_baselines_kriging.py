from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from c2lst.prediction.baselines import ordinary_kriging, variogram
from c2lst.prediction.baselines.ordinary_kriging import (
    OrdinaryKriging,
    RecentredKriging,
    SharedKriging,
)
from c2lst.prediction.baselines.spots import Spots
from c2lst.prediction.baselines.variogram import (
    NUGGETS,
    SHAPES,
    Correlation,
    Variograms,
    compact_blocks,
    range_grid,
)


def simulate(
    n: int,
    reach: float,
    nugget: float,
    *,
    genes: int = 40,
    shape: str = "exponential",
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Places on a slide of 4 mm, observed fields, and the fields without their nugget."""
    rng = np.random.default_rng(seed)
    xy = rng.uniform(0, 4000, (n, 2))
    correlation = Correlation(shape, reach)(cdist(xy, xy)) + 1e-9 * np.eye(n)
    smooth = np.linalg.cholesky(correlation) @ rng.normal(size=(n, genes)) * np.sqrt(1 - nugget)
    return xy, 5 + smooth + np.sqrt(nugget) * rng.normal(size=(n, genes)), 5 + smooth


@pytest.mark.parametrize("shape", SHAPES)
def test_correlations_fall_from_one_to_nothing_at_their_range(shape):
    h = np.linspace(0, 3, 50)
    values = SHAPES[shape](h)
    assert values[0] == 1
    assert (np.diff(values) <= 1e-12).all()
    assert SHAPES[shape](np.array(1.0)) == pytest.approx(0.05, abs=0.051)
    xy = np.random.default_rng(0).uniform(0, 2, (40, 2))
    assert np.linalg.eigvalsh(SHAPES[shape](cdist(xy, xy))).min() > -1e-9


@pytest.mark.parametrize(("reach", "nugget"), [(1200.0, 0.2), (600.0, 0.4), (2500.0, 0.6)])
def test_the_parameters_of_a_simulated_field_are_found(reach, nugget):
    xy, y, _ = simulate(280, reach, nugget)
    fitted = Variograms.fit(xy, y)
    assert np.mean(fitted.nugget) == pytest.approx(nugget, abs=0.12)
    assert 0.6 < np.nanmedian(fitted.effective_range) / reach < 1.7


def test_white_noise_is_found_to_be_noise():
    xy, y, _ = simulate(250, 500.0, 1.0)
    assert Variograms.fit(xy, y).nugget.mean() > 0.85


def test_blocks_of_the_likelihood_find_the_same_parameters(monkeypatch):
    xy, y, _ = simulate(280, 600.0, 0.4)
    exact = Variograms.fit(xy, y).nugget.mean()
    monkeypatch.setattr(variogram, "LIKELIHOOD_SPOTS", 80)
    assert Variograms.fit(xy, y).nugget.mean() == pytest.approx(exact, abs=0.08)


def test_weights_are_probabilities():
    xy, y, _ = simulate(60, 600.0, 0.4, genes=7)
    for shapes in (("exponential",), tuple(SHAPES)):
        fitted = Variograms.fit(xy, y, shapes=shapes)
        assert fitted.weights.shape == (len(fitted.correlations), len(NUGGETS), 7)
        assert (fitted.weights >= 0).all()
        np.testing.assert_allclose(fitted.weights.sum(axis=(0, 1)), 1)


def test_a_gene_whose_correlations_few_want_still_has_weights(monkeypatch):
    xy, y, _ = simulate(250, 400.0, 0.05, genes=30)
    y[:, 0] = 5 + xy[:, 0] / 300 + xy[:, 1] / 200
    monkeypatch.setattr(variogram, "LEAST_SHARE", 0.3)
    fitted = Variograms.fit(xy, y)
    assert len(fitted.correlations) < variogram.RANGES
    np.testing.assert_allclose(fitted.weights.sum(axis=(0, 1)), 1)


def test_ranges_follow_the_unit_of_places():
    xy = np.random.default_rng(0).uniform(0, 9, (50, 2))
    np.testing.assert_allclose(range_grid(xy * 1000), 1000 * range_grid(xy))
    assert not len(range_grid(np.ones((4, 2))))


def test_compact_blocks_share_out_all_spots():
    xy = np.random.default_rng(0).uniform(0, 1, (500, 2)) * [1, 8]
    blocks = list(compact_blocks(xy, 70))
    assert sorted(np.concatenate(blocks)) == list(range(500))
    assert max(map(len, blocks)) <= 70
    spreads = [xy[rows].std(axis=0).max() for rows in blocks]
    assert max(spreads) < 0.4 * xy.std(axis=0).max()


def one_variogram(reach: float, nugget: int, genes: int, shape: str = "exponential") -> Variograms:
    weights = np.zeros((1, len(NUGGETS), genes))
    weights[0, nugget] = 1
    return Variograms((Correlation(shape, reach),), weights)


def test_agrees_with_the_textbook_system():
    """Ordinary kriging by its weights and Lagrange multiplier, one place at a time."""
    xy, y, _ = simulate(30, 800.0, 0.3, genes=4)
    query = np.random.default_rng(1).uniform(0, 4000, (6, 2))
    predicted = OrdinaryKriging(xy, y, one_variogram(800.0, 4, 4)).predict(Spots(query))
    nugget = NUGGETS[4]
    system = np.ones((31, 31))
    system[:30, :30] = (1 - nugget) * np.exp(-3 * cdist(xy, xy) / 800) + nugget * np.eye(30)
    system[30, 30] = 0
    for place, value in zip(query, predicted, strict=True):
        right = np.append((1 - nugget) * np.exp(-3 * cdist([place], xy)[0] / 800), 1)
        weights = np.linalg.solve(system, right)[:30]
        assert weights.sum() == pytest.approx(1)
        np.testing.assert_allclose(value, weights @ y)


def test_left_out_values_equal_leaving_out():
    xy, y, _ = simulate(25, 800.0, 0.3, genes=4)
    variograms = Variograms.fit(xy, y, shapes=tuple(SHAPES))
    left_out = OrdinaryKriging(xy, y, variograms).left_out()
    for spot in range(25):
        kept = np.arange(25) != spot
        less = OrdinaryKriging(xy[kept], y[kept], variograms)
        np.testing.assert_allclose(left_out[spot], less.predict(Spots(xy[[spot]]))[0], atol=1e-7)


def test_left_out_values_of_shared_kriging_equal_leaving_out():
    xy, y, _ = simulate(25, 800.0, 0.3, genes=40)
    fitted = SharedKriging.fit(Spots(xy), y, components=5)
    left_out = fitted.left_out()
    standard = (y - fitted.mean) / fitted.spread
    rest = standard - standard @ fitted.axes.T @ fitted.axes
    for spot in (0, 7, 24):
        kept = np.arange(25) != spot
        fields = OrdinaryKriging(xy[kept], fitted.fields.y[kept], fitted.fields.variograms)
        scores = fields.predict(Spots(xy[[spot]]))[0]
        expected = fitted.mean + fitted.spread * (scores @ fitted.axes + rest[kept].mean(0))
        np.testing.assert_allclose(left_out[spot], expected, atol=1e-7)


def test_left_out_values_of_recentred_kriging_equal_leaving_out():
    xy, y, _ = simulate(25, 800.0, 0.3, genes=4)
    fitted = RecentredKriging.fit(Spots(xy), y)
    left_out = fitted.left_out()
    for spot in range(25):
        kept = np.arange(25) != spot
        kriged = OrdinaryKriging(xy[kept], y[kept], fitted.kriging.variograms)
        centre = np.median(fitted.residual[kept], axis=0) / 2
        expected = kriged.predict(Spots(xy[[spot]]))[0] + centre
        np.testing.assert_allclose(left_out[spot], expected, atol=1e-7)


def test_recentring_helps_where_expression_is_skewed():
    rng = np.random.default_rng(2)
    xy, y, _ = simulate(300, 2000.0, 0.5, genes=60)
    symmetric = y.copy()
    skewed = y + rng.exponential(3.0, y.shape)
    gains = []
    for values in (symmetric, skewed):
        errors = [
            np.abs(kind.fit(Spots(xy[:100]), values[:100]).predict(Spots(xy[100:])) - values[100:])
            for kind in (OrdinaryKriging, RecentredKriging)
        ]
        gains.append(1 - errors[1].mean() / errors[0].mean())
    assert abs(gains[0]) < 0.005
    assert gains[1] > 0.005


@pytest.mark.parametrize("kind", [OrdinaryKriging, RecentredKriging, SharedKriging])
def test_kriging_beats_the_mean_on_fields_and_not_on_noise(kind):
    for nugget, low, high in ((0.2, 0.0, 0.75), (1.0, 0.995, 1.06)):
        xy, y, _ = simulate(300, 2000.0, nugget, genes=60)
        predicted = kind.fit(Spots(xy[:200]), y[:200]).predict(Spots(xy[200:]))
        error, of_mean = (np.abs(p - y[200:]).mean() for p in (predicted, y[:200].mean(0)))
        assert low < error / of_mean < high


def test_no_nugget_reproduces_the_training_spots():
    xy, y, _ = simulate(80, 1500.0, 0.0, genes=5)
    kriged = OrdinaryKriging(xy, y, one_variogram(1500.0, 0, 5))
    np.testing.assert_allclose(kriged.predict(Spots(xy)), y, atol=1e-3)
    smoothed = OrdinaryKriging(xy, y, one_variogram(1500.0, 6, 5)).predict(Spots(xy))
    assert (smoothed - y).std() > 0.1


def test_neighbourhoods_predict_about_what_all_spots_do(monkeypatch):
    xy, y, smooth = simulate(700, 800.0, 0.3, genes=8)
    query = Spots(xy[500:])
    fitted = OrdinaryKriging.fit(Spots(xy[:500]), y[:500])
    exact, exact_left_out = fitted.predict(query), fitted.left_out()
    for name, value in (("EXACT_SPOTS", 400), ("NEIGHBOURHOOD", 150), ("BLOCK", 40)):
        monkeypatch.setattr(ordinary_kriging, name, value)
    local = fitted.predict(query)
    assert (local != exact).any()
    assert np.abs(local - exact).mean() < 0.1 * np.abs(smooth[500:] - 5).mean()
    assert np.abs(fitted.left_out() - exact_left_out).mean() < 0.08


def test_shared_kriging_lends_strength_where_genes_share_fields():
    rng = np.random.default_rng(3)
    xy, fields, _ = simulate(200, 1500.0, 0.0, genes=2)
    y = fields @ rng.normal(size=(2, 80)) + 3 * rng.normal(size=(200, 80))
    errors = [
        np.abs(kind.fit(Spots(xy[:100]), y[:100]).predict(Spots(xy[100:])) - y[100:]).mean()
        for kind in (SharedKriging, OrdinaryKriging)
    ]
    assert errors[0] < errors[1]
