"""Monitoring of the running daemon: gauges, samples for the charts, the HTTP pages and the heartbeat."""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Any

from crosshaul.concurrency.waiting import wait_event
from crosshaul.config import HeartbeatConfig as Settings
from crosshaul.errors import ConfigError
from crosshaul.model import DestinationStatus, Record, RouteCounts, RouteStatus, State
from crosshaul.service.heartbeat_ping import ping
from crosshaul.service.runtime import Runtime
from crosshaul.service.supervisor import Service
from crosshaul.telemetry import logs
from crosshaul.telemetry.health import HealthReport, all_clear, live, ready
from crosshaul.telemetry.heartbeat import Heartbeat
from crosshaul.telemetry.history import SAMPLE_SECONDS, History
from crosshaul.telemetry.status import snapshot
from crosshaul.telemetry.web import PageSources, serving_when_possible

_GAUGE_SECONDS = 2.0
_SHOWN_FILES = 20
"""Files of a state that the status page shows."""
_SHOWN_PENDING = 10
"""Pending files that the page shows: fewer, because the first ones show why the others wait."""


class Monitoring:
    """Reads the runtime at each use, because a reload may have changed it."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._history = History()
        self._heartbeat = Heartbeat(logs.get("heartbeat"), self._ping)

    def services(self) -> list[Service]:
        """List the services that update gauges, charts and heartbeat."""
        return [
            Service("gauges", self._update_gauges),
            Service("history", self._record_history),
            Service("heartbeat", self._send_heartbeats),
        ]

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Serve the HTTP pages for the length of the block, unless ``http.listen`` is null. Raises ConfigError."""
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
            sending=partial(runtime.journal.uploading, _SHOWN_FILES),
            waiting=self._longest_pending,
            failed=partial(runtime.journal.quarantined, _SHOWN_FILES),
        )

    async def _longest_pending(self) -> list[Record]:
        """Return the pending files of all routes that were seen first."""
        routes = self._runtime.routes
        pending = [await self._runtime.journal.longest_pending(route, _SHOWN_PENDING) for route in routes]
        by_age = sorted(itertools.chain.from_iterable(pending), key=lambda record: record.first_seen_at)
        return by_age[:_SHOWN_PENDING]

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
        """Return the journal's routes, with the current number of settling files: the journal saves it late."""
        running = self._runtime.routes
        return [
            replace(status, settling=running[status.name].intake.settling) if status.name in running else status
            for status in await self._runtime.journal.routes()
        ]

    async def _update_gauges(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            metrics, routes = self._runtime.metrics, self._runtime.routes
            metrics.log_lines_dropped(logs.dropped())
            self._update_counts(await self._runtime.journal.route_counts())
            for name, pipeline in routes.items():
                metrics.overdue(name, pipeline.source_finisher.overdue)
            for status in [status for status in await self._routes() if status.name in routes]:
                metrics.watched(status)
                metrics.paused(status.name, paused=status.name in self._runtime.paused)
            await wait_event(stop, _GAUGE_SECONDS)

    def _update_counts(self, route_counts: Sequence[RouteCounts]) -> None:
        runtime = self._runtime
        for counts in [counts for counts in route_counts if counts.route in runtime.routes]:
            oldest = counts.oldest_pending_at
            age = None if oldest is None else max(0.0, runtime.clock.now() - oldest)
            runtime.metrics.pending(counts.route, counts.pending, age)
            runtime.metrics.quarantined(counts.route, counts.count(State.QUARANTINED))

    async def _record_history(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            self._history.add(await self._status(), await self._runtime.journal.bytes_in_parts())
            await wait_event(stop, SAMPLE_SECONDS)

    async def _send_heartbeats(self, stop: asyncio.Event) -> None:
        # The first one follows a full interval, so that a daemon that keeps restarting never sends one.
        await wait_event(stop, self._runtime.config.heartbeat.every)
        while not stop.is_set():
            await self._send_heartbeat(self._runtime.config.heartbeat)
            await wait_event(stop, self._runtime.config.heartbeat.every)

    async def _send_heartbeat(self, settings: Settings) -> None:
        try:
            url = await asyncio.to_thread(settings.secret)
        except ConfigError as error:
            self._heartbeat.failed(str(error))
            return
        if url is not None:
            logs.conceal(url)
            await self._heartbeat.beat(url, await self._is_all_clear(settings.max_age))

    async def _ping(self, url: str) -> str | None:
        return await ping(url, self._runtime.config.identity.profile)

    async def _is_all_clear(self, max_age: float) -> HealthReport:
        return all_clear(await self._status(), max_age, live(self._runtime.liveness), await self._is_ready())
