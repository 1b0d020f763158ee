"""The writer: many callers share few commits, and no result comes before its commit."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from crosshaul.errors import StateDirError
from crosshaul.journal import CommitStats, Journal
from crosshaul.journal.sqlite import connect, writer
from crosshaul.journal.sqlite.reserve import Reserve
from crosshaul.journal.sqlite.write_batch import one_by_one
from crosshaul.journal.sqlite.writer import Writer
from crosshaul.model import State
from support.journal_samples import DONE, ROUTE, settled
from support.virtual_time import ManualClock


@pytest.fixture
async def connection(tmp_path: Path) -> sqlite3.Connection:
    opened = connect.open_writable(tmp_path / connect.DATABASE)
    opened.execute("CREATE TABLE notes (text TEXT NOT NULL UNIQUE)")
    return opened


@pytest.fixture
async def notes(tmp_path: Path, connection: sqlite3.Connection) -> AsyncIterator[Writer]:
    opened = Writer(
        connection, tmp_path / connect.DATABASE, connect.identity(tmp_path / connect.DATABASE), Reserve(tmp_path)
    )
    yield opened
    await opened.close()


def insert(connection: sqlite3.Connection, text: str) -> str:
    connection.execute("INSERT INTO notes VALUES (?)", (text,))
    if text == "bad":
        raise ValueError(text)
    return text.upper()


NOTE = one_by_one(insert)


def noted(tmp_path: Path) -> set[str]:
    reading = connect.open_readable(tmp_path / connect.DATABASE)
    found = {row[0] for row in reading.execute("SELECT text FROM notes")}
    reading.close()
    return found


async def test_many_outcomes_share_a_commit(tmp_path: Path) -> None:
    """500 concurrent outcomes take a handful of commits, and each caller gets its own result."""
    journal = await Journal.open(tmp_path / "state", ManualClock())
    await journal.admit([settled(b"%d" % number) for number in range(500)])
    claims = await journal.claim([ROUTE], 500)
    before = journal.commits
    answers = await asyncio.gather(*(journal.finish(claim, DONE) for claim in claims))
    assert answers == [State.DELIVERED] * 500
    assert journal.commits - before <= 5
    assert journal.last_commit is not None
    assert journal.last_commit.seconds > 0
    await journal.close()


async def test_commits_are_reported(tmp_path: Path) -> None:
    """The callback gets each commit, with its duration and number of writes, in the loop."""
    journal = await Journal.open(tmp_path / "state", ManualClock())
    received: list[CommitStats] = []
    journal.on_commit(received.append)
    await asyncio.gather(*(journal.mark_gone(ROUTE, [b"a"]) for _ in range(30)))
    assert sum(stats.units for stats in received) == 30
    assert len(received) == journal.commits
    await journal.close()


async def test_the_answer_comes_after_the_commit(notes: Writer, tmp_path: Path) -> None:
    """When a write returns another connection sees it, alone or among others."""

    async def write_and_look(number: int) -> bool:
        await notes.execute(NOTE, f"note {number}")
        return f"note {number}" in noted(tmp_path)

    assert all(await asyncio.gather(*(write_and_look(number) for number in range(40))))


async def test_a_failing_unit_fails_alone(notes: Writer, tmp_path: Path) -> None:
    """Of units in one transaction, the one that raises is undone and gets its error; the others are committed."""
    texts = ["one", "bad", "two", "two", "three"]
    answers = await asyncio.gather(*(notes.execute(NOTE, text) for text in texts), return_exceptions=True)
    assert [answer for answer in answers if isinstance(answer, str)] == ["ONE", "TWO", "THREE"]
    assert [type(answer) for answer in answers if not isinstance(answer, str)] == [ValueError, sqlite3.IntegrityError]
    assert noted(tmp_path) == {"one", "two", "three"}


async def test_a_failing_commit_fails_all(notes: Writer, connection: sqlite3.Connection, tmp_path: Path) -> None:
    """If a transaction can't be committed, all its callers get the error, nothing is kept, and the writer continues."""
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("CREATE TABLE strings (note TEXT REFERENCES notes (text) DEFERRABLE INITIALLY DEFERRED)")

    def dangle(connection: sqlite3.Connection, text: str) -> None:
        connection.execute("INSERT INTO strings VALUES (?)", (text,))

    answers = await asyncio.gather(
        notes.execute(NOTE, "one"), notes.execute(one_by_one(dangle), "none"), return_exceptions=True
    )
    assert [type(answer) for answer in answers] == [StateDirError, StateDirError]
    assert all(str(tmp_path) in str(answer) for answer in answers)
    assert noted(tmp_path) == set()
    assert await notes.execute(NOTE, "two") == "TWO"


async def test_a_locked_journal_is_waited_for(notes: Writer, tmp_path: Path) -> None:
    """A short write of another process only delays a commit."""
    other = connect.open_writable(tmp_path / connect.DATABASE)
    other.execute("BEGIN IMMEDIATE")
    waiting = asyncio.create_task(notes.execute(NOTE, "one"))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    other.execute("COMMIT")
    other.close()
    assert await waiting == "ONE"


async def test_one_who_leaves_disturbs_nobody(notes: Writer, connection: sqlite3.Connection) -> None:
    """A cancelled caller's write may happen, and the others get their results."""
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("COMMIT")
    waiting = [asyncio.create_task(notes.execute(NOTE, text)) for text in ("one", "two")]
    await asyncio.sleep(0)
    waiting[0].cancel()
    assert await waiting[1] == "TWO"
    with pytest.raises(asyncio.CancelledError):
        await waiting[0]


async def test_closing_finishes_what_waits(notes: Writer, tmp_path: Path) -> None:
    """Everything queued before close is committed; later writes raise that the journal is closed."""
    waiting = [asyncio.create_task(notes.execute(NOTE, str(number))) for number in range(50)]
    await asyncio.sleep(0)
    await notes.close()
    assert len(await asyncio.gather(*waiting)) == 50
    assert len(noted(tmp_path)) == 50
    with pytest.raises(RuntimeError, match="closed"):
        await notes.execute(NOTE, "late")


async def test_the_queue_is_bounded(
    connection: sqlite3.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The queue never exceeds its limit, and all callers are served."""
    monkeypatch.setattr(writer, "_MAX_QUEUED_UNITS", 8)
    narrow = Writer(
        connection, tmp_path / connect.DATABASE, connect.identity(tmp_path / connect.DATABASE), Reserve(tmp_path)
    )
    most = 0

    def count(_connection: sqlite3.Connection, texts: Sequence[str]) -> list[str]:
        nonlocal most
        most = max(most, len(texts))
        return list(texts)

    assert len(await asyncio.gather(*(narrow.execute(count, str(number)) for number in range(100)))) == 100
    assert most <= 8
    await narrow.close()
