"""A pool goes through all that works on a section, and no place is used across sections."""

from __future__ import annotations

import numpy as np
import pytest

from c2lst.data.pooling import pool
from c2lst.data.preprocessing import Preprocessing
from c2lst.data.split import SpotSplit
from c2lst.evaluation.encoders import get_encoder
from c2lst.prediction.baselines import REGISTRY
from c2lst.prediction.options import PredictorSettings
from c2lst.prediction.predictor import ExpressionPredictor

ENCODER = get_encoder("random")


@pytest.fixture(scope="module")
def pooled(sections):
    return pool(sections[:2])


@pytest.fixture(scope="module")
def predictor(pooled):
    split = SpotSplit.draw(pooled, scheme="all")
    fitted = Preprocessing.fit(pooled, split, n_genes=16)
    return ExpressionPredictor.fit(
        pooled,
        split,
        fitted,
        features={"image": ENCODER.encode(fitted.images(pooled))},
        settings=PredictorSettings(network="none"),
    )


def test_no_kernel_of_place_reaches_from_one_section_to_another(predictor, pooled):
    places = [kernel for kernel in predictor.process.kernels if kernel.view == "place"]
    assert places
    for kernel in places:
        covariance = kernel(pooled.centres_um, pooled.centres_um)
        assert np.all(covariance[:49, 49:] == 0)
        # Spots of one section still differ: the metre between sections is no length scale.
        assert covariance[0, 48] < 0.5 < covariance[0, 0]


def test_another_section_is_predicted_by_its_images(predictor, sections):
    other = sections[2]
    own = predictor.preprocessing.for_section(other)
    features = {"image": ENCODER.encode(own.images(other))}
    predicted = predictor.predict(other, features=features).mean
    observed = predictor.preprocessing.lognorm(other)
    median = np.median(predictor.preprocessing.lognorm(sections[0]), axis=0)
    assert not predictor.knows(other)
    assert np.abs(predicted - observed).mean() < 0.95 * np.abs(median - observed).mean()


@pytest.mark.parametrize("name", ["knn", "inverse_distance", "kriging"])
def test_interpolation_in_a_pool_stays_within_a_section(pooled, name):
    rng = np.random.default_rng(0)
    known = rng.random(len(pooled)) < 0.5
    xy, y = pooled.centres_um, rng.normal(size=(len(pooled), 2))
    y[49:] += 100
    predicted = REGISTRY[name](xy[known], y[known], xy[~known])
    second = np.flatnonzero(~known) >= 49
    assert np.abs(predicted[second] - 100).max() < 20
    assert np.abs(predicted[~second]).max() < 20
