"""How fast: the adaptive limit on requests in flight, and the bandwidth bucket. Pure arithmetic over given times."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import time


class AdaptiveLimit:
    """Additive increase, multiplicative decrease: starts at the ceiling, and falls when the store pushes back.

    One decrease per ``hold`` seconds: the failures of one burst are one message. The first after a calm halves; while
    push-backs go on, each takes half of their share among the answers (as DCTCP does, RFC 8257), so that a store that
    refuses some is not asked for far less than it admits (benchmarks/slow_down.py).
    """

    def __init__(self, ceiling: int, hold: float = 1.0) -> None:
        self._ceiling = float(ceiling)
        self._limit = float(ceiling)
        self._hold = hold
        self._decreased_at = float("-inf")
        self._good = self._bad = 0
        self.taken = 0
        """How many requests were answered well, in all."""

    @property
    def limit(self) -> int:
        """Requests that may be in flight now, at least 1."""
        return int(self._limit)

    def succeeded(self) -> None:
        """One request was answered well."""
        self._good += 1
        self.taken += 1
        self._limit = min(self._ceiling, self._limit + 1.0 / self._limit)

    def pushed_back(self, now: float) -> None:
        """The store asked for less (SlowDown, 5xx, time-outs)."""
        self._bad += 1
        since = now - self._decreased_at
        if since < self._hold:
            return
        share = self._bad / (self._good + self._bad) if since < 2 * self._hold else 1.0
        self._limit = max(1.0, self._limit * (1 - share / 2))
        self._decreased_at, self._good, self._bad = now, 0, 0


@dataclass(frozen=True, slots=True)
class Step:
    """From ``start`` (local time of day; None = always) so many bytes a second; None = no limit."""

    start: time | None
    bytes_per_second: int | None


def rate_at(steps: Sequence[Step], local: time) -> int | None:
    """The bandwidth in force at a local time of day; the last step of yesterday holds until the first of today."""
    if not steps:
        return None
    begun = [step for step in steps if step.start is None or step.start <= local]
    return (begun or steps)[-1].bytes_per_second


_CREDIT = 0.05
"""Seconds of the line's time that may be made up for: an event loop wakes up to a millisecond late, piece by piece."""


class Bandwidth:
    """A queue for the line: each reservation is told how long to wait so that the rate holds over any few seconds."""

    def __init__(self) -> None:
        self._free_at = float("-inf")

    def reserve(self, size: int, rate: int | None, now: float) -> float:
        """Seconds to wait before sending ``size`` bytes at ``rate`` bytes a second."""
        if rate is None:
            self._free_at = now
            return 0.0
        begin = max(now - _CREDIT, self._free_at)
        self._free_at = begin + size / rate
        return max(0.0, begin - now)
