"""Reading the journal from another process, with the daemon up and down."""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from crosshaul.journal import Journal, Reader, lock
from crosshaul.journal.sqlite import reader_status
from crosshaul.model import DestinationStatus, Place, Quarantine, RoutePlan, RouteStatus, State
from support.journal_samples import DONE, PARTNER, ROUTE, SLOW, multipart, settled
from support.virtual_time import ManualClock


@pytest.fixture
def state_dir(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
async def journal(state_dir: Path) -> AsyncIterator[Journal]:
    opened = await Journal.open(state_dir, ManualClock())
    yield opened
    await opened.close()


async def filled(journal: Journal) -> None:
    """Make three files: ``a`` delivered, ``b`` quarantined with an open upload, ``c`` of another route pending."""
    await journal.admit([settled(b"a"), settled(b"b")])
    first, second = await journal.claim([ROUTE], 2)
    await journal.finish(first, DONE)
    await journal.begin_multipart(second, multipart(1, 2, key="b"))
    await journal.finish(second, Quarantine(SLOW))
    await journal.admit([settled(b"c", route="other")])
    await journal.save_route(RouteStatus(ROUTE, "watching", 1.5, 2.5, 3, 4))
    await journal.save_destination(DestinationStatus(PARTNER, last_error=SLOW))


async def test_a_reader_sees_what_the_daemon_sees(journal: Journal, state_dir: Path) -> None:
    """Beside a running daemon a reader has the same records and counts, as of each call."""
    with Reader.open(state_dir) as reading:
        await filled(journal)
        assert reading.route_counts() == await journal.route_counts()
        assert reading.find(ROUTE, b"b") == await journal.find(ROUTE, b"b")
        assert reading.routes() == [RouteStatus(ROUTE, "watching", 1.5, 2.5, 3, 4)]
        assert reading.destinations() == [DestinationStatus(PARTNER, last_error=SLOW)]


async def test_a_reader_works_with_the_daemon_down(journal: Journal, state_dir: Path) -> None:
    """After a clean end a reader finds everything in the database."""
    await filled(journal)
    await journal.close()
    assert not (state_dir / "journal.db-wal").exists()
    with Reader.open(state_dir) as reading:
        assert [record.path for record in reading.records(None, None, None)] == [b"a", b"b", b"c"]
        assert reading.daemon_pid() is None


async def test_records_are_selected(journal: Journal, state_dir: Path) -> None:
    """Records come by state, by route and up to a limit, with their unfinished uploads."""
    await filled(journal)
    with Reader.open(state_dir) as reading:
        (record,) = reading.records(State.QUARANTINED, None, None)
        assert (record.path, record.multipart, record.diagnosis) == (b"b", multipart(1, 2, key="b"), SLOW)
        assert [one.path for one in reading.records(None, ROUTE, None)] == [b"a", b"b"]
        assert [one.path for one in reading.records(None, None, 2)] == [b"a", b"b"]
        assert list(reading.records(State.GONE, ROUTE, 5)) == []


async def test_records_come_in_pages(journal: Journal, state_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every record is returned once, whatever the pages and the writes between them."""
    monkeypatch.setattr(reader_status, "_PAGE_ROWS", 10)
    await journal.admit([settled(b"%03d" % number) for number in range(100)])
    with Reader.open(state_dir) as reading:
        found = [one.path for one in reading.records(None, None, 35)]
        assert found == [b"%03d" % number for number in range(35)]
        pages = reading.records()
        next(pages)
        for claim in await journal.claim([ROUTE], 100):
            await journal.finish(claim, DONE)
        assert len(list(pages)) == 99


async def test_a_record_is_found_by_its_key(journal: Journal, state_dir: Path) -> None:
    """by_key finds the file of an object, and nothing for a refused key."""
    place = Place("aws", "partner-bucket")
    plans = await journal.apply_plans(
        [RoutePlan(ROUTE, PARTNER, place, b"/srv", "1", by_content=False)], {PARTNER: place}
    )
    await journal.admit([replace(settled(path, key="a"), plan=plans[ROUTE]) for path in (b"a", b"d")])
    with Reader.open(state_dir) as reading:
        found = reading.by_key(place, "a")
        assert found is not None
        assert found.path == b"a"
        assert reading.by_key(place, "nothing") is None


async def test_who_holds_the_directory(journal: Journal, state_dir: Path) -> None:
    """daemon_pid is the holder's pid, and None after its release, although the lock file stays."""
    with Reader.open(state_dir) as reading:
        assert reading.daemon_pid() == os.getpid()
        await journal.close()
        assert (state_dir / "lock").exists()
        assert reading.daemon_pid() is None


def test_asking_never_keeps_a_daemon_out(tmp_path: Path) -> None:
    """A daemon that starts while a reader probes the lock waits for it, and starts."""
    with (tmp_path / "lock").open("wb") as asking:
        fcntl.flock(asking, fcntl.LOCK_SH)
        done = threading.Timer(0.05, fcntl.flock, (asking, fcntl.LOCK_UN))
        done.start()
        lock.StateLock.take(tmp_path).release()
        done.join()


async def test_those_that_wait_longest_come_first(journal: Journal) -> None:
    """Of a route's pending files the first few by queueing time are returned, and no others."""
    await filled(journal)
    for name in (b"z", b"y", b"x"):
        await journal.admit([settled(name)])
        await journal._clock.sleep(1.0)
    assert [record.path for record in await journal.longest_pending(ROUTE, 2)] == [b"z", b"y"]
    assert [record.path for record in await journal.longest_pending("other", 2)] == [b"c"]


async def test_bytes_in_parts_are_those_of_unfinished_files(journal: Journal) -> None:
    """Confirmed bytes of a file count until the file is delivered or its upload is dropped."""
    await journal.admit([settled(b"a")])
    (claim,) = await journal.claim([ROUTE], 1)
    upload = multipart(1, 2, key="a")
    await journal.begin_multipart(claim, upload)
    assert await journal.bytes_in_parts() == sum(part.size for part in upload.parts) > 0
    await journal.finish(claim, DONE)
    assert await journal.bytes_in_parts() == 0
