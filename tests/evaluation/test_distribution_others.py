"""Fréchet distance, neighbours and paired cosines: known answers, and what must not matter."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from c2lst.errors import InputError
from c2lst.evaluation.distribution import (
    cosines,
    frechet_distance,
    kernel_distance,
    mean_estimate,
    neighbourhood,
    neighbours,
    paired_cosine,
)

SCORES = ("precision", "recall", "density", "coverage")


def normal(n, d=8, shift=0.0, scale=1.0, seed=0):
    return shift + scale * np.random.default_rng(seed).standard_normal((n, d))


def whitened(features):
    """Exactly mean 0 and covariance 1."""
    centred = features - features.mean(axis=0)
    values, vectors = np.linalg.eigh(np.cov(centred.T))
    return centred @ (vectors / np.sqrt(values)) @ vectors.T


def rotation(d, seed):
    return np.linalg.qr(np.random.default_rng(seed).standard_normal((d, d)))[0]


def scores(real, generated):
    found = neighbourhood(real, generated)
    return [getattr(found, name).mean() for name in SCORES]


def test_frechet_of_two_normal_laws_is_exact():
    """N(0, I) and N(m, A²): |m|² + tr(I + A² − 2A); A does not commute with the axes."""
    x = whitened(normal(400, 5))
    turn, scales = rotation(5, 1), np.array([0.5, 1.0, 1.5, 2.0, 3.0])
    a, m = turn @ np.diag(scales) @ turn.T, np.array([1.0, -2.0, 0.0, 0.5, 0.0])
    wanted = (m**2).sum() + ((1 - scales) ** 2).sum()
    found = frechet_distance(x, x @ a + m)
    assert found.value == pytest.approx(wanted, rel=1e-4) and found.reliable


def test_frechet_of_two_covariances_that_share_no_axes_is_exact():
    x = whitened(normal(400, 3))
    turns, scales = (rotation(3, 1), rotation(3, 2)), ([1, 2, 3], [0.5, 1, 4])
    p, q = (t @ np.diag(s) @ t.T for t, s in zip(turns, scales, strict=True))
    shared = np.sqrt(np.linalg.eigvals(p @ p @ q @ q).real).sum()
    wanted = np.trace(p @ p) + np.trace(q @ q) - 2 * shared
    assert frechet_distance(x @ p, x @ q).value == pytest.approx(wanted, rel=1e-4)


def test_a_set_is_at_no_frechet_distance_from_itself():
    assert frechet_distance(normal(100), normal(100)).value == pytest.approx(0, abs=1e-3)


def test_too_few_images_get_no_frechet_distance_but_a_reason():
    few = frechet_distance(normal(39), normal(400, seed=1))
    assert np.isnan(few.value) and "39 images cannot" in few.reason
    insisted = frechet_distance(normal(39), normal(400, seed=1), anyway=True)
    assert insisted.value > 0 and not insisted.reliable
    enough = frechet_distance(normal(40), normal(400, seed=1))
    assert np.isfinite(enough.value) and not enough.reason


def test_identical_sets_have_full_precision_and_a_kernel_distance_of_zero():
    x = normal(60)
    found = neighbourhood(x, x)
    for name in ("precision", "recall", "coverage"):
        assert getattr(found, name).mean() == 1
    distance = kernel_distance(normal(200), normal(200, seed=1))
    assert distance.low < 0 < distance.high


def test_recall_is_the_precision_of_the_sets_exchanged():
    real, generated = normal(80), normal(50, shift=0.5, scale=0.7, seed=1)
    forth, back = neighbourhood(real, generated), neighbourhood(generated, real)
    np.testing.assert_array_equal(forth.recall, back.precision)
    np.testing.assert_array_equal(forth.precision, back.recall)
    assert 0 < forth.recall.mean() < forth.precision.mean() < 1


def test_disjoint_sets_share_nothing():
    assert scores(normal(50), normal(50, shift=100, seed=1)) == [0, 0, 0, 0]


def test_it_is_the_definition_on_a_line():
    """Seven real images at 0 … 6: the third neighbour of 3 is 2 away, the fifth 3."""
    real = np.arange(7.0)[:, None]
    generated = np.array([[-4.0], [3.0], [3.1], [3.2], [3.3], [20.0]])
    found = neighbourhood(real, generated)
    assert found.precision.tolist() == [0, 1, 1, 1, 1, 0]
    fifth = np.array([5, 4, 3, 3, 3, 4, 5])
    counts = (np.abs(generated - real.T) <= fifth).sum(axis=1)
    np.testing.assert_allclose(found.density, counts / 5)
    assert found.coverage.mean() == 1


def test_collapse_keeps_precision_and_loses_variety():
    real = normal(200, 4)
    same = real[:1] + normal(200, 4, scale=0.01, seed=1)
    precision, recall, density, coverage = scores(real, same)
    assert precision == 1 and density > 1
    assert recall < 0.1 and coverage < 0.2
    other = scores(real, normal(200, 4, seed=2))
    assert min(other[1], other[3]) > 0.8 and 0.7 < other[2] < 1.3


@given(seed=st.integers(0, 500))
def test_order_and_rotation_do_not_matter(seed):
    rng = np.random.default_rng(seed)
    x, y = normal(40, 6, seed=seed), normal(30, 6, shift=0.5, seed=seed + 1000)
    turn = rotation(6, seed)
    for change in (lambda z: rng.permutation(z), lambda z: z @ turn):
        # A distance at the very rim of a ball may fall on either side.
        np.testing.assert_allclose(scores(change(x), change(y)), scores(x, y), atol=0.06)
        assert frechet_distance(change(x), change(y)).value == pytest.approx(
            frechet_distance(x, y).value, rel=1e-3
        )
        assert kernel_distance(change(x), change(y), bootstraps=0).value == pytest.approx(
            kernel_distance(x, y, bootstraps=0).value, abs=1e-4
        )


def test_parts_and_blocks_give_the_same_answer(monkeypatch):
    x, y = normal(900, 4), normal(900, 4, shift=0.3, seed=1)
    whole = neighbourhood(x, y)
    monkeypatch.setattr(neighbours, "_ROWS", 7)
    blocks = neighbourhood(x, y)
    monkeypatch.setattr(neighbours, "PART", 450)
    parts = neighbourhood(x, y[:700])
    for name in SCORES:
        np.testing.assert_array_equal(getattr(blocks, name), getattr(whole, name))
        values = getattr(parts, name)
        assert np.nanmean(values) == pytest.approx(getattr(whole, name).mean(), abs=0.08)
    assert not np.isnan(parts.precision).any()


def test_a_handful_of_images_has_no_neighbours():
    with pytest.raises(InputError, match="at least 6"):
        neighbourhood(normal(5), normal(50))


def test_cosines_are_those_of_the_vectors():
    first = np.array([[1.0, 0], [1, 1], [0, 0]])
    second = np.array([[2.0, 0], [-1, 1], [1, 0]])
    np.testing.assert_allclose(cosines(first, second), [1, 0, 0], atol=1e-12)


def test_patches_drawn_for_their_spot_stand_out_from_shuffled_ones():
    spots = np.repeat(np.arange(50), 3)
    real = normal(50, 16)
    own = real[spots] + normal(150, 16, seed=1)
    other = real[(spots + 7) % 50] + normal(150, 16, seed=2)
    found, shuffled = (paired_cosine(z, real[spots], spots) for z in (own, other))
    assert found.mean.low > shuffled.mean.high
    assert abs(shuffled.mean.value) < 0.1
    assert str(found).startswith(f"{found.mean.value:.2f} ± ")


def test_images_of_one_spot_widen_the_interval():
    spots = np.repeat(np.arange(20), 10)
    values = normal(20, 1)[spots, 0]
    blind, aware = mean_estimate(values), mean_estimate(values, spots)
    assert blind.value == aware.value
    assert aware.high - aware.low > 2 * (blind.high - blind.low)
    assert np.isnan(mean_estimate(np.full(3, np.nan)).value)
