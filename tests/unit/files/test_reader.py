"""Small files that are not cached are fetched together, and each is read or refused on its own."""

from __future__ import annotations

import asyncio
import errno
import functools
import os
import threading
from collections.abc import AsyncIterator
from itertools import chain
from pathlib import Path

import pytest

from crosshaul.config import Route
from crosshaul.errors import FileChangedError, LocalResourcesError, RootMissingError, RouteHangsError
from crosshaul.files import page_cache_read, read_threads
from crosshaul.files.reader import FileReader
from crosshaul.files.source_file import SourceFile
from crosshaul.model import ChecksumKind, Claim, Fingerprint

COUNT = 40


@pytest.fixture
def route(tmp_path: Path) -> Route:
    return Route(name="r", path=tmp_path, destination="partner")


@pytest.fixture
async def files() -> AsyncIterator[FileReader]:
    readers = FileReader()
    readers.share_among(4)
    yield readers
    readers.close()


@pytest.fixture
def rounds(monkeypatch: pytest.MonkeyPatch) -> list[list[bytes]]:
    """Cache nothing until it was fetched; return the names in each fetch."""
    fetched: list[list[bytes]] = []
    real, known = page_cache_read.read, set[bytes]()

    def fetch(wanted):
        fetched.append([path for _, path in wanted])
        known.update(fetched[-1])

    monkeypatch.setattr(page_cache_read, "fetch", fetch)
    monkeypatch.setattr(page_cache_read, "supports", lambda _root: True)
    monkeypatch.setattr(
        page_cache_read, "read", lambda root, path, print_: real(root, path, print_) if path in known else None
    )
    return fetched


def claims(root: Path) -> list[Claim]:
    made = []
    for number in range(COUNT):
        path = root / f"f{number}"
        path.write_bytes(b"%d" % number)
        fingerprint = Fingerprint.of(path.stat())
        made.append(Claim(number, 1, "r", "partner", os.fsencode(path.name), fingerprint, path.name))
    return made


async def whole(files: FileReader, claim: Claim, route: Route) -> bytes:
    payload = await files.for_route(claim.route).read_file(claim, route, (ChecksumKind.CRC64NVME,), hashed=False)
    assert isinstance(payload.data, bytes | bytearray | memoryview)
    return bytes(payload.data)


async def test_many_that_are_not_in_memory_are_fetched_together(
    files: FileReader, route: Route, rounds: list[list[bytes]]
):
    """Files that are requested during a fetch are all in the next one, and each is read as it is."""
    wanted = claims(route.path)
    read = await asyncio.gather(*(whole(files, claim, route) for claim in wanted))
    assert read == [b"%d" % number for number in range(COUNT)]
    assert sorted(chain(*rounds)) == sorted(claim.path for claim in wanted)
    assert len(rounds) <= 3


async def test_who_leads_a_round_and_is_cancelled_leaves_nobody_waiting(
    files: FileReader, route: Route, rounds: list[list[bytes]]
):
    """If the caller that makes a fetch is cancelled, the others and later callers are still served."""
    leader, *others = (asyncio.create_task(whole(files, claim, route)) for claim in claims(route.path))
    await asyncio.sleep(0)
    leader.cancel()
    async with asyncio.timeout(60):
        assert await asyncio.gather(*others) == [b"%d" % number for number in range(1, COUNT)]
        assert await whole(files, claims(route.path)[0], route) == b"0"
    assert leader.cancelled()


async def test_a_file_that_changed_is_refused(files: FileReader, route: Route, rounds: list[list[bytes]]):
    """A file in another state than its claim's is refused after the fetch."""
    claim = claims(route.path)[0]
    (route.path / "f0").write_bytes(b"another state")
    with pytest.raises(FileChangedError):
        await whole(files, claim, route)
    assert rounds == [[b"f0"]]


async def test_a_file_that_changes_while_a_thread_reads_it_is_refused(
    files: FileReader, route: Route, monkeypatch: pytest.MonkeyPatch
):
    """Bytes of two states are never returned, however little was written in between."""
    claim, read = claims(route.path)[0], SourceFile.read
    monkeypatch.setattr(page_cache_read, "supports", lambda _root: False)
    monkeypatch.setattr(page_cache_read, "read", lambda *_: None)

    def reading(source: SourceFile, offset: int, length: int) -> bytes | memoryview:
        (route.path / "f0").write_bytes(b"1")
        return read(source, offset, length)

    monkeypatch.setattr(SourceFile, "read", reading)
    with pytest.raises(FileChangedError):
        await whole(files, claim, route)


