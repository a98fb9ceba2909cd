from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from c2lst.evaluation.expression.names import LEFT_OUT
from c2lst.report import limits, tables
from c2lst.report.artefacts import RunArtefacts, read_artefacts
from c2lst.report.scores import Coverage, Estimate


@pytest.fixture(scope="module")
def artefacts(finished_run: Path) -> RunArtefacts:
    return read_artefacts(finished_run)


def with_coverage(artefacts: RunArtefacts, share: Estimate) -> RunArtefacts:
    row = Coverage("all", 40, 1.0, 3.0, 0.9, share, 1.0)
    return dataclasses.replace(artefacts, coverage=(row,))


@given(low=st.floats(0, 1), high=st.floats(0, 1))
def test_intervals_are_called_off_only_beyond_doubt(
    artefacts: RunArtefacts, low: float, high: float
) -> None:
    low, high = sorted((low, high))
    shown = with_coverage(artefacts, Estimate((low + high) / 2, low, high))
    text = " ".join(limits.limits(shown))
    assert ("too narrow" in text) == (high < 0.9)
    assert ("too wide" in text) == (low > 0.9)


def test_spots_that_calibrated_the_intervals_are_no_check_of_them(artefacts: RunArtefacts) -> None:
    covered = with_coverage(artefacts, Estimate(0.5, 0.4, 0.6))
    scores = tuple(dataclasses.replace(score, judged=LEFT_OUT) for score in artefacts.scores)
    left_out = dataclasses.replace(covered, scores=scores)
    assert "Coverage" in {card.label for card in tables.cards(covered)}
    assert "Coverage" not in {card.label for card in tables.cards(left_out)}
    assert tables.coverage_rows(covered) and not tables.coverage_rows(left_out)
    text = " ".join(limits.limits(left_out))
    assert "calibrated on these very spots" in text and "too narrow" not in text


def test_neighbours_and_coverage_are_told_as_limits(artefacts: RunArtefacts) -> None:
    text = " ".join(limits.limits(artefacts))
    assert "direct neighbour" in text
