"""A toy run on disk, and an explorer whose model draws what its genes say."""

from __future__ import annotations

import dataclasses
import importlib.util
from types import SimpleNamespace

import pytest

from c2lst.data.preprocessing import Preprocessing
from c2lst.data.readers import read
from c2lst.data.split import SpotSplit
from c2lst.explorer import Explorer
from toy_local import STAIN, Painter, save_toy

GRADIO = importlib.util.find_spec("gradio") is not None


@pytest.fixture(scope="session")
def toy(small_legacy, tmp_path_factory):
    """A folder with section, split, central model and adapter, as a run has them."""
    return save_toy(tmp_path_factory.mktemp("run"), read(small_legacy, size=16))


@pytest.fixture
def painter():
    return Painter()


@pytest.fixture
def explorer(small_legacy, painter):
    """Of the painter: patches get darker with the first gene of the panel."""
    section = read(small_legacy, size=16)
    split = SpotSplit.draw(section, fraction=0.5, seed=1)
    preprocessing = Preprocessing.fit(section, split, n_genes=12, stain=STAIN)
    painter.preprocessing = dataclasses.replace(preprocessing)
    painter.provenance = SimpleNamespace()
    return Explorer(painter, section, split)


@pytest.fixture
def needs_gradio():
    if not GRADIO:
        pytest.skip("Gradio is not installed (extra: explorer)")
