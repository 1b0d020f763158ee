"""Bandwidth by the time of day, and the token bucket that keeps to it. Pure arithmetic over given times."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import time

_CREDIT_SECONDS = 0.05
"""Unused time that may be made up for: an event loop wakes up to a millisecond late for each piece."""


@dataclass(frozen=True, slots=True)
class RateStep:
    """A rate in bytes per second (None = no limit) from ``start`` on (local time of day; None = always)."""

    start: time | None
    bytes_per_second: int | None


def rate_at(steps: Sequence[RateStep], local: time) -> int | None:
    """Return the rate at a local time of day. The day's last step holds until the first step of the next day."""
    if not steps:
        return None
    begun = [step for step in steps if step.start is None or step.start <= local]
    return (begun or steps)[-1].bytes_per_second


class TokenBucket:
    """Bytes that may be sent, refilled at a rate. A piece may overdraw it; the next one waits for the refill."""

    def __init__(self) -> None:
        self._level = 0.0
        self._filled_at = float("-inf")

    def wait(self, rate: int | None, now: float) -> float:
        """Return the seconds until a piece may be sent, at ``rate`` bytes per second (None = no limit)."""
        if rate is None:
            self._level = 0.0
        else:
            elapsed = now - self._filled_at
            self._level = min(rate * _CREDIT_SECONDS, self._level + rate * elapsed)
        self._filled_at = now
        return 0.0 if rate is None or self._level > -1 else -self._level / rate

    def take(self, size: int) -> None:
        """Take ``size`` bytes; a negative ``size`` returns bytes that were not sent."""
        self._level -= size
