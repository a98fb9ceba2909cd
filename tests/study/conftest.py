from __future__ import annotations

import pytest

from c2lst.study import StudySettings, run_study
from toy import toy_settings

GRID = StudySettings(
    fractions=(0.5,),
    ratios=(1, 2),
    schemes=("random",),
    controls=("same-epochs", "shuffled", "unconditional", "synthetic-only"),
    seeds=1,
    networks=("resnet-tiny",),
)


@pytest.fixture(scope="session")
def grid():
    """One split with most kinds of arms."""
    return GRID


@pytest.fixture(scope="session")
def finished(small_legacy, tmp_path_factory, grid):
    """An uninterrupted toy study."""
    folder = tmp_path_factory.mktemp("study")
    outcome = run_study([small_legacy], folder / "study", toy_settings(folder), grid)
    assert outcome.failed == {}
    return outcome.root
