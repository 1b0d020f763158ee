"""The journal's schema: its migrations, and what it refuses on its own."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from itertools import permutations
from pathlib import Path

import pytest

from crosshaul.errors import StateDirError
from crosshaul.journal import Journal, Reader, requeue
from crosshaul.journal.sqlite import connect, migrate
from crosshaul.journal.sqlite.sql_files import SQL
from crosshaul.model import LARGE, TRANSITIONS, State
from support.journal_samples import settled
from support.virtual_time import ManualClock


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / connect.DATABASE


@pytest.fixture
def connection(database: Path) -> Iterator[sqlite3.Connection]:
    opened = connect.open_writable(database)
    migrate.migrate(opened, database)
    yield opened
    opened.close()


def version(connection: sqlite3.Connection) -> int:
    return connection.execute("PRAGMA user_version").fetchone()[0]


def test_a_fresh_journal_gets_every_step(connection: sqlite3.Connection, database: Path) -> None:
    """After a migration the version is that of the last step, and a second migration does nothing."""
    assert version(connection) == len(migrate.migrations()) > 0
    before = connection.execute("SELECT * FROM sqlite_schema").fetchall()
    migrate.migrate(connection, database)
    assert connection.execute("SELECT * FROM sqlite_schema").fetchall() == before


def test_a_step_is_whole_or_not_at_all(connection: sqlite3.Connection) -> None:
    """A step that fails half-way leaves neither its tables nor its number."""
    with pytest.raises(sqlite3.OperationalError):
        migrate._step(connection, 99, "CREATE TABLE half (a); CREATE TABLE half (b);")
    assert not connection.in_transaction
    assert version(connection) == len(migrate.migrations())
    assert connection.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'half'").fetchone() == (0,)


async def test_a_newer_journal_is_refused(tmp_path: Path) -> None:
    """The daemon, readers and requeue refuse a newer journal with one line and leave it unchanged."""
    journal = await Journal.open(tmp_path / "state", ManualClock())
    await journal.admit([settled(b"a")])
    await journal.close()
    database = tmp_path / "state" / connect.DATABASE
    with sqlite3.connect(database) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    line = r"version 99, and this Crosshaul knows up to \d+: install the newer Crosshaul"
    with pytest.raises(StateDirError, match=line):
        await Journal.open(tmp_path / "state", ManualClock())
    with pytest.raises(StateDirError, match=line):
        Reader.open(tmp_path / "state")
    with pytest.raises(StateDirError, match=line):
        requeue(tmp_path / "state", None)


def test_readers_wait_for_the_daemon_to_migrate(database: Path) -> None:
    """A reader never migrates: its error says to start the daemon once."""
    connect.open_writable(database).close()
    with pytest.raises(StateDirError, match="version 0, and this Crosshaul needs 9: start the daemon"):
        Reader.open(database.parent)


def test_sources_that_earlier_versions_gave_up_are_taken_up_again(database: Path) -> None:
    """Failed removals of earlier versions are due again; kept and finished ones are not."""
    opened = connect.open_writable(database)
    for number in range(1, 5):
        opened.executescript(migrate.migrations()[number])
    opened.execute("PRAGMA user_version = 4")
    kept = '{"kind": "file", "code": "AfterUploadKeep", "message": "kept"}'
    for path, action, diagnosis in (("failed", "failed", "{}"), ("kept", "failed", kept), ("done", "done", None)):
        opened.execute(
            "INSERT INTO files (route, path, destination, key, holds_key, state, generation, size, fingerprint, "
            "first_seen_at, queued_at, changed_at, due_at, delivered_at, after_action, diagnosis) "
            "VALUES ('r', ?1, 'd', hex(?1), 1, 'delivered', 1, 1, '1 1 1 1', 1, 1, 1, 1, 7, ?2, ?3)",
            (path.encode(), action, diagnosis),
        )
    migrate.migrate(opened, database)
    found = opened.execute("SELECT CAST(path AS TEXT), after_due_at, after_action FROM files ORDER BY id").fetchall()
    assert found == [("failed", 7.0, "failed"), ("kept", None, "kept"), ("done", None, "done")]
    opened.close()


def test_the_connection_is_durable(connection: sqlite3.Connection) -> None:
    """Write-ahead log, synchronous=FULL and foreign keys are on, and every table is STRICT."""
    found = [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")]
    assert found == ["wal", 2]
    assert connection.execute("PRAGMA foreign_keys").fetchone() == (1,)
    tables = connection.execute(
        "SELECT name, strict FROM pragma_table_list"
        " WHERE schema = 'main' AND type = 'table' AND name NOT LIKE 'sqlite%'"
    )
    assert {strict for _, strict in tables} == {1}


def test_a_reader_cannot_write(connection: sqlite3.Connection, database: Path) -> None:
    """The connection for reading refuses every write."""
    reading = connect.open_readable(database)
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        reading.execute("DELETE FROM files")
    reading.close()


def put(connection: sqlite3.Connection, state: State) -> None:
    connection.execute("DELETE FROM files")
    connection.execute(
        "INSERT INTO files (id, route, path, destination, key, holds_key, state, generation, claimed, size,"
        " fingerprint, first_seen_at, queued_at, changed_at, due_at, delivered_at)"
        " VALUES (1, 'r', x'61', 'd', 'a', ?, ?, 1, ?, 1, '1 1 1 1', 0, 0, 0, 0, ?)",
        columns(state),
    )


def columns(state: State) -> tuple[int, State, int | None, float | None]:
    """Return the columns that depend on the state, with valid values."""
    return (
        int(state != State.GONE),
        state,
        1 if state == State.UPLOADING else None,
        1.0 if state == State.DELIVERED else None,
    )


MOVE = "UPDATE files SET holds_key = ?, state = ?, claimed = ?, delivered_at = ?"


@pytest.mark.parametrize(("old", "new"), list(permutations(State, 2)))
def test_the_schema_allows_the_same_transitions(connection: sqlite3.Connection, old: State, new: State) -> None:
    """The trigger allows each transition of ``model.TRANSITIONS`` and no other."""
    put(connection, old)
    if new in TRANSITIONS[old]:
        connection.execute(MOVE, columns(new))
        assert connection.execute("SELECT state FROM files").fetchone() == (new,)
    else:
        with pytest.raises(sqlite3.IntegrityError, match="illegal transition"):
            connection.execute(MOVE, columns(new))
        assert connection.execute("SELECT state FROM files").fetchone() == (old,)


@pytest.mark.parametrize(
    "lie",
    [
        "state = 'delivered', claimed = NULL",
        "state = 'pending', claimed = NULL, holds_key = 0",
        "state = 'pending'",
        "state = 'elsewhere'",
        "claimed = 2",
        "after_due_at = 5.0",
    ],
)
def test_the_schema_refuses_lies(connection: sqlite3.Connection, lie: str) -> None:
    """The schema refuses rows that are delivered without a receipt, pending without a key, and other contradictions."""
    put(connection, State.UPLOADING)
    with pytest.raises(sqlite3.IntegrityError):
        connection.execute(f"UPDATE files SET {lie}")


def test_the_queries_and_the_code_call_the_same_files_large(connection: sqlite3.Connection) -> None:
    """The limit between small and large files is model.LARGE in the index and in every query."""
    output = [row[0] for row in connection.execute("SELECT sql FROM sqlite_schema WHERE name = 'files_due'")]
    output += [query for query in SQL.values() if "size >=" in query]
    numbers = [number for text in output for number in re.findall(r"size >= ([0-9]+)", text)]
    assert len(numbers) >= 3
    assert set(numbers) == {str(LARGE)}


@pytest.mark.parametrize("name", ["due", "canaries_newest", "canaries_oldest", "next_due"])
def test_what_is_due_is_found_by_its_index(connection: sqlite3.Connection, name: str) -> None:
    """Due files come in order from one index, however many are pending."""
    values = ("r", 0, False, False) if name == "next_due" else ("r", 0, False, False, 1.0, 10)
    plan = " ".join(row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {SQL[name]}", values))
    assert "files_due (route=? AND plan=? AND <expr>=? AND <expr>=?" in plan
    assert "TEMP B-TREE" not in plan


@pytest.mark.parametrize(
    ("name", "values", "by"),
    [
        ("offer_keys_of", ("[1]",), "files_without_key (place=? AND key=?)"),
        ("offer_keys_of_paths", ("r", b"a"), "files_without_key (place=? AND key=?)"),
        ("first_uploading", (10,), "files_rare (state=?)"),
        ("first_quarantined", (10,), "files_rare (state=?)"),
    ],
)
def test_what_is_asked_all_the_time_is_answered_by_an_index(
    connection: sqlite3.Connection, name: str, values: tuple[object, ...], by: str
) -> None:
    """Frequent queries, such as those of the status page, read only the rows that they return."""
    plan = " ".join(row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {SQL[name]}", values))
    assert by in plan
    assert "SCAN files" not in plan
