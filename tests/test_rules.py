"""Rules for the values of settings."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from c2lst.errors import InputError
from c2lst.rules import (
    Rule,
    above,
    at_least,
    hold,
    multiple_of,
    one_of,
    share,
    whole,
    within,
)

RULES = [whole(), whole(2, 5), multiple_of(4), at_least(0), above(0), within(1, 2), share()]
NO_NUMBERS = [None, "1", True, math.nan, math.inf, -math.inf, (1,), [], {}]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.expected)
@pytest.mark.parametrize("value", NO_NUMBERS, ids=repr)
def test_no_rule_of_numbers_takes_what_is_no_finite_number(rule: Rule, value: object) -> None:
    assert not rule.fits(value)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_share_has_the_ends_it_says(value: float) -> None:
    assert share().fits(value) == (0 <= value <= 1)
    assert share(none=False).fits(value) == (0 < value <= 1)
    assert share(all_=False).fits(value) == (0 <= value < 1)
    assert share(none=False, all_=False).fits(value) == (0 < value < 1)
    assert share(none=False, all_=False).expected == "a share in (0, 1)"


@pytest.mark.parametrize("end", [0, 1])
def test_the_ends_of_a_share(end: int) -> None:
    assert share().fits(end)
    assert not share(none=False, all_=False).fits(end)


@given(st.integers(-50, 50), st.integers(1, 9))
def test_whole_numbers(value: int, unit: int) -> None:
    assert whole(3, 7).fits(value) == (3 <= value <= 7)
    assert whole(3).fits(value) == (value >= 3)
    assert multiple_of(unit).fits(value) == (value > 0 and value % unit == 0)
    assert whole(-50).fits(np.int64(value))
    assert not whole(-50).fits(float(value))


@given(st.floats(-3, 3))
def test_limits_of_numbers(value: float) -> None:
    assert at_least(0).fits(value) == (value >= 0)
    assert above(0).fits(value) == (value > 0)
    assert within(-1, 1).fits(value) == (-1 <= value <= 1)


def test_names_are_those_of_a_literal_or_a_collection() -> None:
    assert one_of(Literal["a", "b"]).fits("b")
    assert one_of(Literal["a", "b"]).expected == "a or b"
    assert one_of({"x": 1}).fits("x")
    assert not one_of(["a"]).fits(["a"])


def test_a_rule_may_allow_none_or_be_asked_of_each() -> None:
    assert whole(1).or_none().fits(None)
    assert not whole(1).or_none().fits(0)
    assert whole(1).each().fits(())
    assert not whole(1).each(least=1).fits(())
    assert not whole(1).each().fits((1, 0))
    assert not any(whole(1).each().fits(value) for value in (None, 3, "12"))


def test_the_error_names_where_which_what_and_what_else() -> None:
    settings = SimpleNamespace(steps=np.int64(0), rate=1.0)
    hold(settings, "training settings", rate=above(0))
    with pytest.raises(InputError) as caught:
        hold(settings, "training settings", rate=above(0), steps=whole(1))
    expected = "training settings: steps, found 0, expected a whole number, at least 1"
    assert str(caught.value) == expected
