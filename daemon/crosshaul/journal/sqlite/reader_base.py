"""A read-only connection to the journal, and its snapshots."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from crosshaul.errors import StateDirError
from crosshaul.journal import lock
from crosshaul.journal.sqlite import connect, rows
from crosshaul.journal.sqlite.claims import multiparts_of
from crosshaul.journal.sqlite.migrate import check_current
from crosshaul.journal.sqlite.sql_files import SQL
from crosshaul.model import Record


class ReaderBase:
    """A read-only view; each call sees all that was committed before it. Every method may raise StateDirError."""

    def __init__(self, state_dir: Path, connection: sqlite3.Connection) -> None:
        self._state_dir = state_dir
        self._connection = connection

    @classmethod
    def open(cls, state_dir: Path) -> Self:
        """Open the journal in ``state_dir``; raises StateDirError if there is none, or it can't be read."""
        database = connect.existing_database(state_dir)
        with connect.errors_explained(database):
            connection = connect.open_readable(database)
            try:
                check_current(connection, database)
            except (StateDirError, sqlite3.Error):
                connection.close()
                raise
        return cls(state_dir, connection)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def daemon_pid(self) -> int | None:
        """Return the pid of the process that holds ``state_dir``; None if there is none."""
        return lock.holder(self._state_dir)

    def _first_record(self, query: str, values: Sequence[object]) -> Record | None:
        return next(iter(self._records(query, values)), None)

    def _records(self, query: str, values: Sequence[object] | dict[str, object]) -> list[Record]:
        with self._snapshot() as connection:
            cursor = connection.cursor()
            cursor.row_factory = sqlite3.Row
            records = cursor.execute(SQL[query], values).fetchall()
            multiparts = multiparts_of(connection, rows.ids_text(row["id"] for row in records))
            return [rows.record(row, multiparts.get(row["id"])) for row in records]

    @contextlib.contextmanager
    def _snapshot(self) -> Iterator[sqlite3.Connection]:
        """Open one transaction, so that several queries see the same moment."""
        with connect.errors_explained(self._state_dir / connect.DATABASE):
            self._connection.execute("BEGIN")
            try:
                yield self._connection
            finally:
                self._connection.execute("COMMIT")
