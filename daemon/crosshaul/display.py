"""Names of files as text that a terminal, a log and a JSON parser can take. Pure."""

from __future__ import annotations

import re
from os import PathLike, fspath

# Letters and marks that are drawn as nothing (Unicode's Default_Ignorable_Code_Point), and a blank.
_UNSEEN = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)


def text(value: object) -> str:
    """Bytes, paths and strings as valid Unicode; bytes that are not UTF-8 show escaped."""
    if isinstance(value, PathLike):
        value = fspath(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).decode("utf-8", "backslashreplace")
    try:
        return str(value).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # half a character, as JSON may hold it
        return str(value).encode("utf-8", "backslashreplace").decode("utf-8")


def printable(value: object) -> str:
    """The same on one line, where all that is there is seen: what moves a cursor or has no shape shows escaped."""
    shown = text(value)
    if not shown.isprintable():
        shown = "".join(c if c.isprintable() else _escape(c) for c in shown)
    return shown if shown.isascii() else _UNSEEN.sub(lambda found: _escape(found[0]), shown)


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode()
