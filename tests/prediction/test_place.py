from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from c2lst.errors import InputError
from c2lst.prediction.components import Components
from c2lst.prediction.kernels import ViewKernel
from c2lst.prediction.place import AdditiveGaussianProcess
from c2lst.prediction.solving import Fold, gram_of, relative_variance, solve
from c2lst.prediction.spot_noise import spot_noise, weighted_median


def draw(n: int, genes: int = 20, seed: int = 0, noise: float = 0.3):
    """Expression with a part seen in features, a part seen in place, and noise."""
    rng = np.random.default_rng(seed)
    image, xy = rng.normal(size=(n, 3)), rng.uniform(0, 2000, (n, 2))
    signal = np.column_stack([np.sin(image[:, 0]), np.sin(xy[:, 0] / 300)])
    y = 2 + signal @ rng.normal(size=(2, genes)) + noise * rng.normal(size=(n, genes))
    return y, {"image": image, "place": xy}


def rows(views, chosen):
    return {name: x[chosen] for name, x in views.items()}


def test_predicts_better_than_the_mean_and_uses_both_views():
    y, views = draw(260)
    train, test = slice(0, 160), slice(160, 260)
    process = AdditiveGaussianProcess.fit(y[train], rows(views, train))
    mean, sd = process.predict(rows(views, test))
    assert mean.shape == sd.shape == (100, 20)
    assert np.abs(mean - y[test]).mean() < 0.6 * np.abs(y[train].mean(0) - y[test]).mean()
    weights = process.view_weights
    assert weights["image"] > 0.15
    assert weights["place"] > 0.15
    assert sum(weights.values()) == pytest.approx(1)


def test_agrees_with_scikit_learn_on_one_component():
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

    y, views = draw(40, genes=1)
    process = AdditiveGaussianProcess.fit(
        y, {"image": views["image"]}, kernels={"image": ViewKernel("rbf", (0.7,))}
    )
    a, w, rho = process.amplitude[0], process.weights[0, 0], process.noise[0]
    kernel = ConstantKernel(a * w) * RBF(process.kernels[0].scale) + WhiteKernel(a * rho)
    reference = GaussianProcessRegressor(kernel, optimizer=None, alpha=0.0)
    standard = (y[:, 0] - y.mean()) / y.std()
    reference.fit(views["image"], standard)
    query = np.random.default_rng(9).normal(size=(15, 3))
    expected, expected_sd = reference.predict(query, return_std=True)
    mean, sd = process.predict({"image": query})
    np.testing.assert_allclose((mean[:, 0] - process.centre) / y.std(), expected, atol=1e-8)
    np.testing.assert_allclose(sd[:, 0] / y.std(), expected_sd, atol=1e-8)


@pytest.mark.parametrize("uneven", [False, True])
def test_leave_one_out_formula_equals_leaving_out(uneven):
    y, views = draw(25)
    library_size = np.random.default_rng(1).uniform(500, 9000, 25) if uneven else None
    process = AdditiveGaussianProcess.fit(y, views, library_size=library_size)

    def solved(kept):
        return solve(
            process.kernels,
            rows(process.train, kept),
            process.scores[kept],
            process.weights,
            process.noise,
            process.spot_noise[kept],
        )

    everything = solved(np.arange(25))
    for out in (0, 11):
        kept = np.arange(25) != out
        less = solved(kept)
        for j in (0, 3):
            across = sum(
                w * k(process.train[k.view][[out]], process.train[k.view][kept])
                for w, k in zip(process.weights[j], process.kernels, strict=True)
            )
            assert (across @ less.dual[:, j])[0] == pytest.approx(everything.left_out[out, j])


