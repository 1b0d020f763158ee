"""Run named services: restart those that fail, and end the daemon for errors that no restart can fix.

A service runs until its stop event and then drains. A service that fails for a cause that may pass (the disk, the
network, a bug) is restarted with a back-off, and so is one that ends without a stop. A lost lock, a failed readiness
check and a damaged or replaced journal end the daemon.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from crosshaul.concurrency.backoff import Backoff
from crosshaul.concurrency.clock import Clock
from crosshaul.concurrency.waiting import cancel_all, wait_event, wait_first
from crosshaul.errors import (
    CrosshaulError,
    JournalDamagedError,
    JournalMovedError,
    LockedError,
    NotReadyError,
)
from crosshaul.telemetry.failure_streak import FailureStreak
from crosshaul.telemetry.logger import Logger

_FATAL = (JournalDamagedError, JournalMovedError, LockedError, NotReadyError)
_BACKOFF = Backoff(initial=1.0, max=30.0)
_HEALTHY_SECONDS = 60.0
"""Time after which a restarted service counts as recovered."""


@dataclass(frozen=True, slots=True)
class Service:
    """A named loop: ``run(stop)`` works until ``stop`` is set, then drains and returns."""

    name: str
    run: Callable[[asyncio.Event], Coroutine[Any, Any, None]]


@dataclass(frozen=True, slots=True)
class _RunningService:
    """The task of a service, and the event that stops it."""

    task: asyncio.Task[bool]
    stop: asyncio.Event


class Supervisor:
    """Runs services until ``stop``, lets them drain for ``drain_timeout`` seconds, then cancels them."""

    def __init__(self, clock: Clock, log: Logger, drain_timeout: float) -> None:
        self._clock = clock
        self._log = log
        self._drain_timeout = drain_timeout
        self._running: dict[Service, _RunningService] = {}
        self._changed = asyncio.Event()

    async def run(self, services: Sequence[Service], stop: asyncio.Event, forced: asyncio.Event) -> bool:
        """Run ``services`` until ``stop``; return True if all drained in time without an error.

        ``forced`` cuts the drain short. Raises the fatal CrosshaulError of a service, also one raised in the drain.
        """
        self._running = {service: self._start(service) for service in services}
        try:
            await self._watch(stop)
            return await self._drain(list(self._running.values()), forced)
        finally:
            for running in self._running.values():
                running.stop.set()
            await cancel_all([running.task for running in self._running.values()])

    async def reconcile(self, services: Sequence[Service]) -> bool:
        """Start the services that are new and drain those that are not in ``services``.

        Return True if these drained in time without an error.
        """
        for service in services:
            if service not in self._running:
                self._running[service] = self._start(service)
        leaving = {service: running for service, running in self._running.items() if service not in services}
        self._changed.set()
        drained = await self._drain(list(leaving.values()), asyncio.Event())
        await cancel_all([running.task for running in leaving.values()])
        for service in leaving:
            self._running.pop(service, None)
        return drained

    @asynccontextmanager
    async def around(self, services: Sequence[Service], forced: asyncio.Event) -> AsyncIterator[None]:
        """Run services for the length of the block and drain them after it. A fatal error of one ends the block."""
        stop = asyncio.Event()
        running = asyncio.create_task(self.run(services, stop, forced))
        try:
            async with _cancelled_with(running):
                yield
        finally:
            stop.set()
            await running

    def _start(self, service: Service) -> _RunningService:
        stop = asyncio.Event()
        return _RunningService(asyncio.create_task(self._keep_running(service, stop), name=service.name), stop)

    async def _watch(self, stop: asyncio.Event) -> None:
        """Wait for ``stop``. Raises the fatal error of a service that ends before."""
        while not stop.is_set():
            self._changed.clear()
            tasks = [running.task for running in self._running.values() if not running.stop.is_set()]
            await wait_first(tasks, stop, self._changed)
            if not stop.is_set():
                for task in tasks:
                    if task.done():
                        task.result()

    async def _drain(self, services: Sequence[_RunningService], forced: asyncio.Event) -> bool:
        for running in services:
            running.stop.set()
        tasks = [running.task for running in services]
        drained = asyncio.create_task(_wait_all(tasks))
        try:
            await wait_first([drained], forced, timeout=self._drain_timeout)
        finally:
            await cancel_all([drained])
        for task in tasks:
            if not task.done():
                self._log.error("service_cut_off", service=task.get_name())
        results = [task.result() for task in tasks if task.done()]
        return len(results) == len(tasks) and all(results)

    async def _keep_running(self, service: Service, stop: asyncio.Event) -> bool:
        """Run a service, again after each failure, until ``stop``; return whether its last run ended well."""
        streak = FailureStreak()
        while True:
            began = self._clock.monotonic()
            healthy = asyncio.get_running_loop().call_later(_HEALTHY_SECONDS, self._log_recovery, service, streak)
            try:
                if await self._run_once(service, stop, streak):
                    return True
            finally:
                healthy.cancel()
            if stop.is_set():
                return False
            quick = self._clock.monotonic() - began < _HEALTHY_SECONDS
            await wait_event(stop, _BACKOFF.delay(streak.length if quick else 0, 0.99))

    def _log_recovery(self, service: Service, streak: FailureStreak) -> None:
        if failures := streak.ended():
            self._log.info("service_recovered", service=service.name, failures=failures)

    async def _run_once(self, service: Service, stop: asyncio.Event, streak: FailureStreak) -> bool:
        try:
            await service.run(stop)
        except asyncio.CancelledError:
            if _is_cancelled():
                raise
            self._log_failure(service, None, streak)  # not this task, but one that the service awaits, was cancelled
            return False
        except Exception as error:  # of any kind: the other services continue
            known = _known(error)
            if isinstance(known, _FATAL):
                raise known from error
            self._log_failure(service, known, streak)
            return False
        if not stop.is_set():
            self._log_failure(service, CrosshaulError("the service ended without a stop"), streak)
        return stop.is_set()

    def _log_failure(self, service: Service, known: CrosshaulError | None, streak: FailureStreak) -> None:
        if not streak.failed():
            return
        if known is None:
            self._log.exception("service_failed", service=service.name, failures=streak.length)
        else:
            self._log.error("service_failed", service=service.name, failures=streak.length, error=str(known))


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _known(error: BaseException) -> CrosshaulError | None:
    """Return the CrosshaulError in ``error``, which a TaskGroup may have wrapped; None for a bug."""
    leaves = list(_leaves(error))
    known = [leaf for leaf in leaves if isinstance(leaf, CrosshaulError)]
    fatal = [leaf for leaf in known if isinstance(leaf, _FATAL)]
    if fatal:
        return fatal[0]
    return known[0] if len(known) == len(leaves) else None


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for member in error.exceptions:
            yield from _leaves(member)
    else:
        yield error


@asynccontextmanager
async def _cancelled_with(running: asyncio.Task[bool]) -> AsyncIterator[None]:
    """Cancel the block if ``running`` ends before it; awaiting ``running`` then raises the reason."""
    block = asyncio.current_task()
    assert block is not None  # noqa: S101 - a coroutine runs in a task
    cancels_before, cut = block.cancelling(), False

    def cancel_block(_: asyncio.Task[bool]) -> None:
        nonlocal cut
        cut = block.cancel()

    running.add_done_callback(cancel_block)
    try:
        yield
    except asyncio.CancelledError:
        if not cut or block.cancelling() > cancels_before + 1:
            raise
    finally:
        running.remove_done_callback(cancel_block)
        if cut:
            block.uncancel()


async def _wait_all(tasks: Sequence[asyncio.Task[bool]]) -> None:
    if tasks:
        await asyncio.wait(tasks)
