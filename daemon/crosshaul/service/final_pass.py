"""The final pass of ``run --finish``: rescan and deliver every settled file before the daemon exits.

It is for pods whose volume disappears with the daemon. An ordinary stop starts no new uploads, because pending files
are still there at the next start.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

from crosshaul.concurrency.waiting import run_unless, wait_first
from crosshaul.errors import SourceError
from crosshaul.model import UNFINISHED, DestinationState
from crosshaul.service.runtime import Runtime
from crosshaul.telemetry.logger import Logger

_POLL_SECONDS = 0.1


class FinalPass:
    """A support service. ``over`` is set when no file can be delivered any more, or shutdown_timeout has passed."""

    def __init__(self, runtime: Runtime, requested: asyncio.Event, forced: asyncio.Event, log: Logger) -> None:
        self.over = asyncio.Event()
        self.undelivered = 0
        """Files that are not delivered at the end of the pass."""
        self._runtime = runtime
        self._requested = requested
        self._forced = forced
        self._log = log

    async def run(self, stop: asyncio.Event) -> None:
        """Wait for the shutdown request; then rescan and deliver, within shutdown_timeout."""
        await wait_first([], self._requested, stop)
        # One timeout for pass and drain: at its end uploads are cut off, and get no second timeout.
        asyncio.get_running_loop().call_later(self._runtime.config.shutdown_timeout, self._forced.set)
        try:
            await run_unless(self._deliver_all(), self._forced, stop)
            self.undelivered = await self._count_unfinished()
            self._log_result(await self._count_sources())
        finally:
            self.over.set()
        await stop.wait()

    def _log_result(self, sources: int) -> None:
        (self._log.warning if self.undelivered else self._log.info)(
            "final_pass", undelivered=self.undelivered, sources_left=sources
        )

    async def _deliver_all(self) -> None:
        scans = (route.intake.scan_once() for route in self._runtime.routes.values())
        for result in await asyncio.gather(*scans, return_exceptions=True):
            if isinstance(result, SourceError):
                self._log.warning("scan_failed", reason=str(result))
            elif isinstance(result, BaseException):
                raise result
        while await self._count_unfinished(self._can_deliver):  # noqa: ASYNC110 - the journal has no event for it
            await asyncio.sleep(_POLL_SECONDS)

    async def _count_unfinished(self, included: Callable[[str], bool] = lambda _route: True) -> int:
        """Return how many files of the included routes are not delivered."""
        counts = await self._runtime.journal.route_counts()
        ours = [count for count in counts if count.route in self._runtime.routes]
        return sum(count.count(*UNFINISHED) for count in ours if included(count.route))

    async def _count_sources(self) -> int:
        """Return how many delivered files are still to be deleted or moved."""
        return sum([await self._runtime.journal.count_overdue(route, math.inf) for route in self._runtime.routes])

    def _can_deliver(self, route: str) -> bool:
        """Return whether files of ``route`` may be delivered: it is not paused, and its destination not parked."""
        parked = self._runtime.destination_of(route).reporter.status.state is DestinationState.PARKED
        return not parked and route not in self._runtime.paused
