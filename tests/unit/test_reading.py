"""Small files that are not in memory are fetched together, and each is read or refused by itself."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from itertools import chain
from pathlib import Path

import pytest

from crosshaul import cached
from crosshaul.config import Route
from crosshaul.errors import FileChangedError
from crosshaul.model import ChecksumKind, Claim, Fingerprint
from crosshaul.reading import Files
from crosshaul.source import SourceFile
from crosshaul.threads import Threads

COUNT = 40


@pytest.fixture
def route(tmp_path: Path) -> Route:
    return Route(name="r", path=tmp_path, destination="partner")


@pytest.fixture
async def files() -> AsyncIterator[Files]:
    threads = Threads(4, "test")
    yield Files(threads)
    threads.close()


@pytest.fixture
def rounds(monkeypatch: pytest.MonkeyPatch) -> list[list[bytes]]:
    """Nothing is in memory until it was fetched; the names in each round."""
    fetched: list[list[bytes]] = []
    real, known = cached.read, set[bytes]()

    def fetch(wanted):
        fetched.append([path for _, path in wanted])
        known.update(fetched[-1])

    monkeypatch.setattr(cached, "fetch", fetch)
    monkeypatch.setattr(cached, "serves", lambda _root: True)
    monkeypatch.setattr(cached, "read", lambda root, path, print_: real(root, path, print_) if path in known else None)
    return fetched


def claims(root: Path) -> list[Claim]:
    made = []
    for number in range(COUNT):
        path = root / f"f{number}"
        path.write_bytes(b"%d" % number)
        fingerprint = Fingerprint.of(path.stat())
        made.append(Claim(number, 1, "r", "partner", os.fsencode(path.name), fingerprint, path.name))
    return made


async def whole(files: Files, claim: Claim, route: Route) -> bytes:
    return bytes((await files.whole(claim, route, (ChecksumKind.CRC64NVME,), hashed=False)).data)


async def test_many_that_are_not_in_memory_are_fetched_together(files: Files, route: Route, rounds: list[list[bytes]]):
    """Files that are wanted while rounds are under way are all of the next one, and each is read as it is."""
    wanted = claims(route.path)
    read = await asyncio.gather(*(whole(files, claim, route) for claim in wanted))
    assert read == [b"%d" % number for number in range(COUNT)]
    assert sorted(chain(*rounds)) == sorted(claim.path for claim in wanted)
    assert len(rounds) <= 3


async def test_who_leads_a_round_and_is_cancelled_leaves_nobody_waiting(
    files: Files, route: Route, rounds: list[list[bytes]]
):
    """The others of its round are served all the same, if need be by a thread each, and so are those who come later."""
    leader, *others = (asyncio.create_task(whole(files, claim, route)) for claim in claims(route.path))
    await asyncio.sleep(0)
    leader.cancel()
    async with asyncio.timeout(5):
        assert await asyncio.gather(*others) == [b"%d" % number for number in range(1, COUNT)]
        assert await whole(files, claims(route.path)[0], route) == b"0"
    assert leader.cancelled()


async def test_a_file_that_changed_is_refused(files: Files, route: Route, rounds: list[list[bytes]]):
    """Fetching is no reading: a file in another state than its claim's is refused."""
    claim = claims(route.path)[0]
    (route.path / "f0").write_bytes(b"another state")
    with pytest.raises(FileChangedError):
        await whole(files, claim, route)
    assert rounds == [[b"f0"]]


async def test_a_file_that_changes_while_a_thread_reads_it_is_refused(
    files: Files, route: Route, monkeypatch: pytest.MonkeyPatch
):
    """Bytes of two states are never given, however little was written between them."""
    claim, read = claims(route.path)[0], SourceFile.read
    monkeypatch.setattr(cached, "serves", lambda _root: False)
    monkeypatch.setattr(cached, "read", lambda *_: None)

    def reading(source: SourceFile, offset: int, length: int) -> bytes | memoryview:
        (route.path / "f0").write_bytes(b"1")
        return read(source, offset, length)

    monkeypatch.setattr(SourceFile, "read", reading)
    with pytest.raises(FileChangedError):
        await whole(files, claim, route)