@pytest.mark.parametrize(
    ("error", "raised"),
    [(errno.EMFILE, LocalResourcesError), (errno.ENFILE, LocalResourcesError), (errno.ENOMEM, LocalResourcesError)],
)
async def test_a_machine_without_descriptors_says_nothing_of_the_file(
    error: int, raised: type[Exception], files: FileReader, route: Route, monkeypatch: pytest.MonkeyPatch
):
    """A lack of descriptors, and a missing or unreadable root, have their own errors."""
    claim = claims(route.path)[0]
    monkeypatch.setattr(page_cache_read, "read", lambda *_: None)
    monkeypatch.setattr(page_cache_read, "supports", lambda _root: False)
    open_, below = os.open, []

    def full(path, *rest, **more):
        if "dir_fd" in more:
            below.append(path)
            raise OSError(error, os.strerror(error))
        return open_(path, *rest, **more)

    monkeypatch.setattr(os, "open", full)
    with pytest.raises(raised):
        await whole(files, claim, route)
    assert below
    monkeypatch.setattr(os, "open", lambda *_, **__: (_ for _ in ()).throw(PermissionError(errno.EACCES, "no")))
    with pytest.raises(RootMissingError):
        await whole(files, claim, route)


class Hanging:
    """Makes reads of one route wait for a gate, and records the reports."""

    def __init__(self, readers: FileReader, monkeypatch: pytest.MonkeyPatch) -> None:
        for name, seconds in (("_STUCK_SECONDS", 0.6), ("_HANGING_SECONDS", 0.8), ("_CHECK_SECONDS", 0.02)):
            monkeypatch.setattr(read_threads, name, seconds)
        self.gate = threading.Event()
        self.stuck: list[bool] = []
        self.hanging: list[tuple[str, bytes]] = []
        self.recovered = asyncio.Event()
        readers.observe(
            self.stuck.append,
            lambda route, path, _seconds: self.hanging.append((route, path)),
            lambda _route, _seconds: self.recovered.set(),
        )


@pytest.fixture
def hanging(files: FileReader, monkeypatch: pytest.MonkeyPatch):
    held = Hanging(files, monkeypatch)
    yield held
    held.gate.set()


async def test_reads_that_hang_take_the_threads_of_their_own_route_only(
    files: FileReader, route: Route, hanging: Hanging
):
    """Calls behind hanging reads are refused soon; another route reads; one returned read reopens the route."""
    claim = claims(route.path)[0]
    given_back: list[int] = []
    reader = files.for_route("r")
    reads = [
        asyncio.create_task(reader.threads.run(claim, hanging.gate.wait, functools.partial(given_back.append, number)))
        for number in range(10)
    ]
    async with asyncio.timeout(60):
        for read in reads[4:]:
            with pytest.raises(RouteHangsError):
                await read
        assert files.is_hanging("r")
        with pytest.raises(RouteHangsError):
            await reader.threads.run(claim, lambda: 1)
        assert await files.for_route("other").threads.run(claim, lambda: 1) == 1
        assert not files.is_hanging("other")
        while not hanging.hanging:
            await asyncio.sleep(0.01)
        assert hanging.hanging == [("r", b"f0")]
        assert sorted(given_back) == [0, 1, 2, 3]
        assert hanging.stuck == [False] * 4
        hanging.gate.set()
        await hanging.recovered.wait()
        assert await asyncio.gather(*reads[:4]) == [True] * 4
        assert await reader.threads.run(claim, lambda: 1) == 1


async def test_a_hung_read_that_nobody_waits_for_any_more_still_counts(
    files: FileReader, route: Route, hanging: Hanging
):
    """A cancelled task's thread still counts as hanging until it returns."""
    claim = claims(route.path)[0]
    begun: list[bool] = []

    def hang() -> bool:
        begun.append(True)
        return hanging.gate.wait()

    reads = [asyncio.create_task(files.for_route("r").threads.run(claim, hang)) for _ in range(4)]
    async with asyncio.timeout(60):
        while len(begun) < 4:
            await asyncio.sleep(0.01)
        for read in reads:
            read.cancel()
        while not files.is_hanging("r"):
            await asyncio.sleep(0.01)
        hanging.gate.set()
        await hanging.recovered.wait()
    assert not files.is_hanging("r")


async def test_a_few_slow_reads_do_not_close_a_route(files: FileReader, route: Route, hanging: Hanging):
    """While one thread is free the other files are read by it."""
    claim = claims(route.path)[0]
    slow = [asyncio.create_task(files.for_route("r").threads.run(claim, hanging.gate.wait)) for _ in range(3)]
    await asyncio.sleep(0.8)
    for _ in range(10):
        assert await files.for_route("r").threads.run(claim, lambda: 1) == 1
    assert hanging.stuck == [False] * 3
    hanging.gate.set()
    await asyncio.gather(*slow)
