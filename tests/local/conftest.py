"""A small slide, a central model that knows nothing, and an adapter between them."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from c2lst.central import CentralModel
from c2lst.data.preprocessing import Preprocessing
from c2lst.data.readers import read
from c2lst.data.section import Section
from c2lst.data.split import SpotSplit
from c2lst.diffusion.film import GeneModulatedUNet
from c2lst.diffusion.noise import NoiseProcess
from c2lst.diffusion.unet import build_unet
from c2lst.local import LocalModel
from toy import SHAPE


@pytest.fixture(scope="session")
def spots(small_legacy) -> tuple[Section, SpotSplit, Preprocessing]:
    section = read(small_legacy, size=16)
    split = SpotSplit.draw(section, fraction=0.25, seed=1)
    return section, split, Preprocessing.fit(section, split, n_genes=12)


@pytest.fixture(scope="session")
def base(spots) -> CentralModel:
    torch.manual_seed(0)
    process = NoiseProcess(prediction="v_prediction")
    return CentralModel(build_unet(SHAPE).eval(), process, 112.0, spots[2].stain)


@pytest.fixture(scope="session")
def make_local(base, spots):
    """Make an adapter with weights drawn at random, without any training."""

    def make(seed: int = 0, preprocessing: Preprocessing | None = None, **options) -> LocalModel:
        section, split, fitted = spots
        preprocessing = preprocessing or fitted
        options = {"n_genes": len(preprocessing.panel), "width": 8} | options
        network = GeneModulatedUNet(base.unet, **options).eval()
        draw = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for value in network.adapter_state().values():
                value.copy_(0.2 * torch.randn(value.shape, generator=draw))
        provenance = {
            "base_hash": base.hash,
            "section": section.name,
            "section_hash": section.content_hash,
            "train_hash": split.train_hash,
            "training_spots": len(split.train),
            "settings": {"training": {"seed": seed}},
            "parameters": 1,
            "final_loss": 0.5,
            "kept_step": 3,
        }
        return LocalModel(base, preprocessing, network, provenance)

    return make


@pytest.fixture(scope="session")
def untrained(make_local) -> LocalModel:
    return make_local()


@pytest.fixture(scope="session")
def other_preprocessing(spots) -> Preprocessing:
    """Of fewer genes."""
    section, split, _ = spots
    return Preprocessing.fit(section, split, n_genes=7)


@pytest.fixture
def renamed(spots) -> Preprocessing:
    """The same genes in another order."""
    _, _, fitted = spots
    panel = dataclasses.replace(fitted.panel, genes=fitted.panel.genes[::-1])
    return dataclasses.replace(fitted, panel=panel)
