from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from c2lst.errors import InputError
from c2lst.prediction.network_baselines import RECIPE, network_baselines

QUICK = {"recipe": replace(RECIPE, learning_rate=3e-3), "epochs": 12}


def test_a_baseline_is_in_expression_units_and_follows_the_training_spots(
    section, split, preprocessing
):
    layers = network_baselines(section, split, preprocessing, ["resnet-tiny"], **QUICK)
    (name, predicted), truth = layers.popitem(), preprocessing.lognorm(section)
    assert name == "baseline_resnet_tiny"
    assert predicted.dtype == np.float32 and predicted.shape == truth.shape
    assert predicted.min() >= 0
    train = section.indices_of(split.train)
    flat = np.abs(np.median(truth[train], axis=0) - truth[train]).mean()
    assert np.abs(predicted[train] - truth[train]).mean() < 0.9 * flat


def test_it_sees_no_gene_of_a_test_spot_and_repeats_to_the_bit(
    section, split, preprocessing, tmp_path, monkeypatch
):
    options = {"epochs": 2, "seed": 3, "directory": tmp_path}
    first = network_baselines(section, split, preprocessing, ["resnet-tiny"], **options)
    seen = []
    from c2lst.prediction import network_baselines as module

    fit = module.fit_network
    monkeypatch.setattr(
        module,
        "fit_network",
        lambda inputs, source, *a, **k: (
            seen.append(source.real.targets),
            fit(inputs, source, *a, **k),
        )[1],
    )
    # Nothing is left to train: the checkpoint of the end is there.
    again = network_baselines(section, split, preprocessing, ["resnet-tiny"], **options)
    np.testing.assert_array_equal(again["baseline_resnet_tiny"], first["baseline_resnet_tiny"])
    expected = preprocessing.expression(split.training(section))
    np.testing.assert_array_equal(seen[0], expected)


@pytest.mark.parametrize("name", ["resnet-50", "densenet-121"])
def test_the_published_networks_run_on_small_patches(section, split, preprocessing, name):
    layers = network_baselines(section, split, preprocessing, [name], epochs=1)
    assert np.isfinite(layers[f"baseline_{name.replace('-', '_')}"]).all()


def test_an_unknown_network_is_refused(section, split, preprocessing):
    with pytest.raises(InputError, match="unknown kind"):
        network_baselines(section, split, preprocessing, ["vgg"], epochs=1)
