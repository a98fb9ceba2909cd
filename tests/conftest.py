"""Fixtures for all tests: a small section made here, and the folder of real data."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import settings

from c2lst.data.readers import read
from c2lst.data.section import Section
from c2lst.data.split import SpotSplit
from miniatures.legacy import stained, write_legacy_section

torch.set_num_threads(1)

# A busy machine is no failure.
settings.register_profile("c2lst", deadline=None)
settings.load_profile("c2lst")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real sections, or a skip that says how to get it."""
    default = Path(__file__).parents[1].parent / "shared" / "data"
    folder = Path(os.environ.get("C2LST_DATA", default))
    if not (folder / "her2st").is_dir():
        pytest.skip(f"no real data in {folder}: set C2LST_DATA to its folder")
    return folder


@pytest.fixture(scope="session")
def write_legacy() -> Callable[..., Path]:
    """``write_legacy_section``."""
    return write_legacy_section


@pytest.fixture(scope="session")
def stained_image() -> Callable[..., np.ndarray]:
    """``stained``."""
    return stained


@pytest.fixture(scope="session")
def small_legacy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one small legacy section, S1. Read only: copy it before changing a file."""
    return write_legacy_section(tmp_path_factory.mktemp("legacy"))


@pytest.fixture(scope="session")
def small_section(small_legacy: Path) -> Section:
    """72 spots on a square array of 200 µm, 60 genes, patches of 112 µm in 32 px."""
    return read(small_legacy, size=32)


@pytest.fixture(scope="session")
def small_split(small_section: Section) -> SpotSplit:
    """Half of the small section's spots, at random."""
    return SpotSplit.draw(small_section, fraction=0.5, seed=1)
