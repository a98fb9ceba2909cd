from __future__ import annotations

from dataclasses import replace

import numpy as np

from c2lst.prediction.calibration import Measured, fit_process
from c2lst.prediction.home import Home
from c2lst.prediction.options import PredictorSettings
from c2lst.prediction.place import AdditiveGaussianProcess


def test_every_refit_is_of_the_settings_and_of_the_depth_of_its_own_spots(
    section, split, preprocessing, monkeypatch
):
    measured = Measured.of(split.training(section), preprocessing)
    train = section.indices_of(split.train)
    home = Home(section.name, section.barcodes, section.centres_um, section.pitch_um, train, {})
    depth = {row.tobytes(): size for row, size in zip(*vars(measured).values(), strict=True)}
    assert len(depth) == len(train)
    plain, asked = AdditiveGaussianProcess.fit.__func__, []

    def fit(cls, y, views, **options):
        asked.append((y, options))
        return plain(cls, y, views, **options)

    monkeypatch.setattr(AdditiveGaussianProcess, "fit", classmethod(fit))
    fitted = fit_process(home, measured, (), replace(PredictorSettings(), components=2, seed=7))
    assert fitted.process.axes.shape[0] == 2
    assert len(asked) > 2 and len(asked[0][0]) == len(train) > len(asked[1][0])
    for y, options in asked:
        assert (options["components"], options["seed"]) == (2, 7)
        assert options["library_size"].tolist() == [depth[row.tobytes()] for row in y]
    assert np.ptp(fitted.process.spot_noise) > 0
