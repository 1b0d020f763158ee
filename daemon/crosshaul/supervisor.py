"""Named services in one TaskGroup: the kind of error decides whether one is restarted or everything ends.

A service runs until its stop event and then drains. What can mend itself (the disk, the network, our own mistakes) is
restarted with a back-off; a CrosshaulError that says how to exit (a lock, a configuration) ends the daemon.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

from crosshaul.clock import Clock
from crosshaul.errors import CrosshaulError, ListenError, LockedError, NotReadyError
from crosshaul.retry import Policy

_FATAL = (ListenError, LockedError, NotReadyError)
_BACK_OFF = Policy(initial=1.0, max=30.0)
_HEALTHY_AFTER = 60.0
"""Seconds after which a restarted service counts as well again."""


class Log(Protocol):
    """Where restarts are told."""

    def error(self, event: str, **fields: object) -> None:
        """One event."""

    def exception(self, event: str, **fields: object) -> None:
        """One event, with the traceback of the exception being handled."""


@dataclass(frozen=True, slots=True)
class Service:
    """``run(stop)`` works until ``stop`` is set, then drains and returns."""

    name: str
    run: Callable[[asyncio.Event], Awaitable[None]]


class Supervisor:
    """Runs services until ``stop``; then lets them drain for ``drain_timeout`` seconds, then cancels them."""

    def __init__(self, clock: Clock, log: Log, drain_timeout: float) -> None:
        self._clock = clock
        self._log = log
        self._drain_timeout = drain_timeout

    async def run(self, services: Sequence[Service], stop: asyncio.Event, hurry: asyncio.Event) -> bool:
        """Run until ``stop``; True if all drained in time. ``hurry`` cuts the drain short.

        Raises the CrosshaulError of a service that ended for good.
        """
        tasks = [asyncio.create_task(self._keep(service, stop), name=service.name) for service in services]
        stopping = asyncio.create_task(stop.wait())
        try:
            await self._until_stopped(tasks, stopping)
            return await self._drain(tasks, hurry)
        finally:
            stop.set()
            await _cancel([*tasks, stopping])

    @asynccontextmanager
    async def around(self, services: Sequence[Service], hurry: asyncio.Event) -> AsyncIterator[None]:
        """Keep services up over the block, and have them drain after it."""
        stop = asyncio.Event()
        running = asyncio.create_task(self.run(services, stop, hurry))
        try:
            yield
        finally:
            stop.set()
            await running

    async def _until_stopped(self, tasks: list[asyncio.Task[None]], stopping: asyncio.Task[bool]) -> None:
        running: set[asyncio.Task[None]] = set(tasks)
        while running and not stopping.done():
            done, _ = await asyncio.wait([*running, stopping], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                if task is not stopping:
                    running.discard(task)
                    task.result()

    async def _drain(self, tasks: list[asyncio.Task[None]], hurry: asyncio.Event) -> bool:
        hurrying = asyncio.create_task(hurry.wait())
        drained = asyncio.create_task(_all(tasks))
        try:
            await asyncio.wait({drained, hurrying}, timeout=self._drain_timeout, return_when=asyncio.FIRST_COMPLETED)
            return drained.done()
        finally:
            await _cancel([drained, hurrying])

    async def _keep(self, service: Service, stop: asyncio.Event) -> None:
        failures = 0
        while True:
            began = self._clock.monotonic()
            try:
                await service.run(stop)
                return
            except Exception as error:
                known = _known(error)
                if isinstance(known, _FATAL):
                    raise known from error
                self._tell(service, known)
            failures = failures + 1 if self._clock.monotonic() - began < _HEALTHY_AFTER else 0
            if stop.is_set():
                return
            await self._pause(_BACK_OFF.delay(failures, 0.99), stop)

    def _tell(self, service: Service, known: CrosshaulError | None) -> None:
        if known is None:
            self._log.exception("service_failed", service=service.name)
        else:
            self._log.error("service_failed", service=service.name, error=str(known))

    async def _pause(self, seconds: float, stop: asyncio.Event) -> None:
        try:
            async with asyncio.timeout(seconds):
                await stop.wait()
        except TimeoutError:
            return


def _known(error: BaseException) -> CrosshaulError | None:
    """The error of ours in ``error``, which a service's own TaskGroup may have wrapped; None for a bug."""
    if isinstance(error, BaseExceptionGroup):
        known = [_known(member) for member in error.exceptions]
        return known[0] if all(known) else None
    return error if isinstance(error, CrosshaulError) else None


async def _all(tasks: Sequence[asyncio.Task[None]]) -> bool:
    await asyncio.gather(*tasks)
    return True


async def _cancel(tasks: Sequence[asyncio.Task[None] | asyncio.Task[bool]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
