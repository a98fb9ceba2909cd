"""A JSON list of objects read one object at a time: the largest lists are larger than memory."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator
from typing import IO, Any

from c2lst.errors import InputError

_CHUNK = 1 << 20
_LARGEST = 1 << 25


def json_objects(content: IO[bytes], where: str) -> Iterator[dict[str, Any]]:
    """Give the objects of a JSON list in order.

    Parameters
    ----------
    content
        UTF-8 bytes.
    where
        What messages call it.

    Raises
    ------
    InputError
        If it is not JSON, no list, or holds anything but objects.
    """
    text = _Text(content, where)
    text.expect("[", "a list")
    if text.next_letter() == "]":
        return
    while True:
        text.expect("{", "an object")
        yield text.take_object()
        separator = text.next_letter()
        text.position += 1
        if separator == "]":
            return
        if separator != ",":
            raise text.wrong(f"found {separator!r} after an object")


class _Text:
    """Text read in chunks, and the position in it."""

    def __init__(self, content: IO[bytes], where: str) -> None:
        self._content = codecs.getreader("utf-8-sig")(content)
        self._where = where
        self._text = ""
        self.position = 0

    def wrong(self, reason: str) -> InputError:
        return InputError(self._where, f"is not readable JSON ({reason})", remedy="fetch it again")

    def next_letter(self) -> str:
        """Next letter that is no white space; empty at the end."""
        while True:
            while self.position < len(self._text):
                letter = self._text[self.position]
                if letter not in " \t\r\n":
                    return letter
                self.position += 1
            if not self._more():
                return ""

    def expect(self, letter: str, what: str) -> None:
        found = self.next_letter()
        if found != letter:
            raise InputError(
                self._where, "wrong JSON", found=repr(found), expected=f"{letter!r}: {what}"
            )
        self.position += letter == "["

    def take_object(self) -> dict[str, Any]:
        """Decode the object that starts here, reading on until it is complete."""
        while True:
            try:
                value, self.position = json.JSONDecoder().raw_decode(self._text, self.position)
            except (ValueError, RecursionError) as error:
                too_large = len(self._text) - self.position > _LARGEST
                if isinstance(error, RecursionError) or too_large or not self._more():
                    raise self.wrong(str(error)) from error
            else:
                return value

    def _more(self) -> bool:
        try:
            chunk = self._content.read(_CHUNK)
        except UnicodeDecodeError as error:
            raise self.wrong("it is not UTF-8") from error
        self._text = self._text[self.position :] + chunk
        self.position = 0
        return bool(chunk)
