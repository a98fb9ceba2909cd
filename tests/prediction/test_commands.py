from __future__ import annotations

from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from c2lst.cli.app import app
from c2lst.cli.prediction import _at_spots
from c2lst.data.split import SpotSplit
from c2lst.errors import InputError
from c2lst.prediction.options import PredictorSettings
from c2lst.prediction.predictor import ExpressionPredictor


@pytest.fixture(scope="module")
def predictor(section, split, preprocessing):
    return ExpressionPredictor.fit(
        section, split, preprocessing, settings=PredictorSettings(network="none")
    )


@pytest.fixture
def central():
    return SimpleNamespace(encode_views=lambda images: {})


def test_spots_learnt_from_never_pass_for_test_spots(
    section, split, predictor, central, monkeypatch, tmp_path
):
    """Neither where another split calls them so, nor where there is none."""
    monkeypatch.setattr("c2lst.evaluation.encoders.get_encoder", lambda: Colours())
    files = [tmp_path / name for name in ("own.json", "other.json")]
    split.save(files[0])
    SpotSplit.draw(section, 0.5, seed=77).save(files[1])
    table = _at_spots(predictor, section, central, files[0])
    assert set(table.obs_names[table.obs["split"] == "train"]) == set(split.train)
    with pytest.raises(InputError, match="other training spots"):
        _at_spots(predictor, section, central, files[1])
    with pytest.raises(InputError, match="--split: is missing"):
        _at_spots(predictor, section, central, None)


class Colours:
    def encode(self, images):
        return images.reshape(len(images), -1, 3).mean(axis=1)


def test_pairs_that_no_network_would_learn_from_are_refused(tmp_path):
    there = (tmp_path, "--central", tmp_path, "--split", tmp_path / "s.json", "-o", tmp_path / "m")
    arguments = ("train", *there, "--synthetic", tmp_path, "--network", "none")
    with pytest.raises(InputError, match="--synthetic: is what networks learn from"):
        CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)
