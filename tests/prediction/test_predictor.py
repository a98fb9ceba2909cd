from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from c2lst.data.preprocessing import Preprocessing
from c2lst.data.split import SpotSplit
from c2lst.errors import InputError
from c2lst.evaluation.expression import DEFAULT_METHOD, evaluate
from c2lst.prediction import layers as layers_module
from c2lst.prediction.baselines import baselines_for
from c2lst.prediction.layers import baseline_layers, left_out_baselines
from c2lst.prediction.options import PredictorSettings
from c2lst.prediction.predictor import ExpressionPredictor

FAST = PredictorSettings(folds=2, steps=5, batch_size=8, seed=1)


def colours(section) -> np.ndarray:
    return section.patches[np.arange(len(section))].reshape(len(section), -1, 3).mean(axis=1)


@pytest.fixture(scope="module")
def predictor(section, split, preprocessing, synthetic):
    return ExpressionPredictor.fit(
        section,
        split,
        preprocessing,
        synthetic=synthetic,
        features={"colour": colours(section)},
        settings=FAST,
    )


@pytest.fixture(scope="module")
def prediction(predictor, section):
    return predictor.predict(section)


def test_shapes_bounds_and_order(prediction, section, preprocessing):
    n, genes = len(section), len(preprocessing.panel)
    for values in (prediction.mean, prediction.lower, prediction.upper, prediction.network):
        assert values.shape == (n, genes)
        assert values.dtype == np.float32
        assert np.isfinite(values).all()
        assert (values >= 0).all()
    assert (prediction.lower <= prediction.mean).all()
    assert (prediction.mean <= prediction.upper).all()


def test_it_learns_and_beats_the_median(prediction, predictor, section, split, preprocessing):
    adata = prediction.to_anndata(
        section, preprocessing, split, methods=baseline_layers(section, split, preprocessing)
    )
    metrics, _ = evaluate(adata)
    row = metrics.set_index("method").loc[DEFAULT_METHOD]
    assert row["skill"] > 0.1
    assert 0.75 < row["coverage"] <= 1
    assert predictor.summary["variance_shares"]["colour"] > 0.1


def test_held_out_counts_change_nothing(section, split, preprocessing, predictor, prediction):
    adata = section.adata.copy()
    test = section.indices_of(split.test)
    counts = adata.X.toarray()
    counts[test] = counts[test][:, ::-1]
    adata.X = type(section.counts)(counts)
    other = replace(section, adata=adata)
    again = SpotSplit(
        split.section, other.content_hash, split.scheme, split.fraction, split.seed, split.train,
        split.val, split.test, split.buffer,
    )  # fmt: skip
    settings = replace(FAST, network="none")
    features = {"colour": colours(section)}
    first, second = (
        ExpressionPredictor.fit(
            s, p, Preprocessing.fit(s, p, genes=preprocessing.panel.genes),
            features=features, settings=settings,
        ).predict(s)
        for s, p in ((section, split), (other, again))
    )  # fmt: skip
    np.testing.assert_array_equal(first.mean, second.mean)
    np.testing.assert_array_equal(first.upper, second.upper)


def test_training_spots_are_predicted_without_their_own_value(
    section, split, preprocessing, prediction
):
    train = section.indices_of(split.train)
    residual = np.abs(prediction.mean - preprocessing.lognorm(section))
    test = section.indices_of(split.test)
    assert residual[train].mean() > 0.75 * residual[test].mean()


def test_predictions_file(prediction, section, split, preprocessing, tmp_path):
    import anndata

    methods = baseline_layers(section, split, preprocessing)
    adata = prediction.to_anndata(section, preprocessing, split, methods=methods)
    adata.write_h5ad(tmp_path / "predictions.h5ad")
    read = anndata.read_h5ad(tmp_path / "predictions.h5ad")
    assert set(read.layers) == {
        "predicted", "observed", "lower", "upper", "predicted_counts", "network_cotrained",
        *(f"baseline_{name}" for name in baselines_for(features=False)),
    }  # fmt: skip
    assert read.X.dtype == np.float32
    np.testing.assert_array_equal(read.X, read.layers["predicted"])
    np.testing.assert_array_equal(read.obs["split"].astype(str), split.of(section))
    assert list(read.var_names) == list(preprocessing.panel.genes)


def test_round_trip(tmp_path, predictor, prediction, section):
    predictor.save(tmp_path / "predictor")
    loaded = ExpressionPredictor.load(tmp_path / "predictor")
    again = loaded.predict(section)
    for name in ("mean", "lower", "upper", "network"):
        np.testing.assert_array_equal(getattr(again, name), getattr(prediction, name))
    assert again.cotrained
    assert loaded.settings == FAST


def test_intervals_of_a_predictor_of_before_have_their_floor(tmp_path, predictor, section):
    """Files of before lack it: what they were calibrated with is known from the process."""
    from safetensors.numpy import load_file, save_file

    predictor.save(tmp_path / "predictor")
    path = tmp_path / "predictor" / "predictor.safetensors"
    arrays = load_file(path)
    del arrays["widths.least"]
    save_file(arrays, path)
    loaded = ExpressionPredictor.load(tmp_path / "predictor")
    np.testing.assert_allclose(loaded.widths.least, predictor.widths.least, rtol=0.2)


