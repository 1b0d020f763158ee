"""Parse and format durations, sizes and rates. Pure; a ValueError says what is wrong and what to write."""

from __future__ import annotations

import re
from collections.abc import Mapping

KIB, MIB, GIB, TIB = (1024**power for power in (1, 2, 3, 4))

_SIZES: Mapping[str, int] = {
    "": 1,
    "B": 1,
    "KiB": KIB,
    "MiB": MIB,
    "GiB": GIB,
    "TiB": TIB,
    "kB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
}
_DURATIONS: Mapping[str, float] = {"": 1, "ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
_QUANTITY = re.compile(r"(\d{1,18}(?:\.\d{1,9})?) ?([A-Za-z]*)", re.ASCII)


def parse_size(value: object) -> int:
    """Read a size in bytes: ``8MiB``, ``1.5GB``, ``512`` or a whole number."""
    amount = _amount(value, _SIZES)
    if amount is None:
        raise ValueError(
            f"{value!r} is not a size; write a number with B, KiB, MiB, GiB, TiB, kB, MB, GB or TB, for example 8MiB"
        )
    return int(amount)


def parse_duration(value: object) -> float:
    """Read a duration in seconds: ``500ms``, ``2s``, ``10m``, ``1.5h``, ``1d`` or a number of seconds."""
    amount = _amount(value, _DURATIONS)
    if amount is None:
        raise ValueError(f"{value!r} is not a duration; write a number with ms, s, m, h or d, for example 10m")
    return float(amount)


def parse_rate(value: object) -> int | None:
    """Read a rate in bytes per second: ``20MiB/s`` or a whole number; None for ``off``, which is no limit."""
    if value is None or value == "off":
        return None
    text = value.removesuffix("/s").rstrip() if isinstance(value, str) else value
    amount = _amount(text, _SIZES)
    if amount is None or (isinstance(value, str) and not value.endswith("/s") and not value.isdigit()):
        raise ValueError(f"{value!r} is not a rate; write a size per second such as 20MiB/s, or off for no limit")
    if amount < 1:
        raise ValueError("a rate of 0 would stop all uploads; write off for no limit, or a low rate such as 1kB/s")
    return int(amount)


def format_size(size: int) -> str:
    """Write a size as ``parse_size`` reads it, in the largest unit that fits exactly."""
    unit = next((unit for unit in ("TiB", "GiB", "MiB", "KiB") if size and size % _SIZES[unit] == 0), "B")
    return f"{size // _SIZES[unit]}{unit}"


def format_duration(seconds: float) -> str:
    """Write a duration as ``parse_duration`` reads it, in the largest unit that fits exactly."""
    unit = next((unit for unit in ("d", "h", "m") if seconds and seconds % _DURATIONS[unit] == 0), "s")
    return f"{seconds / _DURATIONS[unit]:g}{unit}"


def _amount(value: object, units: Mapping[str, float]) -> float | None:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return value if 0 <= value < 10**18 else None
    quantity = _QUANTITY.fullmatch(value) if isinstance(value, str) else None
    if quantity is None or quantity[2] not in units:
        return None
    number = float(quantity[1]) if "." in quantity[1] else int(quantity[1])
    return number * units[quantity[2]]
