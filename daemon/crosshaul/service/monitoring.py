"""What the running daemon tells of itself: gauges, samples for the charts, the pages, a heartbeat for a monitor."""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import Any

from crosshaul.aws.heartbeat_client import ping
from crosshaul.config import HeartbeatConfig as Settings
from crosshaul.errors import ConfigError
from crosshaul.model import DestinationStatus, Record, RouteStatus, State
from crosshaul.service.runtime import Runtime
from crosshaul.service.supervisor import Service
from crosshaul.telemetry import logs
from crosshaul.telemetry.health import HealthReport, all_clear, live, ready
from crosshaul.telemetry.heartbeat import Heartbeat
from crosshaul.telemetry.history import SAMPLE_SECONDS, History
from crosshaul.telemetry.status import snapshot
from crosshaul.telemetry.web import PageSources, serving_when_possible

_GAUGES_EVERY = 2.0
_SHOWN = 20
"""Files of a kind that the status page shows."""
_WAITING = 10
"""Of those that wait it shows fewer: the first tell why the rest does."""


class Monitoring:
    """Asks the runtime, each time anew: a reload may have changed it."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._history = History()
        self._heartbeat = Heartbeat(logs.get("heartbeat"), self._ping)

    def services(self) -> list[Service]:
        """What goes on all the time."""
        return [
            Service("gauges", self._gauges),
            Service("history", self._samples),
            Service("heartbeat", self._beats),
        ]

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """The HTTP pages over the block, or nothing where ``http.listen`` is null. Raises ConfigError."""
        http = self._runtime.config.http
        if http.listen is None:
            yield
            return
        token = await asyncio.to_thread(http.secret)
        logs.conceal(token or "")
        listen = http.listen
        async with serving_when_possible(listen.host, listen.port, self._sources(), token, local=listen.local):
            yield

    def _sources(self) -> PageSources:
        runtime = self._runtime
        return PageSources(
            live=lambda: live(runtime.liveness),
            ready=self._is_ready,
            metrics=runtime.metrics.render,
            status=self._status,
            samples=self._history.samples,
            sending=partial(runtime.journal.uploading, _SHOWN),
            waiting=self._waiting,
            failed=partial(runtime.journal.quarantined, _SHOWN),
        )

    async def _waiting(self) -> list[Record]:
        """Of the files of all routes those that were seen first."""
        waiting = [await self._runtime.journal.longest_pending(route, _WAITING) for route in self._runtime.routes]
        return sorted(itertools.chain.from_iterable(waiting), key=lambda record: record.first_seen_at)[:_WAITING]

    async def _is_ready(self) -> HealthReport:
        return ready(self._runtime.journal.last_error, self._destinations())

    def _destinations(self) -> list[DestinationStatus]:
        return [pipeline.reporter.status for pipeline in self._runtime.destinations.values()]

    async def _status(self) -> dict[str, Any]:
        runtime = self._runtime
        return snapshot(
            await runtime.journal.route_counts(),
            self._destinations(),
            await self._routes(),
            runtime.clock.now(),
            daemon_pid=os.getpid(),
            journal_error=runtime.journal.last_error,
            configured_routes=list(runtime.routes),
            paused=runtime.paused,
        )

    async def _routes(self) -> list[RouteStatus]:
        """As the journal has them, but for what changes faster than it is saved."""
        ways = self._runtime.routes
        return [
            replace(each, settling=ways[each.name].intake.settling) if each.name in ways else each
            for each in await self._runtime.journal.routes()
        ]

    async def _gauges(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            runtime = self._runtime
            runtime.metrics.log_lines_dropped(logs.dropped())
            for tally in [each for each in await runtime.journal.route_counts() if each.route in runtime.routes]:
                oldest = tally.oldest_pending_at
                age = None if oldest is None else max(0.0, runtime.clock.now() - oldest)
                runtime.metrics.pending(tally.route, tally.pending, age)
                runtime.metrics.quarantined(tally.route, tally.count(State.QUARANTINED))
            for name, route in runtime.routes.items():
                runtime.metrics.overdue(name, route.source_finisher.overdue)
            for status in [each for each in await self._routes() if each.name in runtime.routes]:
                runtime.metrics.watched(status)
                runtime.metrics.paused(status.name, paused=status.name in runtime.paused)
            await _until(stop, _GAUGES_EVERY)

    async def _samples(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            self._history.add(await self._status(), await self._runtime.journal.bytes_in_parts())
            await _until(stop, SAMPLE_SECONDS)

    async def _beats(self, stop: asyncio.Event) -> None:
        # Not at once: what has just started is not well yet, and what starts over and over never is.
        await _until(stop, self._runtime.config.heartbeat.every)
        while not stop.is_set():
            await self._beat(self._runtime.config.heartbeat)
            await _until(stop, self._runtime.config.heartbeat.every)

    async def _beat(self, settings: Settings) -> None:
        try:
            url = await asyncio.to_thread(settings.secret)
        except ConfigError as error:
            self._heartbeat.failed(str(error))
            return
        if url is not None:
            logs.conceal(url)
            await self._heartbeat.beat(url, await self._is_well(settings.max_age))

    async def _ping(self, url: str) -> str | None:
        return await ping(url, self._runtime.config.identity.profile)

    async def _is_well(self, max_age: float) -> HealthReport:
        return all_clear(await self._status(), max_age, live(self._runtime.liveness), await self._is_ready())


async def _until(stop: asyncio.Event, seconds: float) -> None:
    """Wait for so long, or for ``stop``."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stop.wait()
