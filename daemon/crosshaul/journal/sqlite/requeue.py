"""Puts files back in the queue from outside, beside a running daemon: `crosshaul retry` and `crosshaul resend`."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

from crosshaul.concurrency.clock import SystemClock
from crosshaul.journal.sqlite import connect
from crosshaul.journal.sqlite.migrate import check_current
from crosshaul.journal.sqlite.sql_files import SQL

_BATCH_ROWS = 1000


def requeue(state_dir: Path, selections: Sequence[tuple[str, bytes]] | None) -> int:
    """Queue quarantined files again, all or those of the given (route, path); return their number.

    A file that was refused, or whose key another file has, has no key to be sent under: the next scan decides again.
    Raises StateDirError.
    """
    with _writable(state_dir) as connection:
        connection.execute("BEGIN IMMEDIATE")
        now = SystemClock().now()
        if selections is None:
            changed = connection.execute(SQL["requeue_all"], (now,)).rowcount
        else:
            changed = connection.executemany(SQL["requeue_one"], [(now, *one) for one in selections]).rowcount
        connection.execute("COMMIT")
    return changed


def resend(state_dir: Path, selections: Sequence[tuple[str, bytes]]) -> int:
    """Queue delivered files again, for the place that they went to; return their number. Raises StateDirError."""
    changed = 0
    with _writable(state_dir) as connection:
        for start in range(0, len(selections), _BATCH_ROWS):
            now = SystemClock().now()
            connection.execute("BEGIN IMMEDIATE")
            values = [(now, *one) for one in selections[start : start + _BATCH_ROWS]]
            changed += connection.executemany(SQL["resend"], values).rowcount
            connection.execute("COMMIT")
    return changed


@contextlib.contextmanager
def _writable(state_dir: Path) -> Iterator[sqlite3.Connection]:
    database = connect.writable_database(state_dir)
    with connect.errors_explained(database), contextlib.closing(connect.open_writable(database)) as connection:
        check_current(connection, database)
        yield connection
