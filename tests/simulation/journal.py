"""The journal's real SQL in memory. A crash loses what was not committed, or only the result of a commit."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from crosshaul.journal import CommitStats
from crosshaul.journal.sqlite import migrate, opening
from crosshaul.journal.sqlite.reader import Reader
from crosshaul.journal.sqlite.reserve import Reserve
from crosshaul.journal.sqlite.write_batch import Transactions, Unit
from crosshaul.journal.sqlite.writer import Writer

_DATABASE = Path("journal.db")
_template: sqlite3.Connection | None = None


def fresh() -> sqlite3.Connection:
    """Return an empty journal of the present schema."""
    global _template  # noqa: PLW0603 - the schema is made once a process, for ten thousand seeds
    if _template is None:
        _template = _connect()
        migrate.migrate(_template, _DATABASE)
    copy = _connect()
    _template.backup(copy)
    return copy


def _connect() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False, cached_statements=512)
    connection.execute("PRAGMA foreign_keys = ON")
    return connection


class Kept:
    """A connection that a life may close and the next one opens."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.execute = connection.execute
        self.executemany = connection.executemany

    @property
    def in_transaction(self) -> bool:
        return self._connection.in_transaction

    @property
    def total_changes(self) -> int:
        return self._connection.total_changes

    def close(self) -> None:
        """Keep it."""


class _Lock:
    def release(self) -> None:
        """Do nothing: there is one life at a time."""


def opener(connection: sqlite3.Connection) -> Any:
    """Return the function that opens the journal of this world instead of ``opening.open_state_dir``."""

    def opened(state_dir: Path, now: float) -> Any:
        kept = cast("sqlite3.Connection", Kept(connection))
        opening.recover(kept, now)
        return _Lock(), kept, Reader(state_dir, kept)

    return opened


class TurnWriter(Writer):
    """The writer without its thread: it collects units, commits in one turn, and returns results in a later one."""

    chance: random.Random
    committed: Callable[[], None]
    """Both are set for each seed."""

    def __init__(self, connection: Any, database: Path, opened: tuple[int, int] | None, reserve: Reserve) -> None:
        self.commits = 0
        self.last_commit = None
        self.on_commit = None
        Transactions.__init__(self, connection, database, opened, reserve)
        self._loop = asyncio.get_running_loop()
        self._units: list[Any] = []
        self._slots = asyncio.Semaphore(4096)

    async def submit(self, work: Any, argument: Any) -> asyncio.Future[Any]:
        """Queue a unit as the real writer does."""
        await self._slots.acquire()
        future = self._loop.create_future()
        if not self._units:
            self._loop.call_later(self.chance.random() * 0.004, self._turn)
        self._units.append(Unit(work, argument, future))
        return future

    def _turn(self) -> None:
        units, self._units = self._units, []
        self._transact(units)
        type(self).committed()
        self._loop.call_later(self.chance.random() * 0.004, self._resolve, units, CommitStats(0.0, len(units)))

    async def close(self) -> None:
        """Finish what waits."""
        while self._units:
            await asyncio.sleep(0.005)
