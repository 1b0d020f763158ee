"""Keeps the service manager informed: when it is ready, how it goes, that it moves, that a drain gets on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from crosshaul.concurrency.clock import Clock
from crosshaul.config import Config
from crosshaul.model import DestinationState
from crosshaul.service.builder import open_runtime
from crosshaul.service.runtime import Runtime
from crosshaul.telemetry.health import live
from crosshaul.telemetry.lag import LagMeter
from crosshaul.telemetry.sd_notify import Notifier

_EVERY = 5.0
_POLL = 0.1
_START_EXTENSION = 60.0
"""Seconds that a start asks for, each 5 s, while the journal is opened."""
_EXTENSION = 15.0
"""Seconds that a drain asks for while it gets on; three rounds, so that one late round ends nothing."""


@asynccontextmanager
async def open_runtime_extending_start(config: Config, clock: Clock, notifier: Notifier) -> AsyncIterator[Runtime]:
    """Open everything as ``open_runtime`` does, and ask the service manager for time for as long as that takes.

    A journal of millions of files is checked for minutes, and a start that is cut off would begin the check anew.
    """
    asking = asyncio.create_task(_ask_for_time(notifier))
    try:
        async with open_runtime(config, config.routes, clock) as runtime:
            asking.cancel()
            yield runtime
    finally:
        asking.cancel()


async def _ask_for_time(notifier: Notifier) -> None:
    while True:
        notifier.status("Starting: the journal is opened and checked.")
        notifier.extend(_START_EXTENSION)
        await asyncio.sleep(_EVERY)


class SystemdNotifier:
    """A helper service: it runs until the last file of a drain is through."""

    def __init__(self, notifier: Notifier, runtime: Runtime, lag: LagMeter, draining: asyncio.Event) -> None:
        self._notifier = notifier
        self._runtime = runtime
        self._lag = lag
        self._draining = draining
        self._every = min(_EVERY, (notifier.watchdog_seconds or _EVERY * 4) / 4)
        self._moved = 0

    async def run(self, stop: asyncio.Event) -> None:
        """Tell, until ``stop``."""
        while not stop.is_set() and not self._tried():
            await self._wait(stop, _POLL)
        self._notifier.ready()
        while not stop.is_set():
            self._notifier.status(await self._told())
            self._prove()
            await self._wait(stop, self._every)

    def _tried(self) -> bool:
        """Whether each destination has credentials, or is known to be refused them."""
        states = [pipeline.reporter.status for pipeline in self._runtime.destinations.values()]
        return all(each.state is not DestinationState.STARTING or each.last_error is not None for each in states)

    def _prove(self) -> None:
        """Only what was seen to move is told: the loops beat, and the event loop was not late."""
        late, self._lag.max = self._lag.max, 0.0
        if live(self._runtime.liveness).ok and late < (self._notifier.watchdog_seconds or float("inf")) / 2:
            self._notifier.keep_alive()
        if self._draining.is_set():
            self._notifier.stopping()
            moved = sum(pipeline.transfer.accepted_bodies for pipeline in self._runtime.destinations.values())
            if moved != self._moved:
                self._notifier.extend(_EXTENSION)
            self._moved = moved

    async def _told(self) -> str:
        tallies = await self._runtime.journal.route_counts()
        pending = sum(tally.pending for tally in tallies)
        sending = sum(len(pipeline.reporter.uploading) for pipeline in self._runtime.destinations.values())
        states = ", ".join(
            f"{name} {pipeline.reporter.status.state}" for name, pipeline in self._runtime.destinations.items()
        )
        doing = "Draining" if self._draining.is_set() else "Running"
        return f"{doing}: {pending:,} files pending, {sending:,} uploading; {states}."

    async def _wait(self, stop: asyncio.Event, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await stop.wait()
