"""A monitor's address, asked for its effect alone: as long as it hears from us it stays quiet."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from crosshaul.telemetry.failure_streak import FailureStreak
from crosshaul.telemetry.health import HealthReport
from crosshaul.telemetry.logger import Logger

Ask = Callable[[str], Awaitable[str | None]]
"""Asks an address; returns why it gave no good answer, or None."""


class Heartbeat:
    """Pings while all is well. First failure, a count at each doubling, then "recovered"; the address is a secret."""

    def __init__(self, log: Logger, ask: Ask) -> None:
        self._log = log
        self._ask = ask
        self._failures = FailureStreak()
        self._withheld = False

    async def beat(self, url: str, verdict: HealthReport) -> None:
        """Ping if the verdict is good; whatever becomes of it stands in the log."""
        if not verdict.ok:
            self._withhold(verdict)
            return
        if self._withheld:
            self._log.info("heartbeat_resumed")
        self._withheld = False
        if (why := await self._ask(url)) is not None:
            self.failed(why)
        elif failures := self._failures.ended():
            self._log.info("heartbeat_recovered", failures=failures)

    def failed(self, why: str) -> None:
        """It could not be pinged."""
        if self._failures.failed():
            self._log.warning("heartbeat_failed", error=why, failures=self._failures.length)

    def _withhold(self, verdict: HealthReport) -> None:
        if not self._withheld:
            self._log.warning("heartbeat_withheld", reasons=verdict.reasons)
        self._withheld = True
