"""Before the end: look once more, and deliver all that is at rest. For whose directory goes when the daemon goes.

A stop as such begins nothing new, since what waits is still there at the next start. Beside a writer in a pod there is
none: what the writer left behind in its last seconds is delivered now or never.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

from crosshaul.errors import SourceError
from crosshaul.model import UNFINISHED, DestinationState
from crosshaul.service.runtime import Runtime
from crosshaul.telemetry.logger import Logger

_POLL = 0.1


class FinalPass:
    """A helper service. ``over`` is set when nothing is left that can go, or the time for it is up."""

    def __init__(self, runtime: Runtime, asked: asyncio.Event, hurry: asyncio.Event, log: Logger) -> None:
        self.over = asyncio.Event()
        self.left = 0
        """Files that stay behind."""
        self._runtime = runtime
        self._asked = asked
        self._hurry = hurry
        self._log = log

    async def run(self, stop: asyncio.Event) -> None:
        """Wait until the daemon is asked to end; then do the round, within ``shutdown_timeout``."""
        await _either(self._asked, stop)
        timeout = self._runtime.config.shutdown_timeout
        # The time is for all: what is still being sent at its end is cut off, and not given as much again.
        asyncio.get_running_loop().call_later(timeout, self._hurry.set)
        round_ = asyncio.create_task(self._round())
        hurried = asyncio.create_task(_either(self._hurry, stop))
        try:
            await asyncio.wait([round_, hurried], return_when=asyncio.FIRST_COMPLETED)
            if round_.done():
                round_.result()
            self.left = await self._left()
            sources = await self._sources()
            (self._log.warning if self.left else self._log.info)("last_round", left=self.left, sources_stay=sources)
        finally:
            round_.cancel()
            hurried.cancel()
            self.over.set()
        await stop.wait()

    async def _round(self) -> None:
        ways = self._runtime.routes.values()
        for result in await asyncio.gather(*(route.intake.sweep() for route in ways), return_exceptions=True):
            if isinstance(result, SourceError):
                self._log.warning("walk_failed", reason=str(result))
            elif isinstance(result, BaseException):
                raise result
        while await self._left(self._may_go):  # noqa: ASYNC110 - the journal tells nobody that it is through
            await asyncio.sleep(_POLL)

    async def _left(self, counts: Callable[[str], bool] = lambda _route: True) -> int:
        """How many files are not delivered, of the routes that count."""
        tallies = [tally for tally in await self._runtime.journal.route_counts() if tally.route in self._runtime.routes]
        return sum(tally.count(*UNFINISHED) for tally in tallies if counts(tally.route))

    async def _sources(self) -> int:
        """How many delivered files are to be deleted or moved, and are there still."""
        return sum([await self._runtime.journal.count_overdue(route, math.inf) for route in self._runtime.routes])

    def _may_go(self, route: str) -> bool:
        """Nothing goes of a paused route, nor to a destination that takes nothing."""
        taking = self._runtime.destination_of(route).reporter.status.state is not DestinationState.PARKED
        return taking and route not in self._runtime.paused


async def _either(*events: asyncio.Event) -> None:
    """Come back when one of them is set."""
    waits = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
