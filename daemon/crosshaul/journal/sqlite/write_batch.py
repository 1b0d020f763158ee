"""Runs queued writes in one transaction, each kind of work at once, so that a failing one fails alone."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from crosshaul.errors import StateDirError, StateDirUnavailableError
from crosshaul.journal.sqlite.connect import damaged, identity, moved, storage_error
from crosshaul.journal.sqlite.reserve import Reserve
from crosshaul.journal.sqlite.rows import CorruptRowError
from crosshaul.journal.sqlite.transitions import IllegalTransition

A = TypeVar("A")
R = TypeVar("R")

Work = Callable[[sqlite3.Connection, Sequence[A]], Sequence[R | Exception]]
"""One kind of write for several callers at once; an exception among the results is raised to that caller alone."""


@dataclass(slots=True)
class Unit(Generic[A, R]):
    """A queued write: its work, its argument, and the caller's future."""

    work: Work[A, R]
    argument: A
    future: asyncio.Future[R]
    result: Any = field(default=None)


def one_by_one(function: Callable[[sqlite3.Connection, A], R]) -> Work[A, R]:
    """Return work that calls ``function`` for each argument."""

    def work(connection: sqlite3.Connection, arguments: Sequence[A]) -> Sequence[R | Exception]:
        return [function(connection, argument) for argument in arguments]

    return work


class Transactions:
    """Runs transactions on the journal's one writing connection."""

    def __init__(
        self, connection: sqlite3.Connection, database: Path, opened: tuple[int, int] | None, reserve: Reserve
    ) -> None:
        """``opened``: device and inode of ``database`` as it was opened."""
        self.last_error: StateDirError | None = None
        """Error of the last write; None once one succeeds."""
        self._connection = connection
        self._database = database
        self._identity = opened
        self._reserve = reserve

    def _transact(self, units: list[Unit[Any, Any]]) -> None:
        changes = self._connection.total_changes
        try:
            # Writes to a deleted or replaced database, or to another one's log, would be lost.
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

    def _commit_or_make_room(self, units: list[Unit[Any, Any]]) -> None:
        """Commit; on a full disk, release a piece of the reserve and try again."""
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
        """Checkpoint, so that the next commit overwrites the log: that needs no more room."""
        with contextlib.suppress(sqlite3.Error):
            self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()

    def _commit(self, units: list[Unit[Any, Any]]) -> None:
        self._connection.execute("BEGIN IMMEDIATE")
        for work, run in itertools.groupby(units, key=lambda unit: unit.work):
            self._perform(work, list(run))
        self._connection.execute("COMMIT")

    def _fail(self, units: list[Unit[Any, Any]], error: StateDirError) -> None:
        self.last_error = error
        for unit in units:
            unit.result = error

    def _roll_back(self) -> None:
        # After some errors SQLite has already rolled back; on a failing disk the rollback may fail too.
        with contextlib.suppress(sqlite3.Error):
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")

    def _perform(self, work: Work[Any, Any], units: list[Unit[Any, Any]]) -> None:
        """Run all units at once; if that fails, each alone, so that only the failing one gets the error."""
        results = self._attempt(work, units)
        if isinstance(results, Exception):
            if len(units) == 1:
                units[0].result = results
                return
            for unit in units:
                self._perform(work, [unit])
            return
        for unit, result in zip(units, results, strict=True):
            unit.result = result

    def _attempt(self, work: Work[Any, Any], units: list[Unit[Any, Any]]) -> Sequence[Any] | Exception:
        self._connection.execute("SAVEPOINT unit")
        failure: Exception
        try:
            results = work(self._connection, [unit.argument for unit in units])
            self._connection.execute("RELEASE unit")
            return results
        except sqlite3.IntegrityError as error:
            failure = IllegalTransition(str(error)) if "illegal transition" in str(error) else error
        except sqlite3.Error as error:
            if not isinstance(error, sqlite3.ProgrammingError):
                raise
            failure = error
        except CorruptRowError as error:
            failure = damaged(self._database, str(error))
        except Exception as error:  # noqa: BLE001 - raised to the caller of this unit
            failure = error
        self._connection.execute("ROLLBACK TO unit")
        self._connection.execute("RELEASE unit")
        return failure
