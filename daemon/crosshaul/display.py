"""Format values for people: printable file names, sizes, durations, times and counts. Pure, except for the time zone.

The only user of humanize, which is imported where it is used, so that `crosshaul --help` does not load it.
"""

from __future__ import annotations

import re
import time
from datetime import timedelta
from os import PathLike, fspath

# Letters and marks without a shape (Unicode's Default_Ignorable_Code_Point), and a blank.
_INVISIBLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
_EXACT_BELOW_SECONDS = 10
_HOUR_SECONDS = 3600
_MAX_SECONDS = 1e10
"""300 years: datetime can compute with that."""
_UNIT_SYMBOLS = {"second": "s", "minute": "min", "hour": "h", "day": "d"}


def text(value: object) -> str:
    """Return bytes, a path or a string as valid Unicode; bytes that are not UTF-8 are escaped."""
    if isinstance(value, PathLike):
        value = fspath(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).decode("utf-8", "backslashreplace")
    try:
        return str(value).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # half a character, as JSON may hold it
        return str(value).encode("utf-8", "backslashreplace").decode("utf-8")


def printable(value: object) -> str:
    """Return ``text(value)`` on one line; characters that move the cursor or are invisible are escaped."""
    shown = text(value)
    if not shown.isprintable():
        shown = "".join(c if c.isprintable() else _escape(c) for c in shown)
    return shown if shown.isascii() else _INVISIBLE.sub(lambda match: _escape(match[0]), shown)


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode()


def size(count: float) -> str:
    """Return a number of bytes in binary units: ``17 Bytes``, ``34.5 MiB``."""
    import humanize  # noqa: PLC0415 - the module says why

    return humanize.naturalsize(count, binary=True)


def duration(seconds: float) -> str:
    """Return a time span in at most two units: ``0.4 s``, ``12 s``, ``4 min 3 s``, ``2 h 5 min``, ``3 d 4 h``.

    A negative one is 0.
    """
    import humanize  # noqa: PLC0415 - the module says why

    seconds = min(max(0.0, seconds), _MAX_SECONDS)
    exact = seconds < _EXACT_BELOW_SECONDS
    span = timedelta(seconds=seconds if exact else round(seconds))
    smallest = "hours" if span.days else "minutes" if span.seconds >= _HOUR_SECONDS else "seconds"
    words = humanize.precisedelta(span, smallest, suppress=("years", "months"), format="%.1f" if exact else "%d")
    return " ".join(_UNIT_SYMBOLS.get(word.rstrip("s"), word) for word in words.split() if word != "and")


def moment(at: float, now: float) -> str:
    """Return the local time of day of a moment, with its date unless that is today's. Both are in Unix time."""
    then, today = time.localtime(at), time.localtime(now)
    return time.strftime("%H:%M:%S" if then[:3] == today[:3] else "%Y-%m-%d %H:%M:%S", then)


def ordinal(number: int) -> str:
    """Return ``1st``, ``2nd``, ``11th``."""
    import humanize  # noqa: PLC0415 - the module says why

    return humanize.ordinal(number)


def count(number: int, noun: str) -> str:
    """Return ``1 file``, ``2,000 files``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
