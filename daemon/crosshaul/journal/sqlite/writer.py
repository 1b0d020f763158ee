"""The one thread that writes: whatever waits goes into one transaction, and is answered when that is on disk."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from crosshaul.errors import StateDirError, StateDirUnavailableError
from crosshaul.journal.commit_stats import CommitStats
from crosshaul.journal.sqlite.connect import damaged, identity, moved, storage_error
from crosshaul.journal.sqlite.reserve import Reserve
from crosshaul.journal.sqlite.rows import CorruptRowError
from crosshaul.journal.sqlite.transitions import IllegalTransition

A = TypeVar("A")
R = TypeVar("R")

Work = Callable[[sqlite3.Connection, Sequence[A]], Sequence[R | Exception]]
"""Does one kind of thing for several waiters at once; an exception among the results is that waiter's alone."""

QUEUE_BOUND = 4096
_COMMIT_DELAY_SECONDS_PER_UNIT, _MAX_COMMIT_DELAY_SECONDS = 0.0002, 0.02
"""Group commit: after a commit the writer waits 0.2 ms for each of its units, at most 20 ms, so that under load about
200 units share one transaction."""


@dataclass(slots=True)
class _Unit(Generic[A, R]):
    work: Work[A, R]
    argument: A
    future: asyncio.Future[R]
    answer: Any = field(default=None)


def one_by_one(function: Callable[[sqlite3.Connection, A], R]) -> Work[A, R]:
    """Work that gains nothing from being done together."""

    def work(connection: sqlite3.Connection, arguments: Sequence[A]) -> Sequence[R | Exception]:
        return [function(connection, argument) for argument in arguments]

    return work


