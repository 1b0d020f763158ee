"""Push once instead of running a daemon: scan, settle, upload, and finish the sources."""

from __future__ import annotations

import asyncio
import signal

from crosshaul.concurrency.clock import SystemClock
from crosshaul.concurrency.waiting import run_unless
from crosshaul.config import Config, Route
from crosshaul.errors import StoppedError
from crosshaul.model import PushSummary, RouteCounts, State
from crosshaul.service.builder import open_runtime
from crosshaul.service.push_counter import TICK_SECONDS, PushCounter
from crosshaul.service.push_report import PushObserver, PushReport
from crosshaul.service.route_choice import chosen_routes
from crosshaul.service.runtime import Runtime
from crosshaul.service.shutdown import Shutdown
from crosshaul.service.supervisor import Service, Supervisor
from crosshaul.telemetry import logs

_MAX_REFUSALS = 3
"""Refused canaries after which a push stops waiting for a parked destination."""
_MAX_UNREACHABLE_SECONDS = 15.0
"""Time without a response after which a push stops waiting for a destination."""


async def push(config: Config, names: tuple[str, ...], observer: PushObserver) -> PushSummary:
    """Deliver every new and changed file of the routes ``names`` (empty = all).

    Raises ConfigError for an unknown route, LockedError, StateDirError, SourceError if a root can't be read;
    StoppedError after SIGTERM, once the uploads have ended or shutdown_timeout is over.
    """
    routes = chosen_routes(config, names)
    shutdown = Shutdown(config.shutdown_timeout)
    shutdown.listen(signal.SIGTERM)
    summary = await run_unless(_push_routes(config, routes, observer, shutdown.forced), shutdown.requested)
    if summary is None:
        raise StoppedError("Stopped: undelivered files stay in the journal, and the next push continues with them.")
    return summary


async def _push_routes(
    config: Config, routes: tuple[Route, ...], observer: PushObserver, forced: asyncio.Event
) -> PushSummary:
    clock, log = SystemClock(), logs.get("crosshaul")
    async with open_runtime(config, routes, clock) as runtime:
        await runtime.journal.make_due(list(runtime.routes))
        support, transfers = (Supervisor(clock, log, config.shutdown_timeout) for _ in range(2))
        push_pass = _PushPass(runtime, observer)
        attending = [Service(f"attend.{name}", route.intake.run_checks) for name, route in runtime.routes.items()]
        services = [*attending, *runtime.transfer_services(), *runtime.abort_services()]
        async with support.around(runtime.support_services(), forced), transfers.around(services, forced):
            await push_pass.run()
        return await push_pass.report.summary()


class _PushPass:
    """Scans each root, and waits until all settled files are delivered or given up."""

    def __init__(self, runtime: Runtime, observer: PushObserver) -> None:
        self._runtime = runtime
        self._observer = observer
        self._counter = PushCounter()
        self.report = PushReport(runtime, self._counter)
        for pipeline in runtime.destinations.values():
            pipeline.reporter.on_attempt_finished = self._counter.on_ended

    async def run(self) -> None:
        """Scan, send and finish. Raises SourceError if a root can't be read."""
        async with asyncio.TaskGroup() as group:
            showing = group.create_task(self._show_progress())
            await self._scan()
            while await self._may_deliver_more():
                await self._counter.wait_for_attempt()
            await asyncio.gather(*(route.source_finisher.drain() for route in self._runtime.routes.values()))
            showing.cancel()
        self._observer.tick(await self.report.progress())

    async def _scan(self) -> None:
        scans = (route.intake.scan_once() for route in self._runtime.routes.values())
        for result in await asyncio.gather(*scans, return_exceptions=True):
            if isinstance(result, BaseException):
                raise result

    async def _may_deliver_more(self) -> bool:
        """Return whether any file may still be delivered. None is for a destination that refuses or is unreachable."""
        return any(
            self._may_deliver(counts) for counts in await self.report.counts() if not self._is_refused(counts.route)
        )

    def _may_deliver(self, counts: RouteCounts) -> bool:
        to_send = counts.count(State.PENDING, State.UPLOADING)
        if to_send > len(self._counter.given_up.get(counts.route, ())):
            return True
        # A file that changed at its upload is queued again only if intake sees it: its root may be gone.
        changed = counts.count(State.CHANGED) - len(self._counter.restless.get(counts.route, ()))
        return changed > 0 and self._runtime.routes[counts.route].intake.busy

    def _is_refused(self, route: str) -> bool:
        reporter = self._runtime.destination_of(route).reporter
        return reporter.refused_canaries >= _MAX_REFUSALS or reporter.unreachable_seconds >= _MAX_UNREACHABLE_SECONDS

    async def _show_progress(self) -> None:
        while True:
            self._observer.tick(await self.report.progress())
            await asyncio.sleep(TICK_SECONDS)
