"""Deleting and moving delivered files: real files, a real journal."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from crosshaul.after import After
from crosshaul.clock import SystemClock
from crosshaul.config import Route
from crosshaul.journal import Journal
from crosshaul.model import AfterAction, Delivered, Fingerprint, Receipt, Settled, Sighting
from crosshaul.threads import Threads


class Log:
    def __init__(self) -> None:
        self.lines: list[dict[str, object]] = []

    def warning(self, _: str, **fields: object) -> None:
        self.lines.append(fields)


class World:
    def __init__(self, root: Path, journal: Journal) -> None:
        self.root = root
        self.journal = journal
        self.log = Log()

    def after(self, **route: object) -> After:
        settings = Route(name="r", path=self.root, destination="d", **route)
        return After(settings, self.journal, SystemClock(), Threads(1, "after"), self.log)

    async def deliver(self, name: str, due_in: float = 0.0) -> Path:
        """A file that the journal holds a receipt for."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
        sighting = Sighting("r", os.fsencode(name), Fingerprint.of(path.stat()))
        await self.journal.admit([Settled(sighting, "d", name)])
        (claim,) = await self.journal.claim(["r"], 1)
        now = SystemClock().now()
        await self.journal.settle(claim, Delivered(Receipt("etag", len(name), now), now + due_in))
        return path

    async def action(self, name: str) -> AfterAction | None:
        record = await self.journal.find("r", os.fsencode(name))
        assert record is not None
        return record.after_action


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    (tmp_path / "root").mkdir()
    journal = await Journal.open(tmp_path / "state", SystemClock())
    yield World(tmp_path / "root", journal)
    await journal.close()


async def test_a_delivered_file_is_deleted_when_due(world: World):
    """Delete takes the file away, and the record says so; one that is not due stays."""
    path, later = await world.deliver("d/f"), await world.deliver("later", due_in=60)
    await world.after(after_upload="delete").drain()
    assert not path.exists()
    assert later.exists()
    assert await world.action("d/f") is AfterAction.DONE
    assert await world.action("later") is None


async def test_a_delivered_file_is_moved(world: World, tmp_path: Path):
    """move_to keeps the relative path, and makes the directories."""
    path = await world.deliver("d/e/f")
    await world.after(after_upload={"move_to": tmp_path / "done"}).drain()
    assert not path.exists()
    assert (tmp_path / "done/d/e/f").read_text() == "d/e/f"
    assert await world.action("d/e/f") is AfterAction.DONE


async def test_a_file_that_changed_or_went_is_left_alone_and_recorded(world: World):
    """A newer file under the name survives; a missing one is no failure."""
    changed, gone = await world.deliver("changed"), await world.deliver("gone")
    changed.write_text("newer")
    gone.unlink()
    await world.after(after_upload="delete").drain()
    assert changed.read_text() == "newer"
    assert await world.action("changed") is AfterAction.CHANGED
    assert await world.action("gone") is AfterAction.GONE


async def test_what_fails_is_kept_with_one_line_and_holds_up_nobody(world: World, tmp_path: Path):
    """A file whose move fails stays, is logged once with the reason, and the next one is moved."""
    stuck = await world.deliver("stuck/f")
    fine = await world.deliver("fine")
    (tmp_path / "done").mkdir()
    (tmp_path / "done/stuck").write_text("in the way")
    await world.after(after_upload={"move_to": tmp_path / "done"}).drain()
    assert stuck.exists()
    assert not fine.exists()
    record = await world.journal.find("r", b"stuck/f")
    assert record is not None
    assert record.after_action in {AfterAction.FAILED, AfterAction.CHANGED}
    assert [line["path"] for line in world.log.lines] == ["stuck/f"]
    assert "\n" not in str(world.log.lines[0]["reason"])


async def test_a_missing_root_is_a_failure_and_not_a_missing_file(world: World, tmp_path: Path):
    """With the root away (an unmounted volume) the record says that it failed, not that the file is gone."""
    await world.deliver("f")
    world.root.rename(tmp_path / "away")
    await world.after(after_upload="delete").drain()
    assert await world.action("f") is AfterAction.FAILED
    assert (tmp_path / "away/f").exists()


async def test_a_route_that_keeps_now_keeps_what_was_due(world: World):
    """After the configuration went back to keep nothing is deleted any more, and nothing is tried for ever."""
    path = await world.deliver("f")
    await world.after(after_upload="keep").drain()
    assert path.exists()
    assert await world.action("f") is AfterAction.FAILED


async def test_the_service_acts_when_the_grace_is_over(world: World):
    """run() deletes a file soon after it falls due, and ends when it is told to."""
    path = await world.deliver("f", due_in=0.3)
    stop = asyncio.Event()
    service = asyncio.create_task(world.after(after_upload="delete").run(stop))
    await asyncio.sleep(0.1)
    assert path.exists()
    async with asyncio.timeout(3):
        while path.exists():
            await asyncio.sleep(0.02)
    stop.set()
    await asyncio.wait_for(service, 1)


async def test_a_clock_that_was_set_back_keeps_no_source(world: World):
    """One that is due twenty minutes after all that its route's grace allows is taken at once."""
    path = await world.deliver("d/f", due_in=1200)
    stop = asyncio.Event()
    running = asyncio.create_task(world.after(after_upload="delete").run(stop))
    async with asyncio.timeout(10):
        while path.exists():
            await asyncio.sleep(0.02)
    stop.set()
    await running