@pytest.mark.parametrize("uneven", [False, True])
def test_folds_left_out_by_formula_equal_leaving_them_out(uneven):
    y, views = draw(30)
    library_size = np.random.default_rng(1).uniform(500, 9000, 30) if uneven else None
    process = AdditiveGaussianProcess.fit(y, views, library_size=library_size)
    outs = [np.arange(30) % 4 == fold for fold in range(4)]

    def solved(kept, folds=()):
        given = (process.kernels, rows(process.train, kept), process.scores[kept])
        return solve(*given, process.weights, process.noise, process.spot_noise[kept], folds)

    whole = solved(np.arange(30), [Fold(out, process.scores[~out]) for out in outs])
    for out, found in zip(outs, whole.folds, strict=True):
        less = solved(~out)
        for j in (0, 3):
            across = [
                kernel(process.train[kernel.view][out], process.train[kernel.view][~out])
                for kernel in process.kernels
            ]
            own = [kernel.diagonal(process.train[kernel.view][out]) for kernel in process.kernels]
            mean = sum(w * k for w, k in zip(process.weights[j], across, strict=True))
            np.testing.assert_allclose(mean @ less.dual[:, j], found.scores[:, j])
            variance = relative_variance(
                gram_of(process.kernels, rows(process.train, ~out)), across, own,
                process.weights[j], process.noise[j], process.spot_noise[~out],
            )  # fmt: skip
            np.testing.assert_allclose(whole.amplitude[j] * variance, found.variance[:, j])


def test_a_fold_that_is_left_out_knows_nothing_of_its_expression():
    y, views = draw(40)
    out = np.arange(40) < 8
    changed = np.where(out[:, None], y + 3.0, y)
    process = AdditiveGaussianProcess.fit(y, views)

    def left_out(values):
        left = Components.of(values[~out], np.ones(32), 24)
        scores = Components.of(values, np.ones(40), 24).scores
        given = (process.kernels, views, scores, process.weights, process.noise)
        found = solve(*given, np.ones(40), [Fold(out, left.scores)]).folds[0]
        return left.expression(found.scores)

    np.testing.assert_array_equal(left_out(y), left_out(changed))


def test_folds_are_as_far_off_as_refits_and_farther_than_spots_alone():
    y, views = draw(120, seed=2)
    folds = np.arange(120) % 5
    refitted = np.empty_like(y)
    for fold in range(5):
        out = folds == fold
        less = AdditiveGaussianProcess.fit(y[~out], rows(views, ~out))
        refitted[out] = less.predict(rows(views, out))[0]
    folded = AdditiveGaussianProcess.fit(y, views, folds=folds).left_out
    alone = AdditiveGaussianProcess.fit(y, views).left_out
    errors = [np.abs(x - y).mean() for x in (refitted, folded, alone)]
    assert errors[1] == pytest.approx(errors[0], rel=0.01)
    assert errors[2] < errors[1]


@pytest.mark.parametrize("uneven", [False, True])
def test_folds_left_out_without_signal_are_the_centre_of_the_others(uneven):
    """Of which the half that is a median does not move as a mean does."""
    rng = np.random.default_rng(3)
    y, size = rng.exponential(size=(30, 4)), rng.uniform(100, 9000, 30) if uneven else None
    views, kernels = {"image": np.zeros((30, 1))}, {"image": ViewKernel("linear")}
    folds, share = np.arange(30) // 10, 1 / spot_noise(size, 30)
    process = AdditiveGaussianProcess.fit(y, views, library_size=size, kernels=kernels, folds=folds)
    for fold in range(3):
        others, counts = y[folds != fold], share[folds != fold]
        mean = np.average(others, axis=0, weights=counts)
        expected = (mean + weighted_median(others, counts)) / 2
        np.testing.assert_allclose(process.left_out[folds == fold], np.tile(expected, (10, 1)))


def test_left_out_without_signal_is_the_mean_of_the_others():
    half = np.random.default_rng(3).normal(size=(15, 4))
    y = np.concatenate([half, -half])  # mean and median agree
    process = AdditiveGaussianProcess.fit(
        y, {"image": np.zeros((30, 1))}, kernels={"image": ViewKernel("linear")}
    )
    np.testing.assert_allclose(process.left_out, -y / 29, atol=1e-6)


