"""Opens SQLite connections, and explains SQLite's errors in one line."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from crosshaul.errors import JournalDamagedError, JournalMovedError, StateDirError, StateDirUnavailableError
from crosshaul.journal.sqlite.rows import CorruptRowError
from crosshaul.journal.state_dir import obstacle

DATABASE = "journal.db"
_BUSY_SECONDS = 10.0
_STRICT_TABLES_SINCE = (3, 38, 0)
_REPLACE_ADVICE = (
    "Restore it from a backup, or move it away (with its -wal and -shm): a new one is made, and files that are "
    "already in the bucket are recognised, not sent again"
)
_DISK_CODES = frozenset({sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR})
_TEMPORARY_CODES = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_BUSY})
_DAMAGE_CODES = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_FAULTS = {
    sqlite3.SQLITE_FULL: ("the disk is full", "Free some space: Crosshaul then continues"),
    sqlite3.SQLITE_READONLY: ("it can't be written to", "Make the directory and its files writable for this user"),
    sqlite3.SQLITE_PERM: ("access is denied", "Make the directory and its files writable for this user"),
    sqlite3.SQLITE_CANTOPEN: ("it can't be opened", "Make the directory and its files writable for this user"),
    sqlite3.SQLITE_IOERR: ("the disk reports an input/output error", "Check the disk and its free space"),
    sqlite3.SQLITE_CORRUPT: ("it is damaged", _REPLACE_ADVICE),
    sqlite3.SQLITE_NOTADB: ("it is not a journal", _REPLACE_ADVICE),
    sqlite3.SQLITE_BUSY: ("another process keeps it locked", "Find the process that has it open, and stop it"),
}


def storage_error(database: Path, error: sqlite3.Error) -> StateDirError:
    """Return the error to raise for SQLite's error, with what the operator has to do."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    what, advice = _FAULTS.get(code, ("SQLite reports an error", "Please report this"))
    blocker = obstacle(database.parent) if code in _DISK_CODES else None
    return _kind(code, blocker)(
        f"The journal {database} can't be used: {what} ({error}). {(blocker or advice).rstrip('.')}."
    )


def _kind(code: int, blocker: str | None) -> type[StateDirError]:
    if code in _DAMAGE_CODES:
        return JournalDamagedError
    return StateDirUnavailableError if blocker or code in _TEMPORARY_CODES else StateDirError


@contextlib.contextmanager
def errors_explained(database: Path) -> Iterator[None]:
    """Raise StateDirError in place of SQLite's errors and of rows that make no sense."""
    try:
        yield
    except sqlite3.Error as error:
        raise storage_error(database, error) from error
    except CorruptRowError as error:
        raise damaged(database, str(error)) from error


def existing_database(state_dir: Path) -> Path:
    """Return the path of the journal; raises StateDirError if there is none."""
    database = state_dir / DATABASE
    try:
        exists = database.is_file()
    except OSError as error:
        raise StateDirError(f"state_dir {state_dir} can't be read: {error.strerror}.") from error
    if not exists:
        raise StateDirError(f"There is no journal in {state_dir} yet: start the daemon, or check state_dir.")
    return database


def writable_database(state_dir: Path) -> Path:
    """Return the path of a journal that is to be written to; raises StateDirError if it is a symbolic link."""
    database = existing_database(state_dir)
    if database.is_symlink():
        # SQLite would follow it: a user who may write in state_dir could have root write elsewhere.
        raise StateDirError(f"The journal {database} is a symbolic link: put the file itself there.")
    return database


def check_whole(connection: sqlite3.Connection, database: Path) -> None:
    """Check every page, since a damaged index hides files without an error: about 4 s for a million files.

    Raises JournalDamagedError, sqlite3.Error.
    """
    fault = " ".join(str(connection.execute("PRAGMA integrity_check(1)").fetchone()[0]).split())
    if fault != "ok":
        raise damaged(database, fault)


def damaged(database: Path, fault: str) -> JournalDamagedError:
    """Return the error for a journal that ``fault`` shows to be damaged."""
    return JournalDamagedError(f"The journal {database} can't be used: it is damaged ({fault}). {_REPLACE_ADVICE}.")


def identity(database: Path) -> tuple[int, int] | None:
    """Return device and inode of the file; None if there is none."""
    try:
        status = database.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def moved(database: Path) -> JournalMovedError:
    """Return the error for a journal that is no longer the file that was opened."""
    return JournalMovedError(
        f"The journal {database} was deleted or replaced while it was in use: nothing more is recorded. "
        "Start Crosshaul again: it uses the journal that is there, or makes a new one, and recognises files that are "
        "already in the bucket."
    )


def open_writable(database: Path) -> sqlite3.Connection:
    """Open the writing connection; another thread may use it. Raises sqlite3.Error, StateDirError."""
    _check_version()
    connection = sqlite3.connect(database, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        for pragma in (
            "journal_mode = WAL",
            "synchronous = FULL",
            "foreign_keys = ON",
            "temp_store = MEMORY",  # statement journals; as files they take a third of the time
            "journal_size_limit = 67108864",
        ):
            connection.execute(f"PRAGMA {pragma}")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def open_readable(database: Path) -> sqlite3.Connection:
    """Open a read-only connection that sees all earlier commits. Raises sqlite3.Error, StateDirError."""
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