class Writer:
    """Owns the connection. ``commits`` and ``last_commit`` tell how it goes; ``on_commit`` is called in the loop.

    ``last_error`` is what the last write failed of, until one gets through.
    """

    def __init__(
        self, connection: sqlite3.Connection, database: Path, opened: tuple[int, int] | None, reserve: Reserve
    ) -> None:
        """``opened``: device and inode of ``database`` as it was opened."""
        self.commits = 0
        self.last_commit: CommitStats | None = None
        self.on_commit: Callable[[CommitStats], None] | None = None
        self.last_error: StateDirError | None = None
        self._connection = connection
        self._database = database
        self._reserve = reserve
        self._identity = opened
        self._loop = asyncio.get_running_loop()
        self._queue: queue.SimpleQueue[_Unit[Any, Any] | None] = queue.SimpleQueue()
        self._slots = asyncio.Semaphore(QUEUE_BOUND)
        self._closed = False
        self._next_at = 0.0
        self._thread = threading.Thread(target=self._run, name="crosshaul-journal", daemon=True)
        self._thread.start()

    async def execute(self, work: Work[A, R], argument: A) -> R:
        """Have ``work`` done for ``argument``; comes back when its effect is on disk. If cancelled it may still happen.

        Raises whatever the work raises (and then changed nothing), StateDirError if it can't be written.
        """
        return await (await self.submit(work, argument))

    async def submit(self, work: Work[A, R], argument: A) -> asyncio.Future[R]:
        """Queue the same, and give what ``execute`` would come back with or raise, for who has something else to do."""
        await self._slots.acquire()
        if self._closed:
            self._slots.release()
            raise RuntimeError("the journal is closed")
        future: asyncio.Future[R] = self._loop.create_future()
        self._queue.put(_Unit(work, argument, future))
        return future

    async def close(self) -> None:
        """Finish what is queued, and close the connection."""
        if not self._closed:
            self._closed = True
            self._queue.put(None)
        await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        going = True
        while going:
            units, going = self._take()
            if units:
                started = time.monotonic()
                self._transact(units)
                ended = time.monotonic()
                self._next_at = ended + min(len(units) * _COMMIT_DELAY_SECONDS_PER_UNIT, _MAX_COMMIT_DELAY_SECONDS)
                self._hand_back(units, CommitStats(ended - started, len(units)))
                self._reserve.keep()
        self._connection.close()

    def _take(self) -> tuple[list[_Unit[Any, Any]], bool]:
        """Wait for a unit, and take all that are there; the second value is False when it was the last."""
        units: list[_Unit[Any, Any]] = []
        unit = self._queue.get()
        time.sleep(max(0.0, self._next_at - time.monotonic()))
        with contextlib.suppress(queue.Empty):
            while unit is not None:
                units.append(unit)
                unit = self._queue.get_nowait()
            return units, False
        return units, True

    def _transact(self, units: list[_Unit[Any, Any]]) -> None:
        changes = self._connection.total_changes
        try:
            # What goes into a file without a name, or into another's log, is lost however well it is written.
            if identity(self._database) != self._identity:
                raise moved(self._database)
            self._commit_or_make_room(units)
        except sqlite3.Error as error:
            self._fail(units, storage_error(self._database, error))
        except StateDirError as error:
            self._fail(units, error)
        else:
            if self._connection.total_changes != changes and not self._reserve.spent:
                self.last_error = None

    def _commit_or_make_room(self, units: list[_Unit[Any, Any]]) -> None:
        """Commit; where the disk has no room for that, again at the cost of the reserve, a piece each time."""
        while True:
            try:
                self._commit(units)
            except sqlite3.Error as error:
                self._roll_back()
                self.last_error = storage_error(self._database, error)
                if not self._may_be_full(error) or not self._reserve.release():
                    raise
                self._use_room()
            else:
                return

    def _may_be_full(self, error: sqlite3.Error) -> bool:
        busy = getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY
        return isinstance(self.last_error, StateDirUnavailableError) and not busy

    def _use_room(self) -> None:
        """Take what was freed before another does, and have the next commit overwrite the log, which needs none."""
        with contextlib.suppress(sqlite3.Error):
            self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()

    def _commit(self, units: list[_Unit[Any, Any]]) -> None:
        self._connection.execute("BEGIN IMMEDIATE")
        for work, run in itertools.groupby(units, key=lambda unit: unit.work):
            self._perform(work, list(run))
        self._connection.execute("COMMIT")

    def _fail(self, units: list[_Unit[Any, Any]], error: StateDirError) -> None:
        self.last_error = error
        for unit in units:
            unit.answer = error

    def _roll_back(self) -> None:
        # SQLite has rolled back by itself after some errors, and on a failing disk this may fail like the commit did.
        with contextlib.suppress(sqlite3.Error):
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")

    def _perform(self, work: Work[Any, Any], units: list[_Unit[Any, Any]]) -> None:
        """All units in one go; if that fails, each by itself, so that only the guilty one fails."""
        answers = self._attempt(work, units)
        if isinstance(answers, Exception):
            if len(units) == 1:
                units[0].answer = answers
                return
            for unit in units:
                self._perform(work, [unit])
            return
        for unit, answer in zip(units, answers, strict=True):
            unit.answer = answer

    def _attempt(self, work: Work[Any, Any], units: list[_Unit[Any, Any]]) -> Sequence[Any] | Exception:
        self._connection.execute("SAVEPOINT unit")
        failure: Exception
        try:
            answers = work(self._connection, [unit.argument for unit in units])
            self._connection.execute("RELEASE unit")
            return answers
        except sqlite3.IntegrityError as error:
            failure = IllegalTransition(str(error)) if "illegal transition" in str(error) else error
        except sqlite3.Error as error:
            if not isinstance(error, sqlite3.ProgrammingError):
                raise
            failure = error
        except CorruptRowError as error:
            failure = damaged(self._database, str(error))
        except Exception as error:  # noqa: BLE001 - it is handed to the one who waits for this unit
            failure = error
        self._connection.execute("ROLLBACK TO unit")
        self._connection.execute("RELEASE unit")
        return failure

    def _hand_back(self, units: list[_Unit[Any, Any]], stats: CommitStats) -> None:
        # A loop that is closed has nobody left who waits.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._resolve, units, stats)

    def _resolve(self, units: list[_Unit[Any, Any]], stats: CommitStats) -> None:
        self.commits += 1
        self.last_commit = stats
        for unit in units:
            self._slots.release()
            if unit.future.done():
                continue
            if isinstance(unit.answer, Exception):
                unit.future.set_exception(unit.answer)
            else:
                unit.future.set_result(unit.answer)
        if self.on_commit is not None:
            self.on_commit(stats)
