from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from c2lst.evaluation.expression.names import LEFT_OUT
from c2lst.report import tables
from c2lst.report.artefacts import RunArtefacts, read_artefacts
from c2lst.report.scores import Coverage, Estimate
from c2lst.report.wording import duration, flatten, number, span


@pytest.fixture(scope="module")
def artefacts(finished_run: Path) -> RunArtefacts:
    return read_artefacts(finished_run)


def test_coverage_counts_held_out_values_only(artefacts: RunArtefacts) -> None:
    predictions = artefacts.predictions.copy()
    test = artefacts.role == "test"
    observed = np.zeros(predictions.shape)
    observed[test, 0] = 5.0
    observed[~test] = 99.0
    predictions.layers["observed"] = observed
    predictions.layers["lower"] = np.full(predictions.shape, -1.0)
    predictions.layers["upper"] = np.full(predictions.shape, 1.0)
    covered = tables.coverage(dataclasses.replace(artefacts, predictions=predictions))
    assert covered == pytest.approx(1 - 1 / predictions.n_vars)


def test_cards_add_up(artefacts: RunArtefacts) -> None:
    cards = {card.label: card for card in tables.cards(artefacts)}
    total = int(cards["Spots sequenced"].value) + int(cards["Spots predicted"].value)
    assert total == artefacts.predictions.n_obs


def test_default_predictor_is_first_and_alone_highlighted(artefacts: RunArtefacts) -> None:
    rows = tables.method_table(artefacts).rows
    assert [row.highlighted for row in rows] == [True] + [False] * (len(rows) - 1)


def test_method_without_correlation_has_no_dot(artefacts: RunArtefacts) -> None:
    rows = {row.label: row for row in tables.method_table(artefacts).rows}
    assert rows["Median of sampled spots"].pearson.centre is None
    assert rows["Median of sampled spots"].mae.centre is not None


@given(
    values=st.lists(st.floats(-1, 5), min_size=1, max_size=8),
    width=st.floats(0, 2),
)
def test_marks_and_ticks_stay_on_the_axis(values: list[float], width: float) -> None:
    estimates = [Estimate(value, value - width, value + width) for value in values]
    ends = tables._ends(estimates)
    axis = tables._axis(ends, estimates[0])
    assert 1 <= len(axis.ticks) <= 7
    assert all(-0.01 <= place <= 100.01 for place, _ in axis.ticks)
    assert len({label for _, label in axis.ticks}) == len(axis.ticks)
    for estimate in estimates:
        mark = tables._mark(estimate, ends)
        assert mark.centre is not None
        assert 0 <= mark.left <= mark.centre + 0.01 <= mark.left + mark.width + 0.03 <= 100.05


def test_files_are_those_that_exist(artefacts: RunArtefacts) -> None:
    paths = [row.path for row in tables.file_rows(artefacts)]
    assert "synthetic/" in paths
    assert "predictor/" not in paths


def with_coverage(artefacts: RunArtefacts, share: Estimate) -> RunArtefacts:
    row = Coverage("all", 40, 1.0, 3.0, 0.9, share, 1.0)
    return dataclasses.replace(artefacts, coverage=(row,))


@given(low=st.floats(0, 1), high=st.floats(0, 1))
def test_intervals_are_called_off_only_beyond_doubt(
    artefacts: RunArtefacts, low: float, high: float
) -> None:
    low, high = sorted((low, high))
    shown = with_coverage(artefacts, Estimate((low + high) / 2, low, high))
    text = " ".join(tables.limits(shown))
    assert ("too narrow" in text) == (high < 0.9)
    assert ("too wide" in text) == (low > 0.9)


def test_spots_that_calibrated_the_intervals_are_no_check_of_them(artefacts: RunArtefacts) -> None:
    covered = with_coverage(artefacts, Estimate(0.5, 0.4, 0.6))
    scores = tuple(dataclasses.replace(score, judged=LEFT_OUT) for score in artefacts.scores)
    left_out = dataclasses.replace(covered, scores=scores)
    assert "Coverage" in {card.label for card in tables.cards(covered)}
    assert "Coverage" not in {card.label for card in tables.cards(left_out)}
    assert tables.coverage_rows(covered) and not tables.coverage_rows(left_out)
    text = " ".join(tables.limits(left_out))
    assert "calibrated on these very spots" in text and "too narrow" not in text


def test_neighbours_and_coverage_are_told_as_limits(artefacts: RunArtefacts) -> None:
    text = " ".join(tables.limits(artefacts))
    assert "direct neighbour" in text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.31, "0.3 s"),
        (9.97, "10 s"),
        (59.7, "1 min 0 s"),
        (185, "3 min 5 s"),
        (7800, "2 h 10 min"),
        (float("nan"), "–"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_numbers_have_a_true_minus_and_no_negative_zero() -> None:
    assert number(-0.5, 1) == "−0.5"
    assert number(-0.0001, 2) == "0.00"
    assert number(0.0, 2, signed=True) == "0.00"
    assert number(0.25, 2, signed=True) == "+0.25"
    assert number(float("nan")) == "–"
    assert span(1, float("nan")) == ""


def test_settings_are_flat_and_in_order() -> None:
    nested = {"b": {"x": 1, "y": [1, 2]}, "a": None, "c": True}
    assert flatten(nested) == [("b.x", "1"), ("b.y", "1, 2"), ("a", "not set"), ("c", "yes")]
