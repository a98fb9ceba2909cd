from __future__ import annotations

import json

import numpy as np
import pytest

from c2lst.data.preprocessing import Preprocessing
from c2lst.data.split import SpotSplit
from c2lst.errors import InputError
from c2lst.evaluation.expression.names import COTRAINED, NETWORK, NETWORK_TWIN, NO_NETWORK, TWIN
from c2lst.prediction.advice import Advice, weigh
from c2lst.prediction.advised import fit_advised
from c2lst.prediction.options import PredictorSettings

CHOICES = (COTRAINED, TWIN, NO_NETWORK)
XY = np.argwhere(np.ones((7, 7))) * 100.0
FAST = PredictorSettings(folds=2, steps=5, batch_size=8, seed=1)


def predictions(seed: int = 0, **noise: float) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Candidates that differ from the truth by noise of the stated size."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(size=(49, 20))
    return truth, {
        name: truth + level * rng.normal(size=truth.shape) for name, level in noise.items()
    }


def weighed(**noise: float) -> Advice:
    truth, predicted = predictions(**noise)
    return weigh(truth, predicted, XY, default=NO_NETWORK, choices=CHOICES)


def test_a_harmful_network_is_left_out():
    advice = weighed(**{COTRAINED: 0.6, TWIN: 0.6, NO_NETWORK: 0.4, "kriging": 0.5})
    assert advice.chosen == NO_NETWORK
    assert "use place and image features without a network" in advice.sentence
    assert "err more" in advice.sentence


def test_a_useful_network_stays():
    advice = weighed(**{COTRAINED: 0.4, TWIN: 0.6, NO_NETWORK: 0.6, "kriging": 0.7})
    assert advice.chosen == COTRAINED
    assert advice.difference(COTRAINED, NO_NETWORK).outcome == "better"
    assert "which errs less than place and image features without" in advice.sentence
    assert "synthetic pairs help the predictor" in advice.sentence


def test_the_simplest_wins_ties_and_it_says_so():
    advice = weighed(**{COTRAINED: 0.499, TWIN: 0.5, NO_NETWORK: 0.5, "kriging": 0.5})
    assert advice.errors[TWIN] < advice.errors[NO_NETWORK]
    assert advice.chosen == advice.default == NO_NETWORK
    assert "the simplest: place, image features and a network" in advice.sentence
    assert advice.sentence.count("cannot be told apart") == 3
    assert "49 training spots" in advice.sentence


def test_harmful_pairs_and_a_better_baseline_are_named():
    noise = {COTRAINED: 0.6, TWIN: 0.5, NO_NETWORK: 0.7, NETWORK: 0.9, NETWORK_TWIN: 0.7}
    advice = weighed(**noise, kriging=0.3, knn=0.5)
    assert advice.chosen == TWIN
    assert "synthetic pairs harm the network" in advice.sentence
    assert advice.best_baseline == "kriging"
    assert "kriging, errs less: prefer it" in advice.sentence


def test_few_spots_are_rarely_clear():
    rng, wrong = np.random.default_rng(0), 0
    for _ in range(200):
        truth = rng.normal(size=(9, 5))
        predicted = {name: truth + rng.normal(size=truth.shape) for name in (NO_NETWORK, TWIN)}
        advice = weigh(truth, predicted, XY[:9], default=NO_NETWORK, choices=(NO_NETWORK, TWIN))
        wrong += advice.chosen != NO_NETWORK
    assert wrong <= 12


def test_round_trip(tmp_path):
    noise = {NO_NETWORK: 0.6, COTRAINED: 0.5, TWIN: 0.6, "predicted_ratio_2": 0.4}
    advice = weighed(**noise, kriging=0.5)
    advice.save(tmp_path / "advice.json")
    again = Advice.load(tmp_path / "advice.json")
    assert again == advice
    assert again.sentence == advice.sentence
    (tmp_path / "advice.json").write_text('{"format": 99}')
    with pytest.raises(InputError):
        Advice.load(tmp_path / "advice.json")


def test_ratios_are_told_with_their_errors():
    noise = {NO_NETWORK: 0.5, COTRAINED: 0.5, TWIN: 0.5}
    noise |= {"predicted_ratio_1": 0.5, "predicted_ratio_2": 0.2}
    truth, predicted = predictions(**noise)
    advice = weigh(truth, predicted, XY, default=NO_NETWORK, choices=tuple(noise))
    assert advice.chosen == "predicted_ratio_2"
    assert "with 2 synthetic pairs a spot" in advice.sentence
    assert f"{advice.errors['predicted_ratio_1']:.3f} with 1" in advice.sentence


def advised(section, split, synthetic=None, **choices):
    preprocessing = Preprocessing.fit(section, split, n_genes=12)
    colours = section.patches[np.arange(len(section))].reshape(len(section), -1, 3).mean(axis=1)
    return fit_advised(
        section,
        split,
        preprocessing,
        synthetic=synthetic,
        features={"colour": colours},
        frozen=colours,
        settings=FAST,
        **choices,
    )


def test_counts_of_test_spots_change_nothing(section, split, synthetic):
    from dataclasses import replace

    adata = section.adata.copy()
    test = section.indices_of(split.test)
    counts = adata.X.toarray()
    counts[test] = counts[test][::-1, ::-1] + 7
    adata.X = type(section.counts)(counts)
    planted = replace(section, adata=adata)
    same = SpotSplit(
        split.section, planted.content_hash, split.scheme, split.fraction, split.seed, split.train,
        split.val, split.test, split.buffer,
    )  # fmt: skip
    first = advised(section, split, synthetic)
    assert advised(planted, same, synthetic).advice == first.advice
    assert set(first.candidates) == {COTRAINED, TWIN, NO_NETWORK}
    assert {NETWORK, NETWORK_TWIN, "kriging", "ridge"} <= set(first.advice.errors)


def test_the_chosen_predictor_follows(section, split, synthetic):
    found = advised(section, split, synthetic)
    bare = found.candidates[NO_NETWORK]
    assert bare.views == ("colour",)
    assert bare.network is found.candidates[COTRAINED].network
    assert found.chosen is found.candidates[found.advice.chosen]
    assert found.candidates[COTRAINED].summary["steps_per_network"] == FAST.steps
    assert bare.summary["steps_per_network"] == bare.summary["synthetic_pairs"] == 0
    prediction = bare.predict(section)
    assert prediction.cotrained
    assert np.isfinite(prediction.upper).all()


def test_full_advice_tries_ratios_and_without_pairs_there_are_none(section, split, synthetic):
    full = advised(section, split, synthetic, full=True)
    assert {"predicted_ratio_1", "predicted_ratio_2"} <= set(full.candidates)
    assert full.candidates["predicted_ratio_1"].network.synthetic_pairs == len(split.train)
    alone = advised(section, split)
    assert set(alone.candidates) == {TWIN, NO_NETWORK}
    assert {one.advice.default for one in (full, alone)} == {NO_NETWORK}


@pytest.mark.parametrize("differences", [[{"method": "knn"}], [3], 5])
def test_damaged_advice_is_one_error(tmp_path, differences):
    path = tmp_path / "advice.json"
    weighed(**{TWIN: 0.6, NO_NETWORK: 0.4}).save(path)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"differences": differences}))
    with pytest.raises(InputError, match="holds no differences"):
        Advice.load(path)
