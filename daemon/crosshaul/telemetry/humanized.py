"""Figures and moments in words. Pure, but for the time zone."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_STEP = 1024
_ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")
_TEENS = (11, 12, 13)


def size(count: float) -> str:
    """A number of bytes, short: ``17 B``, ``34.5 MiB``."""
    power = min(int(math.log(count, _STEP)), len(_UNITS) - 1) if count >= 1 else 0
    return f"{count / _STEP**power:.{1 if power else 0}f} {_UNITS[power]}"


def duration(seconds: float) -> str:
    """A time span, as exact as is of use: ``0.4 s``, ``12 s``, ``4 min 3 s``, ``2 h 5 min``, ``3 d 4 h``."""
    if seconds < 10:  # noqa: PLR2004 - below that a tenth matters
        return f"{max(0.0, seconds):.1f} s"
    whole = round(seconds)
    for large, small, names in ((_DAY, _HOUR, "d h"), (_HOUR, _MINUTE, "h min"), (_MINUTE, 1, "min s")):
        if whole >= large:
            first, second = names.split()
            rest = whole % large // small
            return f"{whole // large} {first}" + (f" {rest} {second}" if rest else "")
    return f"{whole} s"


def moment(at: float, now: float) -> str:
    """Local time of day; with the date where that is not today's."""
    then, today = time.localtime(at), time.localtime(now)
    return time.strftime("%H:%M:%S" if then[:3] == today[:3] else "%Y-%m-%d %H:%M:%S", then)


def ordinal(number: int) -> str:
    """``first`` to ``tenth``, then ``11th``."""
    if number <= len(_ORDINALS):
        return _ORDINALS[number - 1]
    ending = "th" if number % 100 in _TEENS else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


def count(number: int, thing: str) -> str:
    """``1 file``, ``2,000 files``."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def paused_now(routes: Sequence[str]) -> str:
    """Which routes send nothing."""
    return f"Paused: {', '.join(routes)}." if routes else "No route is paused."
