"""A local model whose genes do what they are told, and a real one that is saved in miniature."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import torch
from typer.testing import CliRunner

from c2lst.central import CentralModel
from c2lst.cli.app import app
from c2lst.data.preprocessing import Preprocessing
from c2lst.data.split import SpotSplit
from c2lst.data.stain import StainReference
from c2lst.data.stain.conversion import intensity
from c2lst.diffusion.noise import NoiseProcess
from c2lst.diffusion.unet import build_unet
from c2lst.local import AdapterSettings, LocalModel, SynthesisSettings
from toy import SHAPE, training

GENES = tuple("ABCDEFGHIJKL")
STAIN = StainReference.standard()
SETTINGS = SynthesisSettings(batch_size=8, seed=3)
BY = 0.1
"""Haematoxylin that the painter adds for a standard deviation of gene A."""


class Painter:
    """A model whose patches get darker with gene A and pinker, a little, with B to F."""

    central = SimpleNamespace(size=16)
    hash = "painter"

    def __init__(self):
        self.drawn = 0

    def draw(self, profiles, seeds, settings):
        self.drawn += len(seeds)
        profiles = np.nan_to_num(profiles)
        images = []
        for profile, seed in zip(profiles, seeds, strict=True):
            texture = 0.05 * np.random.default_rng(seed).standard_normal((16, 16))
            blue = 0.8 + BY * profile[0] + texture
            pink = np.full_like(blue, 0.5 + 0.01 * profile[1:6].sum())
            images.append(intensity(np.stack([blue, pink], axis=-1) @ STAIN.matrix))
        return np.stack(images)


def save_toy(folder, section):
    """Adapt a few hundred weights to a section of 16 px, and save all that a command needs."""
    split = SpotSplit.draw(section, fraction=0.25, seed=1)
    preprocessing = Preprocessing.fit(section, split, n_genes=12)
    torch.manual_seed(0)
    unet = build_unet(SHAPE).eval()
    central = CentralModel(
        unet, NoiseProcess(prediction="v_prediction"), 112.0, preprocessing.stain
    )
    settings = AdapterSettings(training(2, learning_rate=1e-2), width=8, early_stop=False)
    local = LocalModel.adapt(central, section, split, preprocessing, settings)
    local.save(folder / "adapter")
    central.save(folder / "central")
    section.save(folder / "section")
    split.save(folder / "split.json")
    return SimpleNamespace(folder=folder, local=local, section=section, split=split)


def call(toy, verb, *arguments):
    """Call a command on what `save_toy` saved."""
    where = ("--section", toy.folder / "section", "--split", toy.folder / "split.json")
    everything = (verb, toy.folder / "adapter", *where, "--central", toy.folder / "central")
    return CliRunner().invoke(app, [str(a) for a in (*everything, *arguments)])
