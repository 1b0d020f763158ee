"""The Clock protocol, so that tests can control time, and the system's clock."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    """Wall time for what outlives the process, monotonic time for everything else."""

    def now(self) -> float:
        """Return seconds since the epoch. The value may jump."""

    def monotonic(self) -> float:
        """Return seconds since an arbitrary moment. The value never jumps."""

    async def sleep(self, seconds: float) -> None:
        """Wait ``seconds``."""


class SystemClock:
    """The machine's own clock."""

    def now(self) -> float:
        """Return seconds since the epoch."""
        return time.time()

    def monotonic(self) -> float:
        """Return seconds since an arbitrary moment."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait ``seconds``."""
        await asyncio.sleep(max(0.0, seconds))
