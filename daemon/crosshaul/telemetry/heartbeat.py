"""A monitor's address, asked for its effect alone: as long as it hears from us it stays quiet."""

from __future__ import annotations

import asyncio
from typing import Final

import aiohttp

from crosshaul.telemetry.health import Verdict
from crosshaul.telemetry.logs import Logger
from crosshaul.telemetry.streak import Streak

DEADLINE: Final = 10.0
"""Seconds from the name's look-up to the answer's head."""
_ANSWERED_WELL: Final = range(200, 300)


class Heartbeat:
    """Pings while all is well. First failure, a count at each doubling, then "recovered"; the address is a secret."""

    def __init__(self, log: Logger) -> None:
        self._log = log
        self._failures = Streak()
        self._withheld = False

    async def beat(self, url: str, verdict: Verdict) -> None:
        """Ping if the verdict is good; whatever becomes of it stands in the log."""
        if not verdict.ok:
            self._withhold(verdict)
            return
        if self._withheld:
            self._log.info("heartbeat_resumed")
        self._withheld = False
        if (why := await _asked(url)) is not None:
            self.failed(why)
        elif failures := self._failures.ended():
            self._log.info("heartbeat_recovered", failures=failures)

    def failed(self, why: str) -> None:
        """It could not be pinged."""
        if self._failures.failed():
            self._log.warning("heartbeat_failed", error=why, failures=self._failures.length)

    def _withhold(self, verdict: Verdict) -> None:
        if not self._withheld:
            self._log.warning("heartbeat_withheld", reasons=verdict.reasons)
        self._withheld = True


async def _asked(url: str) -> str | None:
    """Why it was no good; None if it was. The library's own words are not passed on: they can hold the address."""
    try:
        async with (
            asyncio.timeout(DEADLINE),
            aiohttp.ClientSession(trust_env=True) as session,
            session.get(url, allow_redirects=False) as answer,
        ):
            return None if answer.status in _ANSWERED_WELL else f"the monitor answered HTTP {answer.status}"
    except TimeoutError:
        return f"no answer from the monitor within {DEADLINE:.0f} s"
    except aiohttp.ClientConnectorCertificateError:
        return "the monitor's certificate is not to be trusted"
    except (aiohttp.ClientError, ValueError, OSError) as error:
        return f"the monitor can't be reached ({getattr(error, 'strerror', None) or type(error).__name__})"