def test_a_view_of_noise_gets_little_weight_and_does_not_harm():
    y, views = draw(200, seed=4)
    train, test = slice(0, 140), slice(140, 200)
    noise = {"noise": np.random.default_rng(8).normal(size=(200, 5))}
    alone = AdditiveGaussianProcess.fit(y[train], rows(views, train))
    both = AdditiveGaussianProcess.fit(y[train], rows(views | noise, train))
    weights = np.array([[both.weights[j, both._of("noise")].sum()] for j in range(2)])
    assert weights.max() < 0.1
    error = [
        np.abs(process.mean_at(rows(v, test)) - y[test]).mean()
        for process, v in ((alone, views), (both, views | noise))
    ]
    assert error[1] < 1.03 * error[0]


def test_contributions_add_up_and_a_missing_view_only_adds_uncertainty():
    y, views = draw(80)
    process = AdditiveGaussianProcess.fit(y, views)
    query = rows(draw(10, seed=7)[1], slice(None))
    parts = process.contributions(query)
    mean, sd = process.predict(query)
    np.testing.assert_allclose(process.centre + parts["image"] + parts["place"], mean)
    without, sd_without = process.predict({"image": query["image"]})
    np.testing.assert_allclose(without, process.centre + parts["image"])
    assert (sd_without >= sd - 1e-9).all()
    assert sd_without.mean() > sd.mean()


def test_far_from_every_spot_it_falls_back_to_the_centre():
    y, views = draw(60)
    process = AdditiveGaussianProcess.fit(y, {"place": views["place"]})
    mean, sd = process.predict({"place": np.full((1, 2), 1e9)})
    np.testing.assert_allclose(mean[0], process.centre)
    assert (sd[0] >= process.left_out_sd.min(axis=0) - 1e-9).all()


@pytest.mark.parametrize("components", [1, 24])
def test_what_no_component_holds_is_uncertain_all_the_same(components):
    y, views = np.random.default_rng(0).normal(size=(200, 8)), draw(200)[1]
    process = AdditiveGaussianProcess.fit(y, {"place": views["place"]}, components=components)
    _, sd = process.predict({"place": np.full((1, 2), 1e9)})
    np.testing.assert_allclose(sd[0], y.std(axis=0), rtol=0.05)


@pytest.mark.parametrize(("seen", "blind"), [("image", "place"), ("place", "image")])
def test_only_the_view_that_matters_is_used(seen, blind):
    rng = np.random.default_rng(5)
    views = {"image": rng.normal(size=(260, 2)), "place": rng.uniform(0, 2000, (260, 2))}
    field = np.sin(views[seen][:, 0] / (1.0 if seen == "image" else 300))
    truth = np.outer(field, rng.normal(size=15))
    y = truth + 0.4 * rng.normal(size=truth.shape)
    train, test = slice(0, 200), slice(200, 260)
    process = AdditiveGaussianProcess.fit(y[train], rows(views, train))
    parts = process.contributions(rows(views, test))
    assert np.corrcoef(parts[seen].ravel(), truth[test].ravel())[0, 1] > 0.9
    assert parts[blind].std() < 0.2 * parts[seen].std()


@pytest.mark.parametrize("n", [9, 90])
def test_where_nothing_matters_nothing_is_found(n):
    gains = []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        y = np.log1p(rng.poisson(1.0, (n + 200, 60)))
        views = {"image": rng.normal(size=(len(y), 20)), "place": rng.uniform(0, 2e3, (len(y), 2))}
        process = AdditiveGaussianProcess.fit(y[:n], rows(views, slice(0, n)))
        parts = sum(process.contributions(rows(views, slice(n, None))).values())
        constant = np.abs(process.centre - y[n:]).mean()
        gains.append(1 - np.abs(process.centre + parts - y[n:]).mean() / constant)
    assert abs(np.mean(gains)) < 0.01


def test_order_of_genes_does_not_matter():
    y, views = draw(40)
    order = np.random.default_rng(2).permutation(y.shape[1])
    size = np.random.default_rng(3).uniform(500, 9000, 40)
    query = rows(draw(10, seed=1)[1], slice(None))
    mean, sd = AdditiveGaussianProcess.fit(y, views, library_size=size).predict(query)
    permuted = AdditiveGaussianProcess.fit(y[:, order], views, library_size=size).predict(query)
    np.testing.assert_allclose(permuted[0], mean[:, order], atol=1e-8)
    np.testing.assert_allclose(permuted[1], sd[:, order], atol=1e-8)


