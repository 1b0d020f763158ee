"""Time as an argument: loops are given a Clock, so that tests can turn it."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    """Wall time for what outlives the process, monotonic time for what does not."""

    def now(self) -> float:
        """Seconds since the epoch; may jump."""

    def monotonic(self) -> float:
        """Seconds since some moment; never jumps."""

    async def sleep(self, seconds: float) -> None:
        """Come back after ``seconds``."""


class SystemClock:
    """The machine's own clock."""

    def now(self) -> float:
        """Seconds since the epoch."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds since some moment."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Come back after ``seconds``."""
        await asyncio.sleep(max(0.0, seconds))
