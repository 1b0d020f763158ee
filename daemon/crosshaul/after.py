"""What becomes of a local file once it is delivered: kept, deleted or moved.

The journal lists a file only when its receipt is on disk, and source.py touches it only if it still is, to the
nanosecond, the file that was delivered. Whatever goes wrong, the file is kept, and the reason with its record.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Protocol

from crosshaul.clock import Clock
from crosshaul.config import Route
from crosshaul.errors import Diagnosis, FileChangedError, FileGoneError, Kind, SourceError
from crosshaul.model import AfterAction, AfterTask
from crosshaul.source import Root, shown
from crosshaul.threads import Threads

_AT_ONCE = 200
_POLL = 1.0
_POLL_IF_KEPT = 60.0
"""The same for a route that keeps its sources: there may be some left from before it did."""
_SET_BACK = 1.0
"""Seconds by which clocks are adjusted without having been set."""
"""How late a delivery is noticed at most, in seconds: nobody waits for this."""

Result = tuple[AfterTask, AfterAction, Diagnosis | None]


class AfterJournal(Protocol):
    """What is needed of the journal."""

    async def after_due(self, route: str, limit: int) -> list[AfterTask]:
        """Delivered files of a route whose source is due to be deleted or moved."""

    async def next_after(self, route: str) -> float | None:
        """When the next one of a route is due."""

    async def bound_after(self, route: str, latest: float) -> None:
        """None of a route's sources is due later than this."""

    async def settle_after(self, task: AfterTask, action: AfterAction, diagnosis: Diagnosis | None = None) -> None:
        """Write down what became of it."""


class Log(Protocol):
    """What is used of a logger."""

    def warning(self, event: str, **fields: object) -> object:
        """Something a person should look at."""


class After:
    """Deletes or moves the sources of a route's delivered files."""

    def __init__(self, route: Route, journal: AfterJournal, clock: Clock, threads: Threads, log: Log) -> None:
        self._route = route
        self._journal = journal
        self._clock = clock
        self._threads = threads
        self._log = log

    @property
    def route(self) -> str:
        """Whose sources."""
        return self._route.name

    async def run(self, stop: asyncio.Event) -> None:
        """Do what falls due, until ``stop``. Raises StateDirError."""
        while not stop.is_set():
            await self.drain()
            left = await self._pause()
            with suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, left)):
                    await stop.wait()

    async def _pause(self) -> float:
        """Seconds until something may be due."""
        due, now = await self._journal.next_after(self._route.name), self._clock.now()
        latest = now + self._route.after_upload.grace
        if due is not None and due > latest + _SET_BACK:
            # Nothing can be due later than that: the clock was set back since, or the grace made shorter.
            await self._journal.bound_after(self._route.name, latest)
        poll = _POLL_IF_KEPT if self._route.after_upload.action == "keep" else _POLL
        return poll if due is None else min(poll, due - now)

    async def drain(self) -> None:
        """Do everything that is due now. Raises StateDirError."""
        while tasks := await self._journal.after_due(self._route.name, _AT_ONCE):
            results = await self._threads.run(self._finish_all, tasks)
            async with asyncio.TaskGroup() as group:
                for result in results:
                    group.create_task(self._journal.settle_after(*result))
            self._tell(results)

    def _finish_all(self, tasks: Sequence[AfterTask]) -> list[Result]:
        return [self._finish(task) for task in tasks]

    def _finish(self, task: AfterTask) -> Result:
        route = self._route
        if route.after_upload.action == "keep":
            message = f"{shown(task.path)}: kept, since route {task.route} does not ask for more any longer"
            return task, AfterAction.FAILED, _diagnosis("AfterUploadKeep", message)
        try:
            with Root.open(route.path) as root:
                return _act(root, route, task)
        except SourceError as error:
            return task, AfterAction.FAILED, _diagnosis("SourceKept", str(error))

    def _tell(self, results: Sequence[Result]) -> None:
        for task, action, diagnosis in results:
            if diagnosis is not None:
                reason = diagnosis.message
                self._log.warning("source_kept", route=task.route, path=shown(task.path), action=action, reason=reason)


def _act(root: Root, route: Route, task: AfterTask) -> Result:
    try:
        if route.after_upload.move_to is not None:
            root.move(task.path, task.fingerprint, route.after_upload.move_to)
        else:
            root.unlink(task.path, task.fingerprint)
    except FileGoneError:
        return task, AfterAction.GONE, None
    except FileChangedError as error:
        return task, AfterAction.CHANGED, _diagnosis("FileChanged", str(error))
    return task, AfterAction.DONE, None


def _diagnosis(code: str, message: str) -> Diagnosis:
    return Diagnosis(Kind.FILE, code, message)
