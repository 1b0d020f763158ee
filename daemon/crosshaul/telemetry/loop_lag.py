"""The lag of the event loop: how much later than planned it wakes up, because something blocks it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from crosshaul.concurrency.clock import Clock


class LagMeter:
    """Measures the event loop's lag. A blockage of N seconds shows as N minus at most ``interval``."""

    def __init__(self, record: Callable[[float], None], clock: Clock, interval: float = 0.2) -> None:
        self._record = record
        self._clock = clock
        self._interval = interval
        self.max = 0.0
        """The worst lag seen, in seconds."""

    async def run(self, stop: asyncio.Event) -> None:
        """Measure until ``stop`` is set."""
        while not stop.is_set():
            due = self._clock.monotonic() + self._interval
            await self._clock.sleep(self._interval)
            lag = max(0.0, self._clock.monotonic() - due)
            self.max = max(self.max, lag)
            self._record(lag)
