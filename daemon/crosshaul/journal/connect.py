"""Opens SQLite connections, and says in one line what is wrong with a journal."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from urllib.parse import quote

from crosshaul.errors import StateDirError

DATABASE = "journal.db"
_BUSY_SECONDS = 10.0
_STRICT_TABLES_SINCE = (3, 38, 0)
_OUT_OF_PLACE = "Restore it from a backup, or move it away: a fresh one is made, and every file is sent again"
_FAULTS = {
    sqlite3.SQLITE_FULL: ("the disk is full", "Make room: Crosshaul goes on from where it was"),
    sqlite3.SQLITE_READONLY: ("it can't be written to", "Make the directory and its files writable for this user"),
    sqlite3.SQLITE_PERM: ("access is denied", "Make the directory and its files writable for this user"),
    sqlite3.SQLITE_CANTOPEN: ("it can't be opened", "Make the directory and its files writable for this user"),
    sqlite3.SQLITE_IOERR: ("the disk reports an input/output error", "Look after the disk and its free space"),
    sqlite3.SQLITE_CORRUPT: ("it is damaged", _OUT_OF_PLACE),
    sqlite3.SQLITE_NOTADB: ("it is not a journal", _OUT_OF_PLACE),
    sqlite3.SQLITE_BUSY: ("another process keeps it locked", "Find out which one has it open, and end that"),
}


def storage_error(database: Path, error: sqlite3.Error) -> StateDirError:
    """What SQLite's error means for the person who looks after ``database``."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    what, cure = _FAULTS.get(code, ("SQLite refuses", "Please report this"))
    return StateDirError(f"The journal {database} can't be used: {what} ({error}). {cure}.")


def open_writable(database: Path) -> sqlite3.Connection:
    """The connection that writes; made in one thread and used in another. Raises sqlite3.Error, StateDirError."""
    _check_version()
    connection = sqlite3.connect(database, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        for pragma in (
            "journal_mode = WAL",
            "synchronous = FULL",
            "foreign_keys = ON",
            "journal_size_limit = 67108864",
        ):
            connection.execute(f"PRAGMA {pragma}")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def open_readable(database: Path) -> sqlite3.Connection:
    """A connection that can only read, and sees whatever was committed before. Raises sqlite3.Error, StateDirError."""
    _check_version()
    uri = f"file:{quote(os.fsencode(database.absolute()))}?mode=ro"
    connection = sqlite3.connect(uri, uri=True, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA query_only = ON")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _check_version() -> None:
    if sqlite3.sqlite_version_info < _STRICT_TABLES_SINCE:
        wanted = ".".join(map(str, _STRICT_TABLES_SINCE))
        raise StateDirError(f"This Python has SQLite {sqlite3.sqlite_version}: the journal needs {wanted} or later.")
