"""A small slide, a central model that knows nothing, and an adapter on disk beside its sources."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from c2lst.central import CentralModel
from c2lst.data.preprocessing import Preprocessing
from c2lst.data.readers import read
from c2lst.data.section import Section
from c2lst.data.split import SpotSplit
from c2lst.diffusion.noise import NoiseProcess
from c2lst.diffusion.unet import build_unet
from c2lst.local import AdapterSettings, LocalModel, SynthesisSettings
from c2lst.local.sources import Sources
from toy import SHAPE, training


@pytest.fixture(autouse=True)
def few_images(monkeypatch):
    """Draw one image a spot, and look at few noise levels."""
    monkeypatch.setattr("c2lst.privacy.attacks.DRAWN", 1)
    monkeypatch.setattr("c2lst.privacy.membership.DRAWS", 6)


@dataclass
class Lab:
    """What an institution has on its disk."""

    folder: Path
    section: Section
    split: SpotSplit
    local: LocalModel

    adapter = property(lambda self: self.folder / "adapter")
    pairs = property(lambda self: self.folder / "synthetic")


@pytest.fixture(scope="session")
def lab(small_legacy, tmp_path_factory) -> Lab:
    folder = tmp_path_factory.mktemp("St-Somewhere-hospital")
    section = read(small_legacy, size=16)
    split = SpotSplit.draw(section, fraction=0.5, seed=1)
    preprocessing = Preprocessing.fit(section, split, n_genes=12)
    torch.manual_seed(0)
    process = NoiseProcess(prediction="v_prediction")
    central = CentralModel(build_unet(SHAPE).eval(), process, 112.0, preprocessing.stain)
    settings = AdapterSettings(training(2), width=8, early_stop=False)
    local = LocalModel.adapt(central, section, split, preprocessing, settings)
    section.save(folder / "section")
    split.save(folder / "split.json")
    central.save(folder / "central")
    places = Sources(folder / "section", folder / "split.json", folder / "central")
    local.save(folder / "adapter", sources=places)
    pairs = local.synthesize(section, split, SynthesisSettings(per_spot=2, policy="mixup"))
    pairs.save(folder / "synthetic", section.name)
    return Lab(folder, Section.load(folder / "section"), split, local)
