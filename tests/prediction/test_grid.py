import anndata
import numpy as np
import pytest

from c2lst.data.preprocessing import Preprocessing
from c2lst.errors import InputError
from c2lst.prediction import grid
from c2lst.prediction.calibration import Measured
from c2lst.prediction.cotraining import CrossFittedNetwork
from c2lst.prediction.grid import predict_grid
from c2lst.prediction.options import PredictorSettings
from c2lst.prediction.predictor import ExpressionPredictor

SETTINGS = PredictorSettings(folds=2, steps=3, batch_size=8, seed=1)


def colours(images):
    return {"colour": images.reshape(len(images), -1, 3).mean(axis=1)}


@pytest.fixture(scope="module")
def fitted(small_section, small_split):
    preprocessing = Preprocessing.fit(small_section, small_split, n_genes=10)
    images = preprocessing.images(small_section)
    return ExpressionPredictor.fit(
        small_section, small_split, preprocessing, features=colours(images), settings=SETTINGS
    )


@pytest.fixture(scope="module")
def whole(fitted, small_section):
    return predict_grid(fitted, small_section, 100.0, colours)


def test_the_map_covers_the_tissue_at_its_pitch(whole, small_section):
    places = whole.obsm["spatial"] * small_section.mpp
    columns, rows = whole.obs["array_col"].to_numpy(), whole.obs["array_row"].to_numpy()
    for axis, number in ((0, columns), (1, rows)):
        steps = np.diff(places[np.argsort(number), axis])
        np.testing.assert_allclose(steps[steps > 1e-6] % 100.0, 0.0, atol=1e-6)
    assert len(whole) > len(small_section)
    assert whole.var_names.tolist() == list(whole.var_names)
    assert np.isfinite(whole.X).all()
    assert (whole.layers["lower"] <= whole.X).all() and (whole.layers["upper"] >= whole.X).all()
    assert (whole.layers["predicted_counts"] >= 0).all()


def test_a_place_on_an_unsampled_spot_is_predicted_as_that_spot(fitted, small_section, small_split):
    rows = small_section.indices_of(small_split.test[:5])
    patches = small_section.patches[rows]
    raw = colours(fitted.preprocessing.images(patches))
    between = fitted.predict_between(
        small_section.barcodes[rows], small_section.centres_um[rows], patches, features=raw
    )
    spots = fitted.predict(small_section)
    np.testing.assert_allclose(between.mean, spots.mean[rows], atol=2e-4)
    np.testing.assert_allclose(between.upper, spots.upper[rows], atol=2e-4)


def test_networks_that_have_no_say_are_not_asked(
    fitted, small_section, small_split, whole, monkeypatch
):
    training = small_split.training(small_section)
    left_out = fitted.without_network(Measured.of(training, fitted.preprocessing))
    asked = []
    predict = CrossFittedNetwork.predict

    def counted(self, images):
        asked.append(len(images))
        return predict(self, images)

    monkeypatch.setattr(CrossFittedNetwork, "predict", counted)
    found = predict_grid(left_out, small_section, 100.0, colours)
    assert not asked and np.isfinite(found.X).all()
    predict_grid(fitted, small_section, 100.0, colours)
    assert sum(asked) == len(whole)


def test_batches_do_not_change_the_map(fitted, small_section, whole, monkeypatch):
    monkeypatch.setattr(grid, "_BATCH", 7)
    again = predict_grid(fitted, small_section, 100.0, colours)
    np.testing.assert_allclose(again.X, whole.X, atol=1e-4)
    assert again.obs_names.tolist() == whole.obs_names.tolist()


def test_far_from_sequenced_spots_intervals_are_wider(whole):
    far = whole.obs["distance_um"].to_numpy()
    width = (whole.layers["upper"] - whole.layers["lower"]).mean(axis=1)
    near, away = far < np.quantile(far, 0.2), far > np.quantile(far, 0.8)
    assert width[away].mean() > width[near].mean()


def test_the_file_opens_as_it_was(whole, tmp_path):
    whole.write_h5ad(tmp_path / "grid.h5ad")
    read = anndata.read_h5ad(tmp_path / "grid.h5ad")
    np.testing.assert_array_equal(read.X, whole.X)
    assert read.uns["c2lst"]["pitch_um"] == 100.0


def test_other_sections_and_features_are_refused(fitted, small_section, section):
    with pytest.raises(InputError, match="not the one that the predictor"):
        predict_grid(fitted, section, 100.0, colours)
    with pytest.raises(InputError, match="features do not fit"):
        predict_grid(fitted, small_section, 200.0, lambda images: {})
