from __future__ import annotations

import numpy as np
import pytest

from c2lst.data.preprocessing import Preprocessing
from c2lst.data.readers import read
from c2lst.data.split import SpotSplit
from c2lst.evaluation.expression import DEFAULT_METHOD, evaluate
from c2lst.prediction.layers import baseline_layers
from c2lst.prediction.options import PredictorSettings
from c2lst.prediction.predictor import ExpressionPredictor


@pytest.fixture(scope="module")
def breast(real_data):
    section = read(real_data / "her2st", section="C4", size=32)
    images = section.patches[np.arange(len(section))].astype(float)
    colour = images.reshape(len(section), -1, 3)
    features = np.column_stack([colour.mean(axis=1), colour.std(axis=1)])
    return section, {"colour": features}


@pytest.mark.parametrize(("fraction", "least_skill"), [(0.05, -0.02), (0.25, 0.02)])
def test_image_and_place_beat_what_they_must(breast, fraction, least_skill):
    """Nine spots: no worse than the median. A quarter: better than every baseline."""
    section, features = breast
    rows = []
    for seed in range(3):
        split = SpotSplit.draw(section, fraction, seed=seed)
        preprocessing = Preprocessing.fit(section, split)
        fitted = ExpressionPredictor.fit(
            section,
            split,
            preprocessing,
            features=features,
            settings=PredictorSettings(network="none"),
        )
        methods = baseline_layers(section, split, preprocessing)
        adata = fitted.predict(section).to_anndata(section, preprocessing, split, methods=methods)
        rows.append(evaluate(adata, resamples=50)[0].set_index("method"))
    skill = sum(row["skill"] for row in rows) / len(rows)
    assert skill[DEFAULT_METHOD] > least_skill
    if fraction == 0.25:
        assert skill[DEFAULT_METHOD] == skill.max()
        assert abs(np.mean([row.loc[DEFAULT_METHOD, "coverage"] for row in rows]) - 0.9) < 0.04
