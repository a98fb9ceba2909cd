from __future__ import annotations

import pytest

from c2lst.data.preprocessing import Preprocessing
from c2lst.data.section import Section
from c2lst.data.split import SpotSplit
from toy_sections import toy_section


@pytest.fixture(scope="session")
def section() -> Section:
    return toy_section("A", 0, patient="P")


@pytest.fixture(scope="session")
def elsewhere() -> Section:
    """Another patient's section, with the barcodes of the first, as arrays of one kind have."""
    return toy_section("B", 1, patient="Q")


@pytest.fixture(scope="session")
def split(section: Section) -> SpotSplit:
    return SpotSplit.draw(section, 0.5, seed=1)


@pytest.fixture(scope="session")
def fitted(section: Section, split: SpotSplit) -> Preprocessing:
    return Preprocessing.fit(section, split, n_genes=12)
