from __future__ import annotations

import pytest

from c2lst.report.wording import duration, flatten, number, span


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
