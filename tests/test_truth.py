"""What is known to be true of simulated tissue, and whether the parts find it."""

import numpy as np
import pytest

from c2lst.central import CentralModel, CentralSettings
from c2lst.data.preprocessing import Preprocessing
from c2lst.data.readers import read
from c2lst.data.simulate import SimulatedTruth, simulate_tissue
from c2lst.data.split import SpotSplit
from c2lst.data.stain import StainReference
from c2lst.diffusion.noise import NoiseProcess
from c2lst.local import AdapterSettings, LocalModel, SynthesisSettings
from c2lst.prediction.layers import baseline_layers
from c2lst.prediction.options import PredictorSettings
from c2lst.prediction.predictor import ExpressionPredictor
from toy import SHAPE, training


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    folder = tmp_path_factory.mktemp("simulated")
    simulate_tissue(folder, spots=(14, 14), mpp=4.0, genes=120, seed=2)
    section = read(folder, size=16)
    truth = SimulatedTruth.load(folder)
    order = [truth.barcodes.tolist().index(b) for b in section.barcodes.tolist()]
    split = SpotSplit.draw(section, fraction=0.5, seed=0)
    preprocessing = Preprocessing.fit(section, split, n_genes=120)
    columns = [truth.genes.tolist().index(g) for g in preprocessing.panel.genes]
    return section, split, preprocessing, truth, np.array(order), np.array(columns)


def correlation(a, b):
    a, b = a - a.mean(axis=0), b - b.mean(axis=0)
    scale = np.sqrt((a**2).sum(axis=0) * (b**2).sum(axis=0))
    return (a * b).sum(axis=0) / np.maximum(scale, 1e-12)


def held_out(simulated, predicted):
    section, split, preprocessing, *_ = simulated
    test = section.indices_of(split.test)
    return predicted[test], preprocessing.lognorm(section)[test]


def fitted(simulated, features):
    section, split, preprocessing, *_ = simulated
    predictor = ExpressionPredictor.fit(
        section,
        split,
        preprocessing,
        features=features,
        settings=PredictorSettings(network="none"),
    )
    return predictor.predict(section).mean


def error(simulated, predicted):
    predicted, observed = held_out(simulated, predicted)
    return np.abs(predicted - observed).mean()


def oracle_features(simulated, counts):
    return {"cells": np.sqrt(counts[simulated[4]].astype(float))}


def test_interpolation_finds_what_is_in_space_and_not_what_is_noise(simulated):
    section, split, preprocessing, truth, _, columns = simulated
    kriging = baseline_layers(section, split, preprocessing)["baseline_kriging"]
    scores = correlation(*held_out(simulated, kriging))
    kinds = truth.gene_kinds[columns]
    assert scores[kinds == "space"].mean() > 0.5
    # Not zero: counts are shares of a library, so even a constant gene mirrors the others a little.
    assert abs(scores[kinds == "noise"].mean()) < 0.2
    assert scores[kinds == "space"].mean() > scores[kinds == "image"].mean() + 0.1


def test_image_and_place_together_beat_each_alone_and_the_baselines(simulated):
    section, split, preprocessing, truth, _, columns = simulated
    both = fitted(simulated, oracle_features(simulated, truth.cell_counts))
    place = fitted(simulated, {})
    layers = baseline_layers(section, split, preprocessing)
    best = min(error(simulated, layer) for layer in layers.values())
    assert error(simulated, both) < min(error(simulated, place), best) * 0.97
    visible = truth.gene_kinds[columns] == "image"
    gain = correlation(*held_out(simulated, both)) - correlation(*held_out(simulated, place))
    assert gain[visible].mean() > 0.1


def test_nothing_beats_the_noise_floor(simulated):
    """The expected expression itself errs by the counting noise; no predictor may err less."""
    section, split, preprocessing, truth, order, columns = simulated
    floor = error(simulated, truth.expected_lognorm[order][:, columns])
    both = fitted(simulated, oracle_features(simulated, truth.cell_counts))
    layers = baseline_layers(section, split, preprocessing)
    assert all(error(simulated, p) > floor for p in (both, *layers.values()))


def test_an_image_of_other_tissue_brings_nothing(simulated, tmp_path):
    truth = simulated[3]
    simulate_tissue(tmp_path, spots=(14, 14), mpp=4.0, genes=120, seed=2, uninformative_image=True)
    other = SimulatedTruth.load(tmp_path)
    np.testing.assert_array_equal(other.cell_counts, truth.cell_counts)
    informed = fitted(simulated, oracle_features(simulated, truth.cell_counts))
    misled = fitted(simulated, oracle_features(simulated, other.image_cell_counts))
    place = error(simulated, fitted(simulated, {}))
    assert error(simulated, misled) > 0.99 * place
    assert error(simulated, informed) < 0.98 * place


class Shades:
    """Patches of one shade each: the shade is all that there is to learn."""

    def __init__(self, shades):
        rng = np.random.default_rng(0)
        tint = np.array([0.2, 0.5, 0.3])
        flat = 255 * np.exp(-np.asarray(shades)[:, None] * tint)
        noise = rng.normal(0, 2, (len(shades), 16, 16, 3))
        self.images = np.clip(flat[:, None, None] + noise, 0, 255).astype(np.uint8)

    def __len__(self):
        return len(self.images)

    def fetch(self, indices):
        return self.images[indices]

    def describe(self):
        return {"source": "shades", "patches": len(self)}


def test_generated_patches_follow_their_genes(simulated):
    """Patches as dark as the first component of expression: drawn patches must be so, too."""
    import dataclasses

    section, split, preprocessing, *_ = simulated
    scaled = preprocessing.expression(section)
    train = section.indices_of(split.train)
    axis = np.linalg.svd(scaled[train] - scaled[train].mean(0), full_matrices=False)[2][0]
    score = scaled @ axis
    shade = 0.2 + 1.6 / (1 + np.exp(-(score - score.mean()) / score.std()))
    stain = StainReference.standard()
    settings = CentralSettings(
        SHAPE,
        NoiseProcess(prediction="v_prediction"),
        training(150, batch_size=16, learning_rate=3e-3, ema_decay=0.9),
    )
    shades = Shades(np.random.default_rng(1).uniform(0.2, 1.8, 200))
    central = CentralModel.pretrain(shades, settings, patch_um=112.0, stain=stain)
    patches = dataclasses.replace(section.patches, images=Shades(shade).images)
    painted = dataclasses.replace(section, patches=patches)
    same_stain = dataclasses.replace(preprocessing, stain=stain, source_stain=stain)
    local = LocalModel.adapt(
        central,
        painted,
        split,
        same_stain,
        AdapterSettings(training(300, batch_size=16, learning_rate=5e-3, ema_decay=0.95), width=16),
    )
    drawing = SynthesisSettings(per_spot=1, guidance=2.0, seed=1)
    pairs = local.synthesize(painted, split, drawing)
    darkness = 255 - pairs.images.reshape(len(pairs), -1).mean(axis=1)
    wanted = shade[section.indices_of(pairs.source_barcodes)]
    shuffled = np.random.default_rng(0).permutation(wanted)
    assert np.corrcoef(darkness, wanted)[0, 1] > 0.6
    assert abs(np.corrcoef(darkness, shuffled)[0, 1]) < 0.3