def counted(seed: int, n: int = 200, genes: int = 60):
    """Log-normalised counts of spots whose depths differ by far; a part is seen in the image."""
    rng = np.random.default_rng(seed)
    image, xy = rng.normal(size=(n, 2)), rng.uniform(0, 2000, (n, 2))
    share = np.exp(rng.normal(size=genes) + 0.5 * np.outer(image[:, 0], rng.normal(size=genes)))
    share /= share.sum(axis=1, keepdims=True)
    size = 400 * np.exp(rng.normal(size=n))
    counts = rng.poisson(share * size[:, None])
    size = np.maximum(counts.sum(axis=1), 1)
    return np.log1p(100 * counts / size[:, None]), {"image": image, "place": xy}, size


@pytest.mark.parametrize("n", [9, 60])
def test_deep_spots_count_more(n):
    gains = []
    for seed in range(5):
        y, views, size = counted(seed)
        errors = []
        for library_size in (None, size[:n]):
            process = AdditiveGaussianProcess.fit(
                y[:n], rows(views, slice(0, n)), library_size=library_size
            )
            predicted = process.mean_at(rows(views, slice(n, None)))
            errors.append(np.abs(predicted - y[n:]).mean())
        gains.append(1 - errors[1] / errors[0])
    assert np.mean(gains) > 0.01


def test_spots_of_equal_depth_count_alike_whatever_the_depth():
    y, views = draw(20)
    query = rows(draw(5, seed=1)[1], slice(None))
    plain = AdditiveGaussianProcess.fit(y, views).predict(query)
    equal = AdditiveGaussianProcess.fit(y, views, library_size=np.full(20, 7000)).predict(query)
    np.testing.assert_allclose(equal, plain)


def test_uncertainty_of_a_left_out_spot_does_not_know_its_depth():
    """A new spot's depth is unknown: intervals calibrated on left-out spots would be too narrow."""
    rng = np.random.default_rng(0)
    y, alike = rng.normal(size=(30, 5)), {"image": np.zeros((30, 1))}
    process = AdditiveGaussianProcess.fit(y, alike, library_size=rng.uniform(100, 9000, 30))
    np.testing.assert_allclose(
        process.left_out_sd, process.left_out_sd[:1] * np.ones((30, 1)), rtol=0.2
    )
    _, sd = process.predict({"image": np.zeros((1, 1))})
    np.testing.assert_allclose(process.left_out_sd.mean(axis=0), sd[0], rtol=0.1)


@pytest.mark.parametrize("wrong", [np.ones(9), np.zeros(10), np.full(10, np.nan)])
def test_wrong_library_sizes_are_refused(wrong):
    y, views = draw(10)
    with pytest.raises(InputError, match="library sizes"):
        AdditiveGaussianProcess.fit(y, views, library_size=wrong)


@pytest.mark.parametrize("seed", range(4))
def test_nine_spots_of_noise_lose_no_more_than_a_whisker(seed):
    rng = np.random.default_rng(seed)
    y = np.log1p(rng.poisson(1.0, (209, 100)))
    views = {"image": rng.normal(size=(209, 20)), "place": rng.uniform(0, 2000, (209, 2))}
    process = AdditiveGaussianProcess.fit(y[:9], rows(views, slice(0, 9)))
    error = np.abs(process.mean_at(rows(views, slice(9, 209))) - y[9:]).mean()
    assert error < 1.03 * np.abs(np.median(y[:9], axis=0) - y[9:]).mean()


