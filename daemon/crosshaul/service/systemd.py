"""Notify the service manager: readiness, status, watchdog, and more time while a start or a drain makes progress."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from crosshaul.concurrency.clock import Clock
from crosshaul.concurrency.waiting import wait_event
from crosshaul.config import Config
from crosshaul.model import DestinationState
from crosshaul.service.builder import open_runtime
from crosshaul.service.runtime import Runtime
from crosshaul.telemetry.health import live
from crosshaul.telemetry.loop_lag import LagMeter
from crosshaul.telemetry.sd_notify import Notifier

_NOTIFY_SECONDS = 5.0
_POLL_SECONDS = 0.1
_START_EXTENSION_SECONDS = 60.0
"""Time that a start asks for, every 5 s, while the journal is opened."""
_DRAIN_EXTENSION_SECONDS = 15.0
"""Time that a drain asks for while files arrive: three notifications, so that a late one does no harm."""


@asynccontextmanager
async def open_runtime_extending_start(config: Config, clock: Clock, notifier: Notifier) -> AsyncIterator[Runtime]:
    """Open the runtime, and ask the service manager for more time until it is open.

    The check of a journal with millions of files takes minutes, and a start that is cut off would begin it again.
    """
    extending = asyncio.create_task(_extend_start(notifier))
    try:
        async with open_runtime(config, config.routes, clock) as runtime:
            extending.cancel()
            yield runtime
    finally:
        extending.cancel()


async def _extend_start(notifier: Notifier) -> None:
    while True:
        notifier.status("Starting: opening and checking the journal.")
        notifier.extend(_START_EXTENSION_SECONDS)
        await asyncio.sleep(_NOTIFY_SECONDS)


class SystemdNotifier:
    """A support service: it notifies until the drain of the delivery services has ended."""

    def __init__(self, notifier: Notifier, runtime: Runtime, lag: LagMeter, draining: asyncio.Event) -> None:
        self._notifier = notifier
        self._runtime = runtime
        self._lag = lag
        self._draining = draining
        self._notify_seconds = min(_NOTIFY_SECONDS, (notifier.watchdog_seconds or _NOTIFY_SECONDS * 4) / 4)
        self._taken = 0

    async def run(self, stop: asyncio.Event) -> None:
        """Notify until ``stop``."""
        while not stop.is_set() and not self._is_ready():
            await wait_event(stop, _POLL_SECONDS)
        self._notifier.ready()
        while not stop.is_set():
            self._notifier.status(await self._status())
            self._report_progress()
            await wait_event(stop, self._notify_seconds)

    def _is_ready(self) -> bool:
        """Return whether each destination has credentials, or was refused them."""
        statuses = [pipeline.reporter.status for pipeline in self._runtime.destinations.values()]
        return all(status.state is not DestinationState.STARTING or status.last_error for status in statuses)

    def _report_progress(self) -> None:
        """Feed the watchdog if all loops beat and the event loop was in time; extend a drain if files arrived."""
        lag, self._lag.max = self._lag.max, 0.0
        if live(self._runtime.liveness).ok and lag < (self._notifier.watchdog_seconds or float("inf")) / 2:
            self._notifier.keep_alive()
        if self._draining.is_set():
            self._notifier.stopping()
            taken = sum(pipeline.transfer.accepted_bodies for pipeline in self._runtime.destinations.values())
            if taken != self._taken:
                self._notifier.extend(_DRAIN_EXTENSION_SECONDS)
            self._taken = taken

    async def _status(self) -> str:
        counts = await self._runtime.journal.route_counts()
        pending = sum(count.pending for count in counts)
        uploading = sum(len(pipeline.reporter.uploading) for pipeline in self._runtime.destinations.values())
        states = ", ".join(
            f"{name} {pipeline.reporter.status.state}" for name, pipeline in self._runtime.destinations.items()
        )
        activity = "Draining" if self._draining.is_set() else "Running"
        return f"{activity}: {pending:,} files pending, {uploading:,} uploading; {states}."
