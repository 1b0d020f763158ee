"""How fast: the limit on requests in flight, the bodies on a line, the bandwidth. Pure arithmetic over given times."""

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
class RateStep:
    """From ``start`` (local time of day; None = always) so many bytes a second; None = no limit."""

    start: time | None
    bytes_per_second: int | None


def rate_at(steps: Sequence[RateStep], local: time) -> int | None:
    """The bandwidth in force at a local time of day; the last step of yesterday holds until the first of today."""
    if not steps:
        return None
    begun = [step for step in steps if step.start is None or step.start <= local]
    return (begun or steps)[-1].bytes_per_second


_CREDIT = 0.05
"""Seconds of the line's time that may be made up for: an event loop wakes up to a millisecond late, piece by piece."""


class TokenBucket:
    """Bytes that may go, filled at a rate. A piece may overdraw it; the next one waits until that is paid."""

    def __init__(self) -> None:
        self._level = 0.0
        self._filled_at = float("-inf")

    def wait(self, rate: int | None, now: float) -> float:
        """Seconds until a piece may go, at ``rate`` bytes a second; None = at once."""
        if rate is None:
            self._level = 0.0
        else:
            elapsed = now - self._filled_at
            self._level = min(rate * _CREDIT, self._level + rate * elapsed)
        self._filled_at = now
        return 0.0 if rate is None or self._level > -1 else -self._level / rate

    def take(self, size: int) -> None:
        """So many bytes go; less than none were taken, and don't go."""
        self._level -= size


_SECONDS_OF_A_BODY = 60.0
_SECONDS_OF_A_LIMITED_BODY = 10.0
"""The same where a bandwidth limit is set: its line is full with one body, and a small file's turn comes soon."""
_BODIES = 2
"""At least: while one is answered, another fills the line."""
_MOST_CLIMBED = 8
_WORTH = 1.15
"""By which more bodies have to carry more, or they are too many."""
_PAUSE_BODIES, _LONGEST_PAUSE_BODIES = 4, 128


class SendWindow:
    """How many bodies go at once on a line: so many that each takes a minute at most, as far as bodies so far tell.

    Each body tells what the line carries: its own rate, times the bodies that shared the line. Where even two take more
    than a minute, one more is tried now and then, and stays if more is carried by it: a line may be slow, or only each
    connection on it (loss, a long way). Starts with ``first`` bytes.
    """

    def __init__(self, first: int) -> None:
        self._first = first
        self._rate: float | None = None
        self._bodies = _BODIES
        self._since = float("-inf")
        self._carried: list[float] = []
        self._usual: float | None = None
        self._pause, self._left = _PAUSE_BODIES, _PAUSE_BODIES

    def admits(self, size: int, bodies: int, in_flight: int, limit: int | None) -> bool:
        """Whether a body of ``size`` bytes may go beside so many others with so many bytes."""
        if limit is not None and bodies >= _BODIES:
            return in_flight + size <= min(self._bytes(), limit * _SECONDS_OF_A_LIMITED_BODY)
        return bodies < self._bodies or in_flight + size <= self._bytes()

    def _bytes(self) -> float:
        return self._first if self._rate is None else self._rate * _SECONDS_OF_A_BODY

    def finished(self, size: int, began: float, now: float, bodies: int) -> None:
        """A body that shared the line with so many, itself included, was answered."""
        carried = bodies * size / max(now - began, 0.001)
        self._rate = carried if self._rate is None else self._rate + (carried - self._rate) / 4
        if bodies >= self._bodies and began >= self._since and size * self._bodies > self._bytes():
            self._carried.append(carried)
            if len(self._carried) >= self._bodies:
                self._climb(now)

    def _climb(self, now: float) -> None:
        """Compare what as many bodies as may go carried with what one less did, or try one more."""
        carried = sum(self._carried) / len(self._carried)
        self._carried.clear()
        if self._usual is not None and carried < _WORTH * self._usual:
            self._go_on_with(self._bodies - 1, now)
            self._usual = None
            self._pause = self._left = min(2 * self._pause, _LONGEST_PAUSE_BODIES)
            return
        self._left -= self._bodies
        if self._usual is not None:
            self._pause = _PAUSE_BODIES
        if self._usual is not None or self._left <= 0:
            self._usual = carried if self._bodies < _MOST_CLIMBED else None
            self._left = self._pause
            self._go_on_with(min(self._bodies + 1, _MOST_CLIMBED), now)

    def _go_on_with(self, bodies: int, now: float) -> None:
        self._bodies, self._since = bodies, now

    def failed(self) -> None:
        """A body broke off, or stood still: the line may carry less."""
        if self._rate is not None:
            self._rate /= 2
        self._bodies, self._usual = _BODIES, None
        self._carried.clear()