def test_two_spots_and_a_constant_gene():
    y = np.array([[1.0, 5.0], [2.0, 5.0]])
    process = AdditiveGaussianProcess.fit(y, {"place": np.array([[0.0, 0], [100, 0]])})
    mean, sd = process.predict({"place": np.array([[50.0, 0]])})
    assert mean[0, 1] == 5.0
    assert sd[0, 1] == 0.0
    assert 1 <= mean[0, 0] <= 2
    uneven = AdditiveGaussianProcess.fit(
        y, {"place": np.array([[0.0, 0], [100, 0]])}, library_size=np.array([1.0, 1e6])
    )
    assert (np.abs(uneven.left_out[:, 0] - 1.5) < 2).all()
    assert uneven.mean_at({"place": np.array([[50.0, 0]])})[0, 0] > 1.5
    constant = AdditiveGaussianProcess.fit(y[:, 1:], {"place": np.eye(2)})
    np.testing.assert_array_equal(constant.mean_at({"place": np.eye(2)}), [[5.0], [5.0]])


@settings(max_examples=15, deadline=None)
@given(st.floats(0.1, 100), st.floats(-50, 50), st.integers(0, 50))
def test_units_of_expression_do_not_matter(scale, shift, seed):
    y, views = draw(20, genes=4, seed=seed)
    query = rows(draw(5, seed=seed + 1)[1], slice(None))
    mean, sd = AdditiveGaussianProcess.fit(y, views).predict(query)
    other, other_sd = AdditiveGaussianProcess.fit(scale * y + shift, views).predict(query)
    np.testing.assert_allclose(other, scale * mean + shift, rtol=1e-5, atol=1e-6 * scale)
    np.testing.assert_allclose(other_sd, scale * sd, rtol=1e-5)


def test_many_spots_search_on_some_and_solve_on_all(monkeypatch):
    import c2lst.prediction.evidence as evidence

    y, views = draw(150)
    full = AdditiveGaussianProcess.fit(y, views)
    monkeypatch.setattr(evidence, "SEARCH_SPOTS", 60)
    some = AdditiveGaussianProcess.fit(y, views)
    assert len(some.dual) == 150
    query = rows(draw(40, seed=2)[1], slice(None))
    difference = np.abs(full.mean_at(query) - some.mean_at(query)).mean()
    assert 0 < difference < 0.2 * y.std()
    others = [AdditiveGaussianProcess.fit(y, views, seed=seed) for seed in (0, 1)]
    np.testing.assert_array_equal(others[0].weights, some.weights)
    assert not np.allclose(others[1].weights, some.weights)


def test_a_length_that_is_offered_twice_counts_once():
    y, views = draw(30)
    fits = [
        AdditiveGaussianProcess.fit(y, views, kernels={"place": ViewKernel("rbf", lengths)})
        for lengths in ((0.4,), (0.4, 0.4))
    ]
    np.testing.assert_allclose(fits[1].noise, fits[0].noise)
    for view, share in fits[0].view_weights.items():
        assert fits[1].view_weights[view] == pytest.approx(share)


def test_round_trip(tmp_path):
    y, views = draw(30)
    process = AdditiveGaussianProcess.fit(y, views, library_size=np.arange(1.0, 31))
    process.save(tmp_path / "gp")
    loaded = AdditiveGaussianProcess.load(tmp_path / "gp")
    query = rows(draw(6, seed=1)[1], slice(None))
    for a, b in zip(process.predict(query), loaded.predict(query), strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(process.left_out, loaded.left_out)
    (tmp_path / "gp" / "gaussian_process.safetensors").unlink()
    with pytest.raises(InputError, match="no such file"):
        AdditiveGaussianProcess.load(tmp_path / "gp")


def test_wrong_input_is_refused():
    y, views = draw(10)
    process = AdditiveGaussianProcess.fit(y, views)
    with pytest.raises(InputError, match="unknown view"):
        process.predict({"colour": np.zeros((3, 2))})
    with pytest.raises(InputError, match="width"):
        process.predict({"place": np.zeros((3, 5))})
    with pytest.raises(InputError, match="views"):
        process.predict({})
    with pytest.raises(InputError, match="two spots"):
        AdditiveGaussianProcess.fit(y[:1], rows(views, slice(0, 1)))
    with pytest.raises(InputError, match="no view"):
        AdditiveGaussianProcess.fit(y, {})
    with pytest.raises(InputError, match="place"):
        AdditiveGaussianProcess.fit(y, {"place": views["place"][:4]})