def test_every_interval_is_made_with_the_floor_it_was_calibrated_with(predictor, section):
    wide = replace(predictor, widths=replace(predictor.widths, least=np.full(12, 50.0)))
    part = section.subset(section.barcodes[:4])
    patches = part.patches[np.arange(4)]
    found = (
        wide.predict(part),
        wide.predict_between(
            part.barcodes, part.centres_um + 30, patches, features={"colour": colours(part)}
        ),
    )
    for prediction in found:
        assert (prediction.upper - prediction.mean > 20).all()


def test_some_spots_are_predicted_as_among_all(predictor, prediction, section):
    chosen = section.barcodes[[40, 3, 17]]
    some = predictor.predict(section.subset(chosen))
    np.testing.assert_allclose(some.mean, prediction.mean[[40, 3, 17]], atol=1e-5)
    np.testing.assert_allclose(some.network, prediction.network[[40, 3, 17]], atol=1e-4)


def test_another_section_is_predicted_from_its_images_alone(predictor, make_section):
    other = make_section("other", seed=7)
    features = {"colour": colours(other)}
    first = predictor.predict(other, features=features)
    adata = other.adata.copy()
    adata.obsm["spatial"] = adata.obsm["spatial"][::-1].copy()
    moved = predictor.predict(replace(other, adata=adata), features=features)
    np.testing.assert_array_equal(first.mean, moved.mean)
    without = predictor.predict(other)
    assert (without.upper - without.lower).mean() > (first.upper - first.lower).mean()
    with pytest.raises(InputError, match="do not fit"):
        predictor.predict(other, features={"smell": colours(other)})


def test_same_barcodes_on_another_slide_are_not_taken_for_home(predictor, make_section):
    twin_array = make_section("T", seed=9)
    adata = twin_array.adata.copy()
    adata.obsm["spatial"] = adata.obsm["spatial"] + 57.0
    moved = replace(twin_array, adata=adata)
    assert predictor.home.rows(moved) is None


def test_without_networks_and_features_place_alone_predicts(section, split, preprocessing):
    fitted = ExpressionPredictor.fit(
        section, split, preprocessing, settings=replace(FAST, network="none")
    )
    prediction = fitted.predict(section)
    assert prediction.network is None
    assert np.isfinite(prediction.mean).all()


def test_nine_spots_and_few_test_spots(section, make_section):
    nine = SpotSplit.draw(section, 9 / 64, seed=3)
    preprocessing = Preprocessing.fit(section, nine, n_genes=6)
    fitted = ExpressionPredictor.fit(section, nine, preprocessing, settings=FAST)
    prediction = fitted.predict(section)
    assert np.isfinite(prediction.upper).all()
    few = SpotSplit.draw(section, 62 / 64, seed=3)
    preprocessing = Preprocessing.fit(section, few, n_genes=6)
    settings = replace(FAST, network="none")
    fitted = ExpressionPredictor.fit(section, few, preprocessing, settings=settings)
    adata = fitted.predict(section).to_anndata(section, preprocessing, few)
    metrics, _ = evaluate(adata)
    assert metrics["spots"].tolist() == [2]


def test_parts_that_do_not_belong_together_are_refused(
    section, split, preprocessing, synthetic, make_section
):
    other_split = SpotSplit.draw(section, 0.5, seed=77)
    with pytest.raises(InputError, match="other training spots"):
        ExpressionPredictor.fit(section, other_split, preprocessing)
    with pytest.raises(InputError, match="does not belong"):
        ExpressionPredictor.fit(make_section("x", seed=4), split, preprocessing)
    reordered = replace(synthetic, genes=synthetic.genes[::-1])
    with pytest.raises(InputError, match="order"):
        ExpressionPredictor.fit(section, split, preprocessing, synthetic=reordered)
    with pytest.raises(InputError, match="all spots"):
        ExpressionPredictor.fit(section, split, preprocessing, features={"a": np.zeros((3, 2))})
    with pytest.raises(InputError, match="taken"):
        ExpressionPredictor.fit(
            section, split, preprocessing, features={"place": np.zeros((64, 2))}
        )


@pytest.mark.parametrize("spots", [2, 3])
def test_two_or_three_spots_have_intervals(section, spots):
    few = SpotSplit.draw(section, spots / 64, seed=3)
    preprocessing = Preprocessing.fit(section, few, n_genes=6)
    settings = replace(FAST, network="none")
    prediction = ExpressionPredictor.fit(section, few, preprocessing, settings=settings).predict(
        section
    )
    assert np.isfinite(prediction.upper).all()
    assert (prediction.lower <= prediction.upper).all()


