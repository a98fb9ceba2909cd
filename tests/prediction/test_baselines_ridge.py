from __future__ import annotations

import numpy as np
import pytest

from c2lst.errors import InputError
from c2lst.prediction.baselines.ridge import COMPONENTS, Ridge, _designs, _Rotated
from c2lst.prediction.baselines.spots import Spots


def draw(n: int, seed: int = 0, *, image: float = 1.0, place: float = 0.0):
    """Spots whose expression follows five features of forty, and a trend over the slide."""
    rng = np.random.default_rng(seed)
    xy, features = rng.uniform(0, 3000, (n, 2)), rng.normal(size=(n, 40))
    features[:, :5] *= 4
    loading = np.random.default_rng(99).normal(size=(5, 12))
    trend = np.sin(xy[:, :1] / 900) + xy[:, 1:] / 1500
    y = 3 + image * features[:, :5] @ loading / 4 + place * trend + rng.normal(size=(n, 12))
    return Spots(xy, features), y


def test_learns_what_features_tell_and_nothing_from_noise():
    (spots, y), (query, truth) = draw(120), draw(200, seed=1)
    error = np.abs(Ridge.fit(spots, y).predict(query) - truth).mean()
    assert error < 0.65 * np.abs(y.mean(0) - truth).mean()
    (spots, y), (query, truth) = draw(120, image=0), draw(200, seed=1, image=0)
    error = np.abs(Ridge.fit(spots, y).predict(query) - truth).mean()
    assert error < 1.02 * np.abs(y.mean(0) - truth).mean()


def test_coordinates_help_where_there_is_a_trend_and_do_not_hurt_where_there_is_none():
    for place, least, most in ((2.0, 0.0, 0.95), (0.0, 0.9, 1.03)):
        (spots, y), (query, truth) = draw(120, place=place), draw(200, seed=1, place=place)
        errors = [
            np.abs(Ridge.fit(spots, y, coordinates=c).predict(query) - truth).mean()
            for c in (True, False)
        ]
        assert least < errors[0] / errors[1] < most


def test_without_coordinates_places_are_not_looked_at():
    spots, y = draw(40)
    moved = Spots(spots.xy[::-1] * 2, spots.features)
    np.testing.assert_array_equal(
        Ridge.fit(moved, y).predict(moved), Ridge.fit(spots, y).predict(spots)
    )


@pytest.mark.parametrize("coordinates", [False, True])
def test_left_out_values_equal_leaving_out(coordinates):
    """Columns as they are, regression with an intercept fitted to the others."""
    from sklearn.linear_model import Ridge as Peer

    spots, y = draw(30)
    fitted = Ridge.fit(spots, y, coordinates=coordinates)
    design = next(iter(_designs(spots, coordinates=coordinates)))
    columns = design(spots)
    rotated, penalty = _Rotated.of(columns, y), 0.3
    alpha = penalty * (rotated.values**2).mean()
    residual = rotated.left_out_residual(penalty)
    for spot in (0, 11, 29):
        kept = np.arange(30) != spot
        peer = Peer(alpha).fit(columns[kept], y[kept])
        np.testing.assert_allclose(y[spot] - residual[spot], peer.predict(columns[[spot]])[0])
    peer = Peer(alpha).fit(columns, y)
    np.testing.assert_allclose(rotated.slopes(penalty), peer.coef_.T)
    assert fitted.left_out().shape == y.shape


def test_units_that_hardly_fire_make_no_monsters():
    """A unit that is all but silent over the training spots, and loud elsewhere."""
    (spots, y), (query, _) = draw(20), draw(50, seed=1)
    silent = np.random.default_rng(0).normal(size=(20, 1)) * 1e-6
    loud = np.full((50, 1), 2.0)
    wider = Spots(spots.xy, np.hstack([spots.features, silent]))
    predicted = Ridge.fit(wider, y).predict(Spots(query.xy, np.hstack([query.features, loud])))
    assert np.abs(predicted - y.mean(0)).max() < 5 * np.abs(y - y.mean(0)).max()


def test_scale_of_all_features_changes_nothing():
    spots, y = draw(40)
    scaled = Spots(spots.xy, spots.features * 1e4 - 7)
    expected = Ridge.fit(spots, y).predict(spots)
    np.testing.assert_allclose(Ridge.fit(scaled, y).predict(scaled), expected, atol=1e-6)


def test_few_spots_offer_few_components():
    for n in (1, 2, 9, 40):
        spots, _ = draw(n)
        numbers = [design.components for design in _designs(spots, coordinates=False)]
        assert numbers == sorted(set(numbers))
        assert max(numbers) <= max(1, min(n - 1, COMPONENTS[-1]))


def test_features_that_are_alike_or_missing_or_of_another_width():
    spots, y = draw(9)
    alike = Spots(spots.xy, np.ones((9, 4)))
    np.testing.assert_allclose(Ridge.fit(alike, y).predict(alike), np.tile(y.mean(0), (9, 1)))
    with pytest.raises(InputError, match="are needed"):
        Ridge.fit(Spots(spots.xy), y)
    with pytest.raises(InputError, match="image features"):
        Ridge.fit(spots, y).predict(alike)
