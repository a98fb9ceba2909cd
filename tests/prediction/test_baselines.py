from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from c2lst.errors import InputError
from c2lst.prediction.baselines import REGISTRY, baselines_for, leave_one_out

knn, kriging, train_mean, train_median = (
    REGISTRY[name] for name in ("knn", "kriging", "train_mean", "train_median")
)

INTERPOLATORS = ("knn", "inverse_distance", "kriging", "kriging_shared")


def field(n: int, genes: int = 3, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    xy = rng.uniform(0, 2000, (n, 2))
    phase = rng.uniform(0, 6, genes)
    return xy, np.sin(xy[:, :1] / 400 + phase) + np.cos(xy[:, 1:] / 500 + phase)


def features_of(n: int, seed: int = 7) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, 12))


def predict(name: str, xy: np.ndarray, y: np.ndarray, query: np.ndarray, **options) -> np.ndarray:
    """With features that belong to the row of a spot, where the baseline needs them."""
    features = features_of(len(xy) + len(query))
    return REGISTRY[name](xy, y, query, features[: len(xy)], features[len(xy) :], **options)


@settings(deadline=None)
@given(st.integers(2, 25), st.integers(0, 1000), st.floats(-5, 5))
def test_no_constant_errs_less_than_the_median_nor_squares_less_than_the_mean(n, seed, other):
    y = np.random.default_rng(seed).exponential(1, (n, 2))
    xy = np.random.default_rng(seed).uniform(0, 9, (n, 2))
    median, mean = train_median(xy, y, xy), train_mean(xy, y, xy)
    assert (np.abs(y - median).sum(0) <= np.abs(y - other).sum(0) + 1e-9).all()
    assert (((y - mean) ** 2).sum(0) <= ((y - other) ** 2).sum(0) + 1e-9).all()


@pytest.mark.parametrize("name", REGISTRY)
@pytest.mark.parametrize("n", [1, 2, 3, 9])
def test_few_spots_and_a_constant_gene_give_finite_values(name, n):
    xy, y = field(n)
    y[:, 1] = 0.25
    predicted = predict(name, xy, y, xy[:1] + 30)
    assert predicted.shape == (1, 3)
    assert np.isfinite(predicted).all()
    assert predicted[0, 1] == pytest.approx(0.25)


@pytest.mark.parametrize("name", REGISTRY)
def test_few_spots_can_be_left_out_in_turn(name):
    for n in (2, 3, 9):
        xy, y = field(n)
        y[:, 1] = 0.25
        left_out = leave_one_out(name, xy, y, features_of(n))
        assert left_out.shape == y.shape
        assert np.isfinite(left_out).all()
        np.testing.assert_allclose(left_out[:, 1], 0.25)
    with pytest.raises(InputError, match="too few spots"):
        leave_one_out(name, xy[:1], y[:1], features_of(1))


@pytest.mark.parametrize("name", REGISTRY)
def test_constant_shifts_and_scales_pass_through(name):
    xy, y = field(30)
    query = field(5, seed=3)[0]
    expected = 3 * predict(name, xy, y, query) + 7
    np.testing.assert_allclose(predict(name, xy, 3 * y + 7, query), expected, atol=1e-6)


@settings(deadline=None, max_examples=12)
@given(st.floats(0, 6.3), st.floats(-1e5, 1e5), st.sampled_from([0.01, 1.0, 300.0]))
@pytest.mark.parametrize("name", REGISTRY)
def test_turning_moving_and_another_unit_of_place_change_nothing(name, angle, shift, unit):
    xy, y = field(30)
    query = field(6, seed=3)[0]
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    expected = predict(name, xy, y, query)
    moved = predict(name, (xy @ turn + shift) * unit, y, (query @ turn + shift) * unit)
    np.testing.assert_allclose(moved, expected, atol=1e-5)


