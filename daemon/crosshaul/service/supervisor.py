"""Named services in one TaskGroup: the kind of error decides whether one is restarted or everything ends.

A service runs until its stop event and then drains. What can mend itself (the disk, the network, a file that another
program writes, our own mistakes) is restarted with a back-off, and so is a service that ends unasked; what can't (a
lock, a start that was to be proven, a journal that is damaged or gone) ends the daemon.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from crosshaul.concurrency.backoff import Backoff
from crosshaul.concurrency.clock import Clock
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
_HEALTHY_AFTER = 60.0
"""Seconds after which a restarted service counts as well again."""


@dataclass(frozen=True, slots=True)
class Service:
    """``run(stop)`` works until ``stop`` is set, then drains and returns."""

    name: str
    run: Callable[[asyncio.Event], Coroutine[Any, Any, None]]


@dataclass(frozen=True, slots=True)
class _RunningService:
    """A service at work."""

    task: asyncio.Task[bool]
    stop: asyncio.Event


class Supervisor:
    """Runs a crew of services until ``stop``; then lets them drain for ``drain_timeout`` seconds, then cancels them."""

    def __init__(self, clock: Clock, log: Logger, drain_timeout: float) -> None:
        self._clock = clock
        self._log = log
        self._drain_timeout = drain_timeout
        self._posts: dict[Service, _RunningService] = {}
        self._changed = asyncio.Event()

    async def run(self, services: Sequence[Service], stop: asyncio.Event, hurry: asyncio.Event) -> bool:
        """Run until ``stop``; True if all drained in time and well. ``hurry`` cuts the drain short.

        Raises the CrosshaulError of a service that ended for good, be it in the drain.
        """
        self._posts = {service: self._begin(service) for service in services}
        stopping = asyncio.create_task(stop.wait())
        try:
            await self._watch(stopping)
            return await self._drain(list(self._posts.values()), hurry)
        finally:
            tasks = [post.task for post in self._posts.values()]
            for post in self._posts.values():
                post.stop.set()
            await _cancel([*tasks, stopping])

    async def reconcile(self, services: Sequence[Service]) -> bool:
        """From now on run these: who is new begins, who is left out drains. True if they did so in time and well."""
        for service in services:
            if service not in self._posts:
                self._posts[service] = self._begin(service)
        leaving = {service: post for service, post in self._posts.items() if service not in services}
        self._changed.set()
        drained = await self._drain(list(leaving.values()), asyncio.Event())
        await _cancel([post.task for post in leaving.values()])
        for service in leaving:
            self._posts.pop(service, None)
        return drained

    @asynccontextmanager
    async def around(self, services: Sequence[Service], hurry: asyncio.Event) -> AsyncIterator[None]:
        """Keep services up over the block, and have them drain after it; one that ends for good ends the block."""
        stop = asyncio.Event()
        running = asyncio.create_task(self.run(services, stop, hurry))
        try:
            async with _cut_short_by(running):
                yield
        finally:
            stop.set()
            await running

    def _begin(self, service: Service) -> _RunningService:
        stop = asyncio.Event()
        return _RunningService(asyncio.create_task(self._keep(service, stop), name=service.name), stop)

    async def _watch(self, stopping: asyncio.Task[bool]) -> None:
        """Come back when it is time to stop; raises what ended a service for good."""
        while not stopping.done():
            self._changed.clear()
            changed = asyncio.create_task(self._changed.wait())
            at_work = [post.task for post in self._posts.values() if not post.stop.is_set()]
            try:
                await asyncio.wait([*at_work, stopping, changed], return_when=asyncio.FIRST_COMPLETED)
            finally:
                changed.cancel()
            if not stopping.done():
                for task in at_work:
                    if task.done():
                        task.result()

    async def _drain(self, posts: Sequence[_RunningService], hurry: asyncio.Event) -> bool:
        for post in posts:
            post.stop.set()
        tasks = [post.task for post in posts]
        hurrying = asyncio.create_task(hurry.wait())
        drained = asyncio.create_task(_all(tasks))
        try:
            await asyncio.wait({drained, hurrying}, timeout=self._drain_timeout, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await _cancel([drained, hurrying])
        for task in tasks:
            if not task.done():
                self._log.error("service_cut_off", service=task.get_name())
        results = [task.result() for task in tasks if task.done()]
        return len(results) == len(tasks) and all(results)

    async def _keep(self, service: Service, stop: asyncio.Event) -> bool:
        """Run it again and again until ``stop``; True if its last run ended well."""
        streak = FailureStreak()
        while True:
            began = self._clock.monotonic()
            healthy = asyncio.get_running_loop().call_later(_HEALTHY_AFTER, self._recovered, service, streak)
            try:
                if await self._once(service, stop, streak):
                    return True
            finally:
                healthy.cancel()
            if stop.is_set():
                return False
            quick = self._clock.monotonic() - began < _HEALTHY_AFTER
            await self._pause(_BACKOFF.delay(streak.length if quick else 0, 0.99), stop)

    def _recovered(self, service: Service, streak: FailureStreak) -> None:
        if failures := streak.ended():
            self._log.info("service_recovered", service=service.name, failures=failures)

    async def _once(self, service: Service, stop: asyncio.Event, streak: FailureStreak) -> bool:
        try:
            await service.run(stop)
        except asyncio.CancelledError:
            if _is_cancelled():
                raise
            self._tell(service, None, streak)  # not we were cancelled, but something that the service waited for
            return False
        except Exception as error:  # whatever it is, the other services go on
            known = _known(error)
            if isinstance(known, _FATAL):
                raise known from error
            self._tell(service, known, streak)
            return False
        if not stop.is_set():
            self._tell(service, CrosshaulError("it ended without being asked to"), streak)
        return stop.is_set()

    def _tell(self, service: Service, known: CrosshaulError | None, streak: FailureStreak) -> None:
        if not streak.failed():
            return
        if known is None:
            self._log.exception("service_failed", service=service.name, failures=streak.length)
        else:
            self._log.error("service_failed", service=service.name, failures=streak.length, error=str(known))

    async def _pause(self, seconds: float, stop: asyncio.Event) -> None:
        try:
            async with asyncio.timeout(seconds):
                await stop.wait()
        except TimeoutError:
            return


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _known(error: BaseException) -> CrosshaulError | None:
    """The error of ours in ``error``, which a service's own TaskGroup may have wrapped; None for a bug."""
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
async def _cut_short_by(running: asyncio.Task[bool]) -> AsyncIterator[None]:
    """Cancel the block if ``running`` ends under it; whoever awaits ``running`` next hears why."""
    block = asyncio.current_task()
    assert block is not None  # noqa: S101 - a coroutine runs in a task
    others, cut = block.cancelling(), False

    def cut_short(_: asyncio.Task[bool]) -> None:
        nonlocal cut
        cut = block.cancel()

    running.add_done_callback(cut_short)
    try:
        yield
    except asyncio.CancelledError:
        if not cut or block.cancelling() > others + 1:
            raise
    finally:
        running.remove_done_callback(cut_short)
        if cut:
            block.uncancel()


async def _all(tasks: Sequence[asyncio.Task[bool]]) -> bool:
    if tasks:
        await asyncio.wait(tasks)
    return True


async def _cancel(tasks: Sequence[asyncio.Task[bool]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
