"""The reserve: space that is kept for receipts on a full disk."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from crosshaul.errors import StateDirUnavailableError
from crosshaul.journal import Journal
from crosshaul.journal.sqlite.reserve import PIECE_BYTES, RESERVE, SIZE_BYTES, Reserve
from crosshaul.model import RouteStatus
from support.virtual_time import ManualClock


def allocated(state_dir: Path) -> int:
    return (state_dir / RESERVE).stat().st_blocks * 512


async def test_a_journal_that_is_open_has_it(tmp_path: Path) -> None:
    """Opening a journal allocates the reserve, for its owner alone; the next opening keeps it."""
    for _ in range(2):
        await (await Journal.open(tmp_path / "state", ManualClock())).close()
        assert allocated(tmp_path / "state") >= SIZE_BYTES
        assert (tmp_path / "state" / RESERVE).stat().st_mode & 0o777 == 0o600


def test_a_file_that_only_looks_like_it_is_replaced(tmp_path: Path) -> None:
    """A sparse file of the right size is replaced, because it reserves no space."""
    with (tmp_path / RESERVE).open("wb") as file:
        file.truncate(SIZE_BYTES)
    assert Reserve(tmp_path).make()
    assert allocated(tmp_path) >= SIZE_BYTES


def test_it_is_made_again_when_there_is_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is released in pieces, and spent until the disk has space for all of it and more."""
    reserve = Reserve(tmp_path)
    assert reserve.make()
    for left in range(SIZE_BYTES - PIECE_BYTES, 0, -PIECE_BYTES):
        assert (reserve.release(), reserve.spent, allocated(tmp_path)) == (True, True, left)
    assert (reserve.release(), reserve.release(), reserve.spent) == (True, False, True)
    with monkeypatch.context() as full:
        full.setattr(os, "statvfs", lambda _: SimpleNamespace(f_bavail=SIZE_BYTES // 4096, f_frsize=4096))
        with pytest.raises(StateDirUnavailableError, match="is full"):
            reserve.check()
    reserve.check()
    assert not reserve.spent
    assert allocated(tmp_path) >= SIZE_BYTES


def test_what_is_left_of_it_stays_when_it_can_not_be_made_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Remaining pieces are kept while it can't be completed."""
    reserve = Reserve(tmp_path)
    assert reserve.make()
    assert reserve.release()

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    assert not reserve.make()
    assert allocated(tmp_path) == SIZE_BYTES - PIECE_BYTES


def test_a_file_system_that_can_not_allocate_is_no_trouble(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without support for allocation there is no reserve and no error, and nothing is left behind."""

    def refuse(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    reserve = Reserve(tmp_path)
    assert not reserve.make()
    assert list(tmp_path.iterdir()) == []
    reserve.check()


async def test_what_stands_in_its_place_stops_nothing(tmp_path: Path) -> None:
    """The journal opens and keeps writing if something other than a file has the reserve's name."""
    state_dir, clock = tmp_path / "state", ManualClock()
    state_dir.mkdir(mode=0o700)
    (state_dir / RESERVE).mkdir()
    journal = await Journal.open(state_dir, clock)
    async with asyncio.timeout(60):
        for number in range(3):
            await journal.save_route(RouteStatus(f"route-{number}"))
    await journal.close()


def test_the_disk_is_not_looked_at_all_the_time(tmp_path: Path) -> None:
    """A missing reserve is tried at once and then every 30 seconds."""
    now = [0.0]
    reserve = Reserve(tmp_path, lambda: now[0])
    reserve.keep()
    reserve.release()
    reserve.keep()
    assert allocated(tmp_path) < SIZE_BYTES
    now[0] = 31.0
    reserve.keep()
    assert allocated(tmp_path) >= SIZE_BYTES
