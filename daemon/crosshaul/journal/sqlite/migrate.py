"""Migrates a journal to the current schema, one numbered step at a time, each in one transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from importlib import resources
from pathlib import Path

from crosshaul.errors import StateDirError
from crosshaul.journal.sqlite.connect import damaged


def migrations() -> Mapping[int, str]:
    """Return the steps by number, from ``migrations/NNNN_*.sql``; raises ValueError if a number is missing."""
    files = sorted(resources.files(__package__).joinpath("migrations").iterdir(), key=lambda entry: entry.name)
    steps = {int(file.name[:4]): file.read_text(encoding="utf-8") for file in files if file.name.endswith(".sql")}
    if list(steps) != list(range(1, len(steps) + 1)):
        raise ValueError(f"migrations are numbered {list(steps)}")
    return steps


def migrate(connection: sqlite3.Connection, database: Path) -> None:
    """Run the missing steps. Raises StateDirError if a newer version wrote the journal, and sqlite3.Error."""
    steps = migrations()
    for number in range(_version(connection, database, newest=len(steps)) + 1, len(steps) + 1):
        _step(connection, number, steps[number])


def check_current(connection: sqlite3.Connection, database: Path) -> None:
    """Raise StateDirError unless the journal has the current schema; for processes that may not migrate."""
    newest = len(migrations())
    if (version := _version(connection, database, newest)) < newest:
        raise StateDirError(
            f"The journal {database} has version {version}, and this Crosshaul needs {newest}: "
            "start the daemon (or a push) once, which brings it up to date."
        )


def _version(connection: sqlite3.Connection, database: Path, newest: int) -> int:
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    if version < 0:
        raise damaged(database, f"its version is {version}")
    if version > newest:
        raise StateDirError(
            f"The journal {database} has version {version}, and this Crosshaul knows up to {newest}: "
            "install the newer Crosshaul that wrote it, or give this one a state_dir of its own."
        )
    return version


def _step(connection: sqlite3.Connection, number: int, script: str) -> None:
    # A step may replace a table that others refer to (SQLite, "Making Other Kinds Of Table Schema Changes"); with
    # foreign keys on, dropping the old table would delete the rows that refer to it.
    connection.execute("PRAGMA foreign_keys = OFF")
    try:
        connection.executescript(f"BEGIN IMMEDIATE;\n{script}\nPRAGMA user_version = {number};\nCOMMIT;")
    except sqlite3.Error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    finally:
        connection.execute("PRAGMA foreign_keys = ON")
