"""A run so small that it takes seconds: for tests of how the parts fit together."""

from __future__ import annotations

import dataclasses

from c2lst.diffusion.trainer import TrainSettings
from c2lst.diffusion.unet import UNetShape
from c2lst.settings import RunSettings, load_settings

SHAPE = UNetShape(size=16, widths=(8, 16), layers=1, groups=4)

TOML = """
fraction = 0.5
genes = 12
[central.shape]
size = 16
widths = [8, 16]
layers = 1
groups = 4
[central.training]
steps = 6
batch_size = 4
checkpoint_every = 2
precision = "fp32"
[adapter]
width = 8
[adapter.training]
steps = 6
batch_size = 4
checkpoint_every = 2
precision = "fp32"
[synthesis]
per_spot = 1
batch_size = 16
[prediction]
steps = 4
batch_size = 8
folds = 2
"""


def training(steps: int = 6, **changes: object) -> TrainSettings:
    """Few steps, in full precision."""
    return dataclasses.replace(TrainSettings(steps=steps, batch_size=4), **changes)  # type: ignore[arg-type]


def toy_settings(tmp_path, **options) -> RunSettings:
    """The toy run's settings, by the road that a user takes."""
    path = tmp_path / "toy.toml"
    path.write_text(TOML)
    return load_settings("tiny", path, options)
