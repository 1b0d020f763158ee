"""Ping the URL of a monitoring service, which raises an alert when the pings stop (a dead man's switch)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from crosshaul.telemetry.failure_streak import FailureStreak
from crosshaul.telemetry.health import HealthReport
from crosshaul.telemetry.logger import Logger

Ping = Callable[[str], Awaitable[str | None]]
"""Requests a URL; returns the error, or None after a response of success."""


class Heartbeat:
    """Pings while the verdict is good; logs failed pings, and each withholding with its end. The URL is a secret."""

    def __init__(self, log: Logger, ping: Ping) -> None:
        self._log = log
        self._ping = ping
        self._failures = FailureStreak()
        self._withheld = False

    async def beat(self, url: str, verdict: HealthReport) -> None:
        """Ping if the verdict is good."""
        if not verdict.ok:
            self._withhold(verdict)
            return
        if self._withheld:
            self._log.info("heartbeat_resumed")
        self._withheld = False
        if (error := await self._ping(url)) is not None:
            self.failed(error)
        elif failures := self._failures.ended():
            self._log.info("heartbeat_recovered", failures=failures)

    def failed(self, error: str) -> None:
        """Log a ping that failed: the 1st, 2nd, 4th, ..."""
        if self._failures.failed():
            self._log.warning("heartbeat_failed", error=error, failures=self._failures.length)

    def _withhold(self, verdict: HealthReport) -> None:
        if not self._withheld:
            self._log.warning("heartbeat_withheld", reasons=verdict.reasons)
        self._withheld = True
