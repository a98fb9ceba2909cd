"""The one error that c2lst raises for anything its user can mend."""

from __future__ import annotations

from pathlib import Path


class InputError(Exception):
    """Something the user gave cannot be used; the command line ends with exit code 2.

    The message is one line: where, which field, what was found, what was expected, what to do.

    Parameters
    ----------
    where
        File, folder or object at fault.
    problem
        What is wrong, with the field or column by name.
    found, expected
        What was met and what would have been right.
    remedy
        What the user can do about it.
    """

    def __init__(
        self,
        where: str | Path,
        problem: str,
        *,
        found: object = None,
        expected: object = None,
        remedy: str | None = None,
    ) -> None:
        self.where = str(where)
        self.problem = problem
        self.found = found
        self.expected = expected
        self.remedy = remedy
        parts = [f"{where}: {problem}"]
        if found is not None:
            parts.append(f"found {found}")
        if expected is not None:
            parts.append(f"expected {expected}")
        message = ", ".join(parts)
        if remedy is not None:
            message += f"; {remedy}"
        super().__init__(" ".join(message.split()))