@pytest.mark.parametrize("name", REGISTRY)
def test_a_spot_is_predicted_alike_alone_and_among_others(name):
    xy, y = field(30)
    query, features = field(6, seed=3)[0], features_of(36)
    together = REGISTRY[name](xy, y, query, features[:30], features[30:])
    alone = REGISTRY[name](xy, y, query[2:3], features[:30], features[32:33])
    np.testing.assert_allclose(alone[0], together[2], atol=1e-10)


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 30), st.integers(0, 999), st.booleans())
@pytest.mark.parametrize("name", ["knn", "inverse_distance"])
def test_averages_of_neighbours_stay_within_what_was_seen(name, n, seed, lattice):
    rng = np.random.default_rng(seed)
    xy = rng.integers(0, 4, (n, 2)) * 100.0 if lattice else rng.uniform(0, 500, (n, 2))
    y = rng.exponential(1, (n, 4))
    predicted = predict(name, xy, y, rng.uniform(0, 500, (8, 2)))
    assert (predicted >= y.min(0) - 1e-9).all()
    assert (predicted <= y.max(0) + 1e-9).all()


def test_a_spot_keeps_its_value_where_interpolation_is_exact():
    xy, y = field(120)
    for name, tolerance in (("inverse_distance", 0), ("kriging", 1e-2), ("kriging_shared", 1e-2)):
        np.testing.assert_allclose(predict(name, xy, y, xy), y, atol=tolerance)
    np.testing.assert_array_equal(knn(xy, y, xy, neighbours=1), y)


def test_spots_equally_far_share_the_places_of_neighbours():
    xy = np.array([[1.0, 0], [-1, 0], [0, 1], [0, -1], [5, 5]])
    y = np.arange(5.0)[:, None]
    for k in (1, 2, 3, 4):
        assert knn(xy, y, np.zeros((1, 2)), neighbours=k)[0, 0] == pytest.approx(1.5)


def test_spots_of_one_centre_count_alike():
    xy = np.array([[0.0, 0], [0, 0], [9, 9], [9, 9], [4, 5]])
    y = np.array([[1.0], [3], [5], [7], [9]])
    for name, options in (("knn", {"neighbours": 2}), ("inverse_distance", {})):
        predicted = predict(name, xy, y, xy[:1], **options)
        assert predicted[0, 0] == pytest.approx(2)
    left_out = leave_one_out("knn", xy, y, neighbours=1)
    np.testing.assert_allclose(left_out[:4, 0], [3, 1, 7, 5])
    for name in INTERPOLATORS:
        assert np.isfinite(predict(name, np.zeros((5, 2)), y, xy)).all()


def test_knn_chooses_its_neighbours_by_leaving_one_out():
    xy, waves = field(150)
    noise = np.random.default_rng(0).normal(size=waves.shape)
    query = field(40, seed=9)[0]
    predicted = knn(xy[:100], waves[:100], xy[100:])
    too_many = knn(xy[:100], waves[:100], xy[100:], neighbours=32)
    assert np.abs(predicted - waves[100:]).mean() < 0.6 * np.abs(too_many - waves[100:]).mean()
    assert knn(xy, noise, query).std() < 0.5 * knn(xy, noise, query, neighbours=1).std()


@pytest.mark.parametrize("name", ["train_mean", "train_median"])
@pytest.mark.parametrize("n", [2, 3, 8, 9])
def test_leaving_out_constants_equals_doing_it(name, n):
    rng = np.random.default_rng(n)
    xy, y = rng.uniform(0, 9, (n, 2)), rng.integers(0, 4, (n, 5)).astype(float)
    left_out = leave_one_out(name, xy, y)
    for spot in range(n):
        kept = np.arange(n) != spot
        expected = REGISTRY[name](xy[kept], y[kept], xy[spot : spot + 1])[0]
        np.testing.assert_allclose(left_out[spot], expected)


