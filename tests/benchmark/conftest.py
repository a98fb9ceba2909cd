from __future__ import annotations

import pytest

from c2lst.benchmark import BenchmarkSettings
from c2lst.data.section import Section
from toy_sections import toy_section


@pytest.fixture(scope="session")
def sections() -> list[Section]:
    """Two sections of one patient, one of another."""
    return [
        toy_section(name, seed, patient=patient)
        for seed, (name, patient) in enumerate({"A": "P", "B": "P", "C": "Q"}.items())
    ]


@pytest.fixture(scope="session")
def quick() -> BenchmarkSettings:
    return BenchmarkSettings(genes=20, encoder="random", network="none")