def test_of_two_encoders_the_one_that_sees_expression_is_read(section, split, preprocessing):
    noise = np.random.default_rng(0).normal(size=(len(section), 3))
    fitted = ExpressionPredictor.fit(
        section,
        split,
        preprocessing,
        features={"noise": noise, "colour": colours(section)},
        settings=replace(FAST, network="none"),
    )
    assert fitted.views == ("colour",)
    assert set(fitted.home.features) == {"noise", "colour"}
    assert np.isfinite(fitted.predict(section).upper).all()


def test_training_spots_are_left_out_and_every_distance_has_a_width(section, split, preprocessing):
    fitted = ExpressionPredictor.fit(
        section, split, preprocessing, settings=replace(FAST, network="none")
    )
    assert fitted.left_out.mean.shape == (len(split.train), len(preprocessing.panel))
    assert (fitted.left_out.distance > 0).all()
    assert fitted.widths.at(np.array([200.0, np.inf])).shape == (2, len(preprocessing.panel))


def test_validation_spots_end_the_training_of_networks(section):
    split = SpotSplit.draw(section, fraction=0.5, seed=0, val_fraction=0.25)
    preprocessing = Preprocessing.fit(section, split, n_genes=6)
    settings = PredictorSettings(folds=2, steps=40, batch_size=4, learning_rate=0.1, seed=0)
    fitted = ExpressionPredictor.fit(section, split, preprocessing, settings=settings)
    assert fitted.network is not None
    assert all(history.checked for history in fitted.network.histories)
    assert set(fitted.network.barcodes) == set(split.train)


def without(path, key):
    value = json.loads(path.read_text())
    del value[key]
    path.write_text(json.dumps(value))


def without_array(path, name):
    from safetensors.numpy import load_file, save_file

    arrays = load_file(path)
    del arrays[name]
    save_file(arrays, path)


DAMAGE = {
    "cut short": lambda d: (d / "predictor.safetensors").write_bytes(b"abc"),
    "process cut short": lambda d: next(d.glob("*/gaussian*.safetensors")).write_bytes(b"abc"),
    "no pitch": lambda d: without(d / "predictor.json", "pitch_um"),
    "no intervals": lambda d: without_array(d / "predictor.safetensors", "widths.factors"),
    "odd settings": lambda d: (d / "predictor.json").write_text(
        json.dumps(json.loads((d / "predictor.json").read_text()) | {"settings": {"depth": 3}})
    ),
    "odd kernels": lambda d: next(d.glob("*/gaussian*.json")).write_text('{"kernels": [{}]}'),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_predictor_is_one_error(tmp_path, predictor, damage):
    predictor.save(tmp_path / "predictor")
    DAMAGE[damage](tmp_path / "predictor")
    with pytest.raises(InputError) as caught:
        ExpressionPredictor.load(tmp_path / "predictor")
    assert str(tmp_path) in str(caught.value)


def test_baselines_never_see_validation_spots_even_where_all_are_sequenced(section):
    """Training spots without their fold, as the predictor leaves them out; the others as unseen."""
    split = SpotSplit.draw(section, scheme="all", seed=1, val_fraction=0.3)
    preprocessing = Preprocessing.fit(section, split, n_genes=6)
    observed, xy = preprocessing.lognorm(section), section.centres_um
    train = section.indices_of(split.train)
    layers = baseline_layers(section, split, preprocessing)
    left_out = left_out_baselines(xy[train], observed[train], seed=1)
    for name, baseline in baselines_for(features=False).items():
        found = layers[f"baseline_{name}"]
        np.testing.assert_allclose(found[train], left_out[name], rtol=1e-5, atol=1e-5)
        others = section.indices_of(split.val)
        unseen = baseline(xy[train], observed[train], xy[others])
        np.testing.assert_allclose(found[others], unseen, rtol=1e-5, atol=1e-5)


def test_no_baseline_is_held_to_what_log1p_of_counts_cannot_be(
    section, split, preprocessing, monkeypatch
):
    """c2lst and networks are cut off at 0: a baseline that is not would be judged unfairly."""

    class Below:
        def __call__(self, xy, expression, where, *_):
            return np.full((len(where), expression.shape[1]), -1.0)

    monkeypatch.setattr(layers_module, "baselines_for", lambda **_: {"below": Below()})
    layers = baseline_layers(section, split, preprocessing)
    assert (layers["baseline_below"] == 0).all()
    train = section.indices_of(split.train)
    observed = preprocessing.lognorm(section)[train]
    assert (left_out_baselines(section.centres_um[train], observed)["below"] == 0).all()


def test_features_of_another_central_model_are_refused(tmp_path, section, split, preprocessing):
    """They are as many, and mean something else."""
    settings = PredictorSettings(network="none")
    known = ExpressionPredictor.fit(
        section, split, preprocessing, features_by="abc", settings=settings
    )
    known.save(tmp_path / "known")
    loaded = ExpressionPredictor.load(tmp_path / "known")
    loaded.check_features_by("abc")
    with pytest.raises(InputError, match="whose features the predictor learnt from"):
        loaded.check_features_by("def")
    replace(known, features_by=None).save(tmp_path / "older")
    ExpressionPredictor.load(tmp_path / "older").check_features_by("def")
