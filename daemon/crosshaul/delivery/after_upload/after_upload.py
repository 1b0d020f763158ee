"""What becomes of a local file once it is delivered: kept, deleted or moved.

The journal lists a file only when its receipt is on disk, every other route that takes the file has to have delivered
it too (ownership.py), the bucket must still hold it (object_check.py), and removal.py touches only the very file
that was delivered. Whatever goes wrong, the source stays, is counted as overdue, and is looked at again: only what is
done, changed or gone is over.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Event
from typing import Protocol

from crosshaul.concurrency.clock import Clock
from crosshaul.concurrency.thread_pool import ThreadPool
from crosshaul.concurrency.waiting import wait_event
from crosshaul.config import Route
from crosshaul.delivery.after_upload.delivered_file import Interrupted
from crosshaul.delivery.after_upload.finishing import FinishResult, SourceRemover
from crosshaul.delivery.after_upload.other_routes import AskedJournal, OtherRoutes, OwnershipLookup
from crosshaul.delivery.after_upload.unseen_writers import RULE
from crosshaul.display import printable
from crosshaul.errors import Diagnosis, FaultKind, SourceError
from crosshaul.model import AfterAction, AfterTask
from crosshaul.telemetry.failure_streak import FailureStreak
from crosshaul.telemetry.logger import Logger

_AT_ONCE = 200
_POLL_SECONDS = 1.0
"""How late a delivery is noticed at most: nobody waits for this."""
_POLL_IF_KEPT_SECONDS = 60.0
"""The same for a route that keeps its sources: there may be some left from before it did."""
_SET_BACK_SECONDS = 1.0
"""By so much clocks are adjusted without having been set."""
_LONGEST_DELAY_SECONDS = 300.0
"""Until an overdue source is looked at again, at the most."""
_LONGEST_REST_SECONDS = 10.0
"""Between batches none of which went: what is behind them in the queue may be able to go."""
_REST_SHARE = 20
"""So many times what the journal took to say when the next is due: one of millions that wait for a scan under another
configuration reads past all of them, and intake asks the same journal."""
_COUNT_EVERY_SECONDS = 15.0
_OVERDUE_SECONDS = 60.0
"""After that a source that was not even tried counts as overdue: its root is away, say."""
_SEND_AGAIN_SECONDS = 60.0
"""Until a file is sent again whose bytes are not those that were delivered: its writer may be at it still."""
_WORTH_TELLING_SECONDS = 5.0
"""So long a source may wait for another route before the log tells: routes seldom end at the same moment."""
_TRIED_AGAIN = frozenset({AfterAction.FAILED, AfterAction.WAITING})
_OBJECTS_UNSEEN = (
    "whether an older request replaced a delivered object is not seen, and the store is not known to keep If-Match: "
    "allow the role s3:GetObject, unless the partner takes away what arrives"
)


class SourceFinisherJournal(AskedJournal, Protocol):
    """What is needed of the journal."""

    async def due_after_tasks(self, route: str, limit: int, by: float | None = None) -> list[AfterTask]:
        """Delivered files of a route whose source is due to be deleted or moved."""

    async def next_after_due(self, route: str) -> float | None:
        """When the next one of a route is due."""

    async def last_after_due(self, route: str) -> float | None:
        """When the last one of a route is due."""

    async def count_overdue(self, route: str, by: float) -> int:
        """How many of a route were tried and stayed, or were due ``by`` then untried."""

    async def cap_after_due(self, route: str, latest: float) -> None:
        """None of a route's sources is due later than this."""

    async def retry_overdue(self, route: str) -> None:
        """All overdue ones of a route are due now."""

    async def finish_after_task(
        self,
        task: AfterTask,
        action: AfterAction | None,
        diagnosis: Diagnosis | None = None,
        due_at: float | None = None,
    ) -> None:
        """Write down what became of it, and when it is due again."""

    async def send_again(self, task: AfterTask, diagnosis: Diagnosis, due_at: float) -> None:
        """Queue the file as a new generation."""


