"""Delete or move the sources of a route's delivered files, or keep them.

A source is removed only if the journal lists its receipt, each other route of the file has delivered it (other_routes),
the bucket still has the object (object_check), and the file is still the one that was delivered (source_removal).
Whatever fails, the source is kept, counts as overdue, and is tried again until it is finished, changed or gone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Event
from typing import Protocol

from crosshaul.concurrency.clock import Clock
from crosshaul.concurrency.thread_pool import ThreadPool
from crosshaul.concurrency.waiting import wait_event
from crosshaul.config import Route
from crosshaul.delivery.after_upload.batch_finisher import BatchFinisher, FinishResult
from crosshaul.delivery.after_upload.finish_log import RETRIED, FinishLog
from crosshaul.delivery.after_upload.other_routes import OtherRoutes, OtherRoutesJournal, OwnershipLookup
from crosshaul.delivery.after_upload.source_verification import Interrupted
from crosshaul.delivery.after_upload.writer_visibility import invisible_writers
from crosshaul.errors import Diagnosis, FaultKind, SourceError
from crosshaul.model import AfterAction, AfterTask
from crosshaul.telemetry.logger import Logger

_BATCH_SIZE = 200
_POLL_SECONDS = 1.0
"""Longest time from a source's due time to its removal."""
_POLL_IF_KEPT_SECONDS = 60.0
"""The same for a route that keeps its sources: some may be left from an earlier configuration."""
_MAX_CLOCK_SLEW_SECONDS = 1.0
"""Clock adjustments up to this are not treated as a clock that was set back."""
_MAX_DELAY_SECONDS = 300.0
"""Longest time until an overdue source is tried again."""
_MAX_PAUSE_SECONDS = 10.0
"""Longest pause after batches of which no source was finished: later sources in the queue may be ready."""
_PAUSE_PER_QUERY = 20
"""Pause as a multiple of the time that the journal took to find the next due source: with millions of sources that wait
for a scan, the query reads all of them, and intake uses the same journal."""
_COUNT_INTERVAL_SECONDS = 15.0
_OVERDUE_SECONDS = 60.0
"""A due source that was not tried counts as overdue after this time: its root may be missing."""
_RESEND_DELAY_SECONDS = 60.0
"""Delay before a file is sent again whose bytes differ from the delivered ones: it may still be written to."""


class SourceFinisherJournal(OtherRoutesJournal, Protocol):
    """The part of the journal that the removal of sources uses."""

    async def due_after_tasks(self, route: str, limit: int, by: float | None = None) -> list[AfterTask]:
        """Return delivered files of a route whose source is due to be deleted or moved."""

    async def next_after_due(self, route: str) -> float | None:
        """Return when the next source of a route is due."""

    async def last_after_due(self, route: str) -> float | None:
        """Return when the last source of a route is due."""

    async def count_overdue(self, route: str, by: float) -> int:
        """Count the sources of a route that were tried and kept, or were due ``by`` then and not tried."""

    async def cap_after_due(self, route: str, latest: float) -> None:
        """Make all sources of a route due at ``latest`` or before."""

    async def retry_overdue(self, route: str) -> None:
        """Make all overdue sources of a route due now."""

    async def finish_after_task(
        self,
        task: AfterTask,
        action: AfterAction | None,
        diagnosis: Diagnosis | None = None,
        due_at: float | None = None,
    ) -> None:
        """Record the result for a source, and when it is due again."""

    async def send_again(self, task: AfterTask, diagnosis: Diagnosis, due_at: float) -> None:
        """Queue the file as a new generation."""


class Objects(Protocol):
    """Checks whether the bucket still has the delivered objects."""

    unseen: bool

    async def replaced(self, tasks: Sequence[AfterTask]) -> dict[int, FinishResult]: ...  # noqa: D102 - see object_check.py


