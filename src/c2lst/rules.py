"""What the values of settings may be: rules, and the one way to hold settings to them."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, get_args

from c2lst.errors import InputError


@dataclass(frozen=True)
class Rule:
    """What a value may be.

    Parameters
    ----------
    fits
        Whether a value, of whatever type, is one.
    expected
        The same in words.
    """

    fits: Callable[[Any], bool]
    expected: str

    def or_none(self) -> Rule:
        """Allow None, too, which is mostly a value that is left out."""
        return Rule(lambda value: value is None or self.fits(value), self.expected)

    def each(self, least: int = 0) -> Rule:
        """Ask it of every value of a sequence of at least so many."""
        number = f", at least {least}" if least else ""
        return Rule(
            lambda values: (
                isinstance(values, Collection)
                and len(values) >= least
                and all(map(self.fits, values))
            ),
            f"{self.expected} each{number}",
        )


def hold(settings: object, where: str, **rules: Rule) -> None:
    """Hold the attributes of settings to their rules.

    Parameters
    ----------
    settings
        The object whose attributes are held.
    where
        What an error calls it.
    **rules
        Attribute to its rule.

    Raises
    ------
    InputError
        At the first attribute that breaks its rule.
    """
    for name, rule in rules.items():
        value = getattr(settings, name)
        if not rule.fits(value):
            raise InputError(where, name, found=repr(_plain(value)), expected=rule.expected)


def whole(least: int = 0, most: int | None = None) -> Rule:
    """Allow whole numbers from ``least`` to ``most``; True and 3.0 are none."""
    ends = f"at least {least}" if most is None else f"from {least} to {most}"
    return Rule(
        lambda value: _whole(value) and least <= value and (most is None or value <= most),
        f"a whole number, {ends}",
    )


def multiple_of(unit: int) -> Rule:
    """Allow the multiples of a whole number, from that number."""
    return Rule(
        lambda value: _whole(value) and value >= unit and value % unit == 0, f"a multiple of {unit}"
    )


def at_least(least: float) -> Rule:
    """Allow finite numbers from ``least``."""
    return Rule(lambda value: _finite(value) and value >= least, f"a number, at least {least:g}")


def above(low: float) -> Rule:
    """Allow finite numbers above ``low``."""
    return Rule(lambda value: _finite(value) and value > low, f"a number above {low:g}")


def within(low: float, high: float) -> Rule:
    """Allow numbers from ``low`` to ``high``, both included."""
    return Rule(
        lambda value: _finite(value) and low <= value <= high, f"a number from {low:g} to {high:g}"
    )


def share(*, none: bool = True, all_: bool = True) -> Rule:
    """Allow shares: numbers from 0 to 1, with or without the ends ``none`` and ``all_``."""
    return Rule(
        lambda value: (
            _finite(value) and 0 <= value <= 1 and (none or value > 0) and (all_ or value < 1)
        ),
        f"a share in {'[' if none else '('}0, 1{']' if all_ else ')'}",
    )


def one_of(names: Any) -> Rule:
    """Allow the values of a ``Literal``, or of a collection of names."""
    known: Collection[Any] = get_args(names) or names
    return Rule(lambda value: value in known, " or ".join(map(str, known)))


def _whole(value: object) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _finite(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)


def _plain(value: object) -> object:
    """Return numpy's numbers as Python's, which print as such."""
    return value.item() if isinstance(value, Real) and hasattr(value, "item") else value
