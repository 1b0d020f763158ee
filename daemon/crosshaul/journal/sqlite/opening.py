"""Opens the journal: locks ``state_dir``, migrates the database, and undoes what a crash left unfinished."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path

from crosshaul.errors import StateDirError, StateDirUnavailableError
from crosshaul.journal import lock
from crosshaul.journal.sqlite import connect
from crosshaul.journal.sqlite.migrate import migrate
from crosshaul.journal.sqlite.reader import Reader
from crosshaul.journal.sqlite.reserve import Reserve
from crosshaul.journal.sqlite.sql_files import SQL
from crosshaul.journal.state_dir import prepare, private_file

Opened = tuple[lock.StateLock, sqlite3.Connection, Reader]


def open_with_reserve(reserve: Reserve, state_dir: Path, now: float) -> Opened:
    """Open the journal, on a full disk at the cost of the reserve; then refill the reserve. Blocks.

    Raises LockedError, StateDirError.
    """
    try:
        opened = open_state_dir(state_dir, now)
    except StateDirUnavailableError:
        if not reserve.release():
            raise
        opened = open_state_dir(state_dir, now)
    reserve.keep()
    return opened


def open_state_dir(state_dir: Path, now: float) -> Opened:
    """Lock ``state_dir`` and open its journal for writing and for reading. Raises LockedError, StateDirError."""
    prepare(state_dir)
    with contextlib.ExitStack() as undo:
        held = lock.StateLock.take(state_dir)
        undo.callback(held.release)
        connection = _open_database(state_dir / connect.DATABASE, now)
        undo.callback(connection.close)
        reader = Reader.open(state_dir)
        undo.pop_all()
    return held, connection, reader


def _open_database(database: Path, now: float) -> sqlite3.Connection:
    os.close(private_file(database))
    try:
        connection = connect.open_writable(database)
    except sqlite3.Error as error:
        raise connect.storage_error(database, error) from error
    try:
        connect.check_whole(connection, database)
        migrate(connection, database)
        recover(connection, now)
    except sqlite3.Error as error:
        connection.close()
        raise connect.storage_error(database, error) from error
    except StateDirError:
        connection.close()
        raise
    return connection


def recover(connection: sqlite3.Connection, now: float) -> None:
    """Queue files again that were UPLOADING, as ambiguous, and those that were CHANGED."""
    connection.execute("BEGIN IMMEDIATE")
    connection.execute(SQL["recover_uploading"], (now,))
    connection.execute(SQL["recover_changed"], (now,))
    connection.execute("COMMIT")