class SourceFinisher:
    """Deletes or moves the sources of one route's delivered files."""

    def __init__(
        self,
        route: Route,
        journal: SourceFinisherJournal,
        clock: Clock,
        threads: ThreadPool,
        log: Logger,
        ownership: OwnershipLookup,
        objects: Callable[[], Objects],
        roots: Sequence[Path] = (),
    ) -> None:
        self.overdue = 0
        """Number of overdue sources at the last count."""
        self._route = route
        self._journal = journal
        self._clock = clock
        self._threads = threads
        self._log = FinishLog(route, log, clock)
        self._ending = Event()
        self._batches = BatchFinisher(route, roots or (route.path,), self._ending.is_set, clock)
        self._other_routes = OtherRoutes(route, journal, threads, ownership, self._batches.markers.find_all)
        self._objects = objects
        self._count_at = 0.0
        self._failed_batches = 0
        """Consecutive batches of which no source was finished."""

    @property
    def route(self) -> str:
        """The route's name."""
        return self._route.name

    async def run(self, stop: asyncio.Event) -> None:
        """Finish sources when they are due, until ``stop``. Raises StateDirError."""
        self._batches.start()
        ending = asyncio.create_task(self._interrupt_at(stop))
        try:
            await self._prepare()
            while not stop.is_set():
                worked = await self._finish_due(self._clock.now(), stop_on_failure=True)
                if worked or self._clock.monotonic() >= self._count_at:
                    await self._count()
                await wait_event(stop, max(0.0, await self._pause()))
        finally:
            ending.cancel()

    async def drain(self) -> None:
        """Finish all sources that are due now, including overdue ones. Raises StateDirError."""
        await self._prepare()
        await self._finish_due(self._clock.now(), stop_on_failure=False)
        await self._count()

    async def _prepare(self) -> None:
        await self._threads.run(self._batches.prepare)
        if self._route.after_upload.action != "keep":
            await self._journal.retry_overdue(self._route.name)
            hint = await self._threads.run(self._invisible_writers)
            if hint is not None:
                self._log.writers_may_be_unseen(hint)

    def _invisible_writers(self) -> str | None:
        return invisible_writers(self._route.path, with_mounts=self._route.cross_filesystems)

    async def _interrupt_at(self, stop: asyncio.Event) -> None:
        """Make the thread stop reading when the daemon ends."""
        await stop.wait()
        self._ending.set()

    async def _pause(self) -> float:
        """Return the seconds until a source may be due."""
        name, now, latest = self._route.name, self._clock.now(), self._clock.now() + self._route.after_upload.grace
        started = self._clock.monotonic()
        due, last = await self._journal.next_after_due(name), await self._journal.last_after_due(name)
        query_seconds = self._clock.monotonic() - started
        if last is not None and last > latest + _MAX_DELAY_SECONDS + _MAX_CLOCK_SLEW_SECONDS:
            # Later than any due time can be: the clock was set back, or the grace period was shortened.
            await self._journal.cap_after_due(name, latest)
        poll = _POLL_IF_KEPT_SECONDS if self._route.after_upload.action == "keep" else _POLL_SECONDS
        until_due = poll if due is None else min(poll, due - now)
        failed = self._failed_batches
        back_off = min(_MAX_PAUSE_SECONDS, 2.0 ** min(failed, 10) / 2) if failed else 0.0
        return max(until_due, back_off, min(_MAX_PAUSE_SECONDS, _PAUSE_PER_QUERY * query_seconds))

    async def _count(self) -> None:
        self._count_at = self._clock.monotonic() + _COUNT_INTERVAL_SECONDS
        self.overdue = await self._journal.count_overdue(self._route.name, self._clock.now() - _OVERDUE_SECONDS)
        if not self.overdue:
            self._log.nothing_overdue()

    async def _finish_due(self, by: float, *, stop_on_failure: bool) -> bool:
        """Finish the sources that were due ``by`` then; return True if there were any.

        ``stop_on_failure``: stop after a batch of which all failed, because of a full disk for example.
        """
        worked = False
        name = self._route.name
        while not self._ending.is_set() and (tasks := await self._journal.due_after_tasks(name, _BATCH_SIZE, by)):
            results = await self._finish_batch(tasks)
            failed = not results or all(result.action is AfterAction.FAILED for result in results)
            self._failed_batches = self._failed_batches + 1 if failed else 0
            worked = True
            if not results or (failed and stop_on_failure):
                break
        return worked

    async def _finish_batch(self, tasks: Sequence[AfterTask]) -> list[FinishResult]:
        """Finish some of the first ``tasks``; none if the root is missing or the daemon ends."""
        try:
            kept = await self._other_routes.waiting(tasks)
            kept |= await self._replaced([task for task in tasks if task.id not in kept])
            ready = [task for task in tasks if task.id not in kept]
            finished = await self._threads.run(self._batches.finish_all, ready) if ready else []
            results = [*kept.values(), *finished]
        except Interrupted:
            return []
        except SourceError as error:
            diagnosis = Diagnosis(FaultKind.FILE, "SourceKept", str(error))
            self._log.result(FinishResult(tasks[0], AfterAction.FAILED, diagnosis))
            return []
        if self._batches.unseen:
            self._log.writers_unseen(self._batches.unseen)
        async with asyncio.TaskGroup() as group:
            for result in results:
                group.create_task(self._record(result))
        for result in results:
            self._log.result(result)
        return results

    async def _replaced(self, tasks: Sequence[AfterTask]) -> dict[int, FinishResult]:
        """Return the tasks whose objects were replaced, by id."""
        if self._route.after_upload.action == "keep":
            return {}
        objects = self._objects()
        replaced = await objects.replaced(tasks)
        if objects.unseen:
            self._log.objects_unseen()
        return replaced

    async def _record(self, result: FinishResult) -> None:
        task, action, diagnosis, send_again, due_in = result
        now = self._clock.now()
        if send_again and diagnosis is not None:
            await self._journal.send_again(task, diagnosis, now + _RESEND_DELAY_SECONDS)
            return
        if due_in is None and action in RETRIED:
            due_in = self._log.overdue_seconds(task)
        due_at = None if due_in is None else now + min(_MAX_DELAY_SECONDS, max(1.0, due_in))
        await self._journal.finish_after_task(task, action, diagnosis, due_at)
