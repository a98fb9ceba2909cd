"""Small simulated maps, and settings so small that a training takes seconds."""

from __future__ import annotations

from dataclasses import replace

import pytest

from c2lst.diffusion.trainer import TrainSettings
from c2lst.superres.build.simulated import Simulation, build
from c2lst.superres.maps import SuperresMaps
from c2lst.superres.model import SuperresModel
from c2lst.superres.presets import load_settings
from c2lst.superres.settings import SuperresSettings

TRAINING = TrainSettings(steps=4, batch_size=2, checkpoint_every=2, warmup=0.0)


@pytest.fixture(scope="session")
def maps() -> SuperresMaps:
    """Three patients of 40 × 40 bins of 20 µm and four genes; 4 px of the image along a bin."""
    return build(Simulation(patients=3, genes=4, side_um=800.0, bin_um=20.0))


@pytest.fixture(scope="session")
def settings() -> SuperresSettings:
    """Windows of 4 spots in 16 bins of a network of 16 channels, at scale 5."""
    tiny = load_settings("tiny", width=16, lr_size=4, with_regression=False)
    return replace(tiny, groups=4, training=TRAINING)


@pytest.fixture(scope="session")
def model(maps: SuperresMaps, settings: SuperresSettings) -> SuperresModel:
    """A model after four updates, with its regression; P03 was held out."""
    both = replace(settings, regression=TRAINING)
    return SuperresModel.train(maps, both, held_out=["P03"])