@pytest.mark.parametrize(
    ("name", "options"), [("knn", {"neighbours": 3}), ("inverse_distance", {"power": 2.0})]
)
def test_leaving_out_neighbours_equals_doing_it(name, options):
    rng = np.random.default_rng(0)
    xy, y = rng.integers(0, 5, (30, 2)) * 100.0, rng.normal(size=(30, 4))
    left_out = leave_one_out(name, xy, y, **options)
    for spot in range(30):
        kept = np.arange(30) != spot
        expected = REGISTRY[name](xy[kept], y[kept], xy[spot : spot + 1], **options)[0]
        np.testing.assert_allclose(left_out[spot], expected)


@pytest.mark.parametrize("name", REGISTRY)
def test_left_out_predictions_do_not_know_their_spot(name):
    """With everything chosen fixed or nearly so, another value moves its own prediction little."""
    xy, y = field(60)
    y += np.random.default_rng(0).normal(size=y.shape)
    changed = y.copy()
    changed[7] += 0.5
    before = leave_one_out(name, xy, y, features_of(60))
    after = leave_one_out(name, xy, changed, features_of(60))
    assert np.abs(after[7] - before[7]).max() < 0.1


def test_the_registry_says_what_each_needs():
    assert set(baselines_for(features=True)) == set(REGISTRY)
    without = set(baselines_for(features=False))
    assert set(REGISTRY) - without == {"ridge", "ridge_coordinates"}
    xy, y = field(9)
    for name, baseline in REGISTRY.items():
        assert baseline.name == name
        assert baseline.title
        if "features" in baseline.needs:
            with pytest.raises(InputError, match="needs image features"):
                baseline(xy, y, xy)
        if "coordinates" not in baseline.needs:
            moved = predict(name, xy[::-1] + 5, y, xy)
            np.testing.assert_array_equal(moved, predict(name, xy, y, xy))
    with pytest.raises(InputError, match="unknown name"):
        leave_one_out("oracle", xy, y)


def test_what_is_not_needed_is_not_looked_at():
    xy, y = field(9)
    wrong = np.full((9, 2), np.nan)
    np.testing.assert_array_equal(kriging(xy, y, xy, wrong, wrong), kriging(xy, y, xy))


def test_time_is_logged(caplog):
    with caplog.at_level("DEBUG", logger="c2lst"):
        train_mean(*field(4), np.zeros((2, 2)))
    assert "train_mean: 2 spots from 4, 3 genes" in caplog.text


def test_wrong_shapes_and_nan_are_refused():
    xy, y = field(5)
    with pytest.raises(InputError, match="coordinates"):
        kriging(xy[:4], y, xy)
    with pytest.raises(InputError, match="coordinates"):
        kriging(xy, y, xy[:, :1])
    with pytest.raises(InputError, match="not finite"):
        knn(xy, np.where(y == y[0, 0], np.nan, y), xy)
    with pytest.raises(InputError, match="training expression"):
        train_mean(xy[:0], y[:0], xy)
    with pytest.raises(InputError, match="image features"):
        REGISTRY["ridge"](xy, y, xy, features_of(4), features_of(5))


@pytest.mark.parametrize("name", REGISTRY)
@pytest.mark.parametrize("constant", [0.0, 0.1])  # the mean of the latter is not exactly it
def test_constant_genes_change_nothing_of_the_others(name, constant):
    xy, y = field(60)
    y += 0.7 * np.random.default_rng(1).normal(size=y.shape)
    more = np.hstack([y, np.full((60, 100), constant)])
    query = field(6, seed=3)[0]
    found = predict(name, xy, more, query)
    np.testing.assert_allclose(found[:, :3], predict(name, xy, y, query), atol=1e-9)
    np.testing.assert_allclose(found[:, 3:], constant, atol=1e-9)


@pytest.mark.parametrize(
    ("name", "option"),
    [
        *(("knn", {"neighbours": k}) for k in (0, -3, 1.5)),
        *(("inverse_distance", {"power": p}) for p in (-1.0, np.nan)),
    ],
)
def test_options_that_mean_nothing_are_refused(name, option):
    xy, y = field(9)
    with pytest.raises(InputError, match=str(next(iter(option.values())))):
        REGISTRY[name](xy, y, xy, **option)
