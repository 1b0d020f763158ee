"""Names of files as text that a terminal, a log and a JSON parser can take. Pure."""

from __future__ import annotations

import re
from os import PathLike, fspath

# Whatever moves the cursor, breaks a line or turns the direction of writing.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def text(value: object) -> str:
    """Bytes, paths and strings as valid Unicode; bytes that are not UTF-8 show escaped."""
    if isinstance(value, PathLike):
        value = fspath(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).decode("utf-8", "backslashreplace")
    return str(value).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def printable(value: object) -> str:
    """The same on one line, and with nothing in it that could move a terminal's cursor."""
    return _UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape").decode(), text(value))
