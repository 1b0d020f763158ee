"""The writing thread: all queued writes share one transaction, and return once it is on disk."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from crosshaul.journal.commit_stats import CommitStats
from crosshaul.journal.sqlite.reserve import Reserve
from crosshaul.journal.sqlite.write_batch import A, R, Transactions, Unit, Work

_MAX_QUEUED_UNITS = 4096
_COMMIT_DELAY_SECONDS_PER_UNIT, _MAX_COMMIT_DELAY_SECONDS = 0.0002, 0.02
"""Group commit: after a commit the writer waits 0.2 ms for each of its units, at most 20 ms, so that under load about
200 units share one transaction."""


class Writer(Transactions):
    """Owns the writing connection and its thread. ``on_commit`` is called in the loop after each commit."""

    def __init__(
        self, connection: sqlite3.Connection, database: Path, opened: tuple[int, int] | None, reserve: Reserve
    ) -> None:
        """``opened``: device and inode of ``database`` as it was opened."""
        super().__init__(connection, database, opened, reserve)
        self.commits = 0
        self.last_commit: CommitStats | None = None
        self.on_commit: Callable[[CommitStats], None] | None = None
        self._loop = asyncio.get_running_loop()
        self._queue: queue.SimpleQueue[Unit[Any, Any] | None] = queue.SimpleQueue()
        self._slots = asyncio.Semaphore(_MAX_QUEUED_UNITS)
        self._closed = False
        self._next_commit_at = 0.0
        self._thread = threading.Thread(target=self._run, name="crosshaul-journal", daemon=True)
        self._thread.start()

    async def execute(self, work: Work[A, R], argument: A) -> R:
        """Run ``work`` for ``argument``, and return once its effect is on disk. If cancelled, it may still take place.

        Raises what the work raises, and StateDirError if the disk can't be written; then nothing was changed.
        """
        return await (await self.submit(work, argument))

    async def submit(self, work: Work[A, R], argument: A) -> asyncio.Future[R]:
        """Queue the work; the future is the result of ``execute``."""
        await self._slots.acquire()
        if self._closed:
            self._slots.release()
            raise RuntimeError("the journal is closed")
        future: asyncio.Future[R] = self._loop.create_future()
        self._queue.put(Unit(work, argument, future))
        return future

    async def close(self) -> None:
        """Finish the queued work, and close the connection."""
        if not self._closed:
            self._closed = True
            self._queue.put(None)
        await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        running = True
        while running:
            units, running = self._take()
            if units:
                started = time.monotonic()
                self._transact(units)
                ended = time.monotonic()
                delay = min(len(units) * _COMMIT_DELAY_SECONDS_PER_UNIT, _MAX_COMMIT_DELAY_SECONDS)
                self._next_commit_at = ended + delay
                self._hand_back(units, CommitStats(ended - started, len(units)))
                self._reserve.keep()
        self._connection.close()

    def _take(self) -> tuple[list[Unit[Any, Any]], bool]:
        """Wait for a unit, and take all that are queued; the second value is False once the queue is closed."""
        units: list[Unit[Any, Any]] = []
        unit = self._queue.get()
        time.sleep(max(0.0, self._next_commit_at - time.monotonic()))
        with contextlib.suppress(queue.Empty):
            while unit is not None:
                units.append(unit)
                unit = self._queue.get_nowait()
            return units, False
        return units, True

    def _hand_back(self, units: list[Unit[Any, Any]], stats: CommitStats) -> None:
        # With a closed loop, no caller waits any more.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._resolve, units, stats)

    def _resolve(self, units: list[Unit[Any, Any]], stats: CommitStats) -> None:
        self.commits += 1
        self.last_commit = stats
        for unit in units:
            self._slots.release()
            if unit.future.done():
                continue
            if isinstance(unit.result, Exception):
                unit.future.set_exception(unit.result)
            else:
                unit.future.set_result(unit.result)
        if self.on_commit is not None:
            self.on_commit(stats)