class Objects(Protocol):
    """Whether the bucket still holds what was delivered."""

    unseen: bool

    async def replaced(self, tasks: Sequence[AfterTask]) -> dict[int, FinishResult]: ...  # noqa: D102 - see object_check.py


class SourceFinisher:
    """Deletes or moves the sources of a route's delivered files."""

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
        """Sources that were due, and stayed, as of the last look."""
        self._route = route
        self._journal = journal
        self._clock = clock
        self._threads = threads
        self._log = log
        self._ending = Event()
        self._remover = SourceRemover(route, roots or (route.path,), self._ending.is_set, clock)
        self._other_routes = OtherRoutes(route, journal, threads, ownership, self._remover.markers)
        self._streaks: dict[str, FailureStreak] = defaultdict(FailureStreak)
        self._objects = objects
        self._told_unseen: set[str] = set()
        self._count_at = 0.0
        self._in_vain = 0
        """Batches in a row of which nothing went."""

    @property
    def route(self) -> str:
        """Whose sources."""
        return self._route.name

    async def run(self, stop: asyncio.Event) -> None:
        """Do what falls due, until ``stop``. Raises StateDirError."""
        self._remover.begin()
        ending = asyncio.create_task(self._end_at(stop))
        try:
            await self._prepare()
            while not stop.is_set():
                worked = await self._drain(self._clock.now(), give_up=True)
                if worked or self._clock.monotonic() >= self._count_at:
                    await self._count()
                left = await self._pause()
                await wait_event(stop, max(0.0, left))
        finally:
            ending.cancel()

    async def _prepare(self) -> None:
        await self._threads.run(self._remover.prepare)
        if self._route.after_upload.action != "keep":
            await self._journal.retry_overdue(self._route.name)
            await self._foretell()

    async def _foretell(self) -> None:
        """Say before the first source goes that some writers won't be seen, if that is to be expected here."""
        hint = await self._threads.run(self._remover.foreseen)
        if hint is not None:
            root = str(self._route.path)
            self._log.info("writers_may_be_unseen", route=self._route.name, root=root, hint=f"{hint}; {RULE}")

    async def _end_at(self, stop: asyncio.Event) -> None:
        """Have the thread leave off reading when the daemon ends."""
        await stop.wait()
        self._ending.set()

    async def _pause(self) -> float:
        """Seconds until something may be due."""
        name, now, latest = self._route.name, self._clock.now(), self._clock.now() + self._route.after_upload.grace
        began = self._clock.monotonic()
        due, last = await self._journal.next_after_due(name), await self._journal.last_after_due(name)
        asking = self._clock.monotonic() - began
        if last is not None and last > latest + _LONGEST_DELAY_SECONDS + _SET_BACK_SECONDS:
            # Nothing can be due later than that: the clock was set back since, or the grace made shorter.
            await self._journal.cap_after_due(name, latest)
        poll = _POLL_IF_KEPT_SECONDS if self._route.after_upload.action == "keep" else _POLL_SECONDS
        pause = poll if due is None else min(poll, due - now)
        rest = min(_LONGEST_REST_SECONDS, 2.0 ** min(self._in_vain, 10) / 2) if self._in_vain else 0.0
        return max(pause, rest, min(_LONGEST_REST_SECONDS, _REST_SHARE * asking))

    async def _count(self) -> None:
        self._count_at = self._clock.monotonic() + _COUNT_EVERY_SECONDS
        self.overdue = await self._journal.count_overdue(self._route.name, self._clock.now() - _OVERDUE_SECONDS)
        if not self.overdue and (kept_back := sum(streak.ended() for streak in self._streaks.values())):
            self._streaks.clear()
            self._log.info("sources_caught_up", route=self._route.name, tries=kept_back)

    async def drain(self) -> None:
        """Do everything that is due now, overdue sources included. Raises StateDirError."""
        await self._prepare()
        await self._drain(self._clock.now(), give_up=False)
        await self._count()

    async def _drain(self, by: float, *, give_up: bool) -> bool:
        """Do what was due ``by`` then, with ``give_up`` until a whole batch fails (a full disk). True if any was."""
        worked = False
        while not self._ending.is_set() and (
            tasks := await self._journal.due_after_tasks(self._route.name, _AT_ONCE, by)
        ):
            results = await self._batch(tasks)
            failed = not results or all(result.action is AfterAction.FAILED for result in results)
            self._in_vain = self._in_vain + 1 if failed else 0
            worked = True
            if not results or (failed and give_up):
                break
        return worked

    async def _batch(self, tasks: Sequence[AfterTask]) -> list[FinishResult]:
        """Deal with some of the first of ``tasks``; none where the root is away or the daemon ends."""
        try:
            waiting = await self._other_routes.waiting(tasks)
            waiting |= await self._replaced([task for task in tasks if task.id not in waiting])
            ready = [task for task in tasks if task.id not in waiting]
            done = await self._threads.run(self._remover.finish_all, ready) if ready else []
            results = [*waiting.values(), *done]
        except Interrupted:
            return []
        except SourceError as error:
            diagnosis = Diagnosis(FaultKind.FILE, "SourceKept", str(error))
            self._tell(FinishResult(tasks[0], AfterAction.FAILED, diagnosis))
            return []
        self._tell_unseen()
        async with asyncio.TaskGroup() as group:
            for result in results:
                group.create_task(self._settle(result))
        for result in results:
            self._tell(result)
        return results

    async def _replaced(self, tasks: Sequence[AfterTask]) -> dict[int, FinishResult]:
        """Those of ``tasks`` whose objects are others by now."""
        if self._route.after_upload.action == "keep":
            return {}
        objects = self._objects()
        replaced = await objects.replaced(tasks)
        if objects.unseen and self._is_first_time("objects"):
            self._log.warning("objects_unseen", route=self._route.name, hint=_OBJECTS_UNSEEN)
        return replaced

    async def _settle(self, result: FinishResult) -> None:
        task, action, diagnosis, again, wait = result
        now = self._clock.now()
        if again and diagnosis is not None:
            await self._journal.send_again(task, diagnosis, now + _SEND_AGAIN_SECONDS)
        elif wait is not None:
            delay = min(_LONGEST_DELAY_SECONDS, max(1.0, wait))
            await self._journal.finish_after_task(task, action, diagnosis, now + delay)
        elif action in _TRIED_AGAIN:
            delay = min(_LONGEST_DELAY_SECONDS, max(1.0, self._late(task)))
            await self._journal.finish_after_task(task, action, diagnosis, now + delay)
        else:
            await self._journal.finish_after_task(task, action, diagnosis)

    def _tell(self, result: FinishResult) -> None:
        if result.diagnosis is None or result.action is None:
            return
        path, reason = printable(result.task.path), result.diagnosis.message
        if result.again:
            self._log.warning("source_differs", route=self._route.name, path=path, reason=reason)
        elif result.action is AfterAction.WAITING:
            late = self._late(result.task)
            if late > _WORTH_TELLING_SECONDS and (times := self._times(result)):
                self._log.info("source_waits", route=self._route.name, path=path, reason=reason, times=times)
        elif times := self._times(result):
            action, route = result.action, self._route.name
            self._log.warning("source_kept", route=route, path=path, action=action, reason=reason, times=times)

    def _tell_unseen(self) -> None:
        if self._remover.unseen and self._is_first_time("writers"):
            self._log.warning("writers_unseen", route=self._route.name, reason=self._remover.unseen, hint=RULE)

    def _is_first_time(self, unseen: str) -> bool:
        first = unseen not in self._told_unseen
        self._told_unseen.add(unseen)
        return first

    def _times(self, result: FinishResult) -> int:
        """How often this happened in a row for the same reason, at the first time and at each doubling; else 0."""
        if result.diagnosis is None or result.action not in _TRIED_AGAIN:
            return 1
        cause = result.diagnosis.message.replace(printable(result.task.path), "")
        streak = self._streaks[cause]
        return streak.length if streak.failed() else 0

    def _late(self, task: AfterTask) -> float:
        return self._clock.now() - task.receipt.delivered_at - self._route.after_upload.grace
