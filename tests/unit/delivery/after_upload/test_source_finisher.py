"""Deletion and move of delivered files, with real files and a real journal, on virtual time."""

import asyncio
import errno
import os
import random
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from crosshaul.aws.conditional_writes import Conditions
from crosshaul.concurrency.thread_pool import ThreadPool
from crosshaul.config import Config, Route
from crosshaul.delivery.after_upload import source_removal
from crosshaul.delivery.after_upload.object_check import ObjectCheck
from crosshaul.delivery.after_upload.source_finisher import SourceFinisher
from crosshaul.discovery.ownership import Ownership
from crosshaul.errors import Diagnosis, Fault, FaultKind
from crosshaul.files import open_writers
from crosshaul.integrity.checksum import compute
from crosshaul.integrity.verify import HeadResult, token_of
from crosshaul.journal import Journal, Reader
from crosshaul.journal.sqlite import store
from crosshaul.model import (
    AfterAction,
    Checksum,
    ChecksumKind,
    Delivered,
    Fingerprint,
    Receipt,
    Record,
    Settled,
    SettleReason,
    Sighting,
    State,
)
from simulation.journal import TurnWriter
from support.null_logger import NullLogger
from support.virtual_time import VirtualClock

CRC = ChecksumKind.CRC64NVME


class Log(NullLogger):
    def __init__(self) -> None:
        self.lines: list[dict[str, object]] = []

    def warning(self, event: str, **fields: object) -> None:
        self.lines.append({"event": event, **fields})

    info = warning


class Bucket:
    """Responses of HEAD; at first there is no object, or none is visible."""

    source = "us"

    def __init__(self) -> None:
        self.objects: dict[str, HeadResult | Fault] = {}
        self.asked: list[str] = []

    async def head_object(self, key: str, *, expected: bool = False) -> HeadResult | None:
        self.asked.append(key)
        held = self.objects.get(key)
        if isinstance(held, Fault):
            raise held
        return held


class World:
    def __init__(self, root: Path, journal: Journal) -> None:
        self.root = root
        self.journal = journal
        self.log = Log()
        self.others: tuple[Route, ...] = ()
        self.bucket = Bucket()
        self.conditions = Conditions(honoured=True)

    def after(self, **route: object) -> SourceFinisher:
        settings = Route(name="r", path=self.root, destination="d", **route)
        config = Config.model_construct(
            state_dir=self.root.parent / "state", routes=(settings, *self.others), destinations={}
        )
        check = ObjectCheck("bucket", self.bucket, self.conditions)
        threads, ownership = ThreadPool(1, "after"), Ownership(lambda: config)
        return SourceFinisher(settings, self.journal, VirtualClock(), threads, self.log, ownership, lambda: check)

    async def deliver(
        self, name: str, due_in: float = 0.0, ago: float = 0.0, reason: SettleReason = SettleReason.QUIET
    ) -> Path:
        """Make a file with a receipt in the journal."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
        await self.take("r", name, path, reason)
        now = VirtualClock().now()
        await self.sent("r", Receipt("etag", len(name), now - ago, compute(CRC, path.read_bytes())), now + due_in)
        return path

    async def take(self, route: str, name: str, path: Path, reason: SettleReason = SettleReason.QUIET) -> None:
        """Admit a file to a route."""
        sighting = Sighting(route, os.fsencode(name), Fingerprint.of(os.stat(path)))  # noqa: PTH116 - no task may stat a Path
        await self.journal.admit([Settled(sighting, "d", f"{route}/{name}", reason=reason)])

    async def sent(self, route: str, receipt: Receipt | None = None, due_at: float | None = None) -> None:
        """Deliver what the route has queued."""
        for claim in await self.journal.claim([route], 10):
            await self.journal.finish(claim, Delivered(receipt or Receipt("etag", 1, 1.0), due_at))

    async def record(self, name: str) -> Record:
        record = await self.journal.find("r", os.fsencode(name))
        assert record is not None
        return record

    async def diagnosis(self, name: str) -> Diagnosis:
        diagnosis = (await self.record(name)).diagnosis
        assert diagnosis is not None
        return diagnosis

    async def due_at(self, name: str) -> float:
        due_at = (await self.record(name)).after_due_at
        assert due_at is not None
        return due_at

    async def action(self, name: str) -> AfterAction | None:
        return (await self.record(name)).after_action

    def said(self, event: str) -> list[str]:
        return [str(line.get("reason", "")) for line in self.log.lines if line["event"] == event]


@pytest.fixture
async def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    (tmp_path / "root").mkdir()
    monkeypatch.setattr(store, "Writer", TurnWriter)
    monkeypatch.setattr(TurnWriter, "chance", random.Random(0), raising=False)
    monkeypatch.setattr(TurnWriter, "committed", lambda: None, raising=False)
    journal = await Journal.open(tmp_path / "state", VirtualClock())
    yield World(tmp_path / "root", journal)
    await journal.close()


async def test_a_delivered_file_is_deleted_when_due(world: World):
    """A due file is deleted and its record says so; one that is not due stays."""
    path, later = await world.deliver("d/f"), await world.deliver("later", due_in=60)
    await world.after(after_upload="delete").drain()
    assert not path.exists()
    assert later.exists()
    assert await world.action("d/f") is AfterAction.DONE
    assert await world.action("later") is None


async def test_a_delivered_file_is_moved(world: World, tmp_path: Path):
    """A move keeps the relative path and creates the directories."""
    path = await world.deliver("d/e/f")
    await world.after(after_upload={"move_to": tmp_path / "done"}).drain()
    assert not path.exists()
    assert (tmp_path / "done/d/e/f").read_text() == "d/e/f"
    assert await world.action("d/e/f") is AfterAction.DONE


async def test_a_file_that_changed_or_went_is_left_alone_and_recorded(world: World):
    """A newer file under the name is kept; a missing one is no failure."""
    changed, gone = await world.deliver("changed"), await world.deliver("gone")
    changed.write_text("newer")
    gone.unlink()
    await world.after(after_upload="delete").drain()
    assert changed.read_text() == "newer"
    assert await world.action("changed") is AfterAction.CHANGED
    assert await world.action("gone") is AfterAction.GONE


async def test_what_fails_stays_due_with_one_line_and_holds_up_nobody(world: World, tmp_path: Path):
    """A failed move is counted and logged with its reason, and is repeated successfully later."""
    stuck = await world.deliver("stuck/f")
    fine = await world.deliver("fine")
    (tmp_path / "done").mkdir()
    (tmp_path / "done/stuck").write_text("in the way")
    after = world.after(after_upload={"move_to": tmp_path / "done"})
    await after.drain()
    assert stuck.exists()
    assert not fine.exists()
    record = await world.record("stuck/f")
    assert record.after_action is AfterAction.FAILED
    assert record.after_due_at is not None
    assert await world.due_at("stuck/f") - VirtualClock().now() < 2
    assert after.overdue == 1
    assert [line["path"] for line in world.log.lines] == ["stuck/f"]
    assert "\n" not in str(world.log.lines[0]["reason"])
    (tmp_path / "done/stuck").unlink()
    await after.drain()
    assert (tmp_path / "done/stuck/f").exists()
    assert (await world.action("stuck/f"), after.overdue) == (AfterAction.DONE, 0)
    assert world.log.lines[-1]["event"] == "sources_caught_up"


async def test_a_missing_root_is_no_missing_file(world: World, tmp_path: Path):
    """While the root is missing nothing is recorded; when it is back the sources are removed."""
    await world.deliver("f")
    world.root.rename(tmp_path / "away")
    after = world.after(after_upload="delete")
    await after.drain()
    assert (await world.action("f"), len(world.said("source_kept"))) == (None, 1)
    (tmp_path / "away").rename(world.root)
    await after.drain()
    assert await world.action("f") is AfterAction.DONE


async def test_an_empty_directory_in_the_place_of_the_root_is_no_missing_file(world: World, tmp_path: Path):
    """The files of an unmounted volume are not gone, and are deleted when it is back."""
    await world.deliver("first")
    after, stop = world.after(after_upload="delete"), asyncio.Event()
    running = asyncio.create_task(after.run(stop))
    await until(world, "first", AfterAction.DONE)
    await world.deliver("f")
    world.root.rename(tmp_path / "away")
    world.root.mkdir()
    await until(world, "f", AfterAction.FAILED)
    async with asyncio.timeout(60):
        while not world.said("source_kept"):  # logged once the journal has it
            await asyncio.sleep(0.01)
    assert "is the volume mounted?" in world.said("source_kept")[0]
    world.root.rmdir()
    (tmp_path / "away").rename(world.root)
    await until(world, "f", AfterAction.DONE)
    stop.set()
    await running


async def test_the_last_file_of_a_root_that_somebody_deleted_is_gone(world: World):
    """An empty root counts as real if this daemon has seen files in it."""
    await world.deliver("first")
    gone = await world.deliver("gone", due_in=0.5)
    stop = asyncio.Event()
    running = asyncio.create_task(world.after(after_upload="delete").run(stop))
    await until(world, "first", AfterAction.DONE)
    gone.unlink()
    await until(world, "gone", AfterAction.GONE)
    stop.set()
    await running


async def until(world: World, name: str, action: AfterAction) -> None:
    async with asyncio.timeout(60):
        while await world.action(name) is not action:
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("error", [errno.EMFILE, errno.EACCES, errno.EROFS, errno.ENOSPC, errno.EIO])
async def test_passing_trouble_is_not_final(world: World, monkeypatch: pytest.MonkeyPatch, error: int):
    """After a lack of descriptors, rights or space the source is removed."""
    path = await world.deliver("f")
    after = world.after(after_upload="delete")
    with monkeypatch.context() as broken:
        broken.setattr(
            source_removal, "rename_at_once", lambda *_: (_ for _ in ()).throw(OSError(error, os.strerror(error)))
        )
        await after.drain()
    assert path.exists()
    assert (await world.action("f"), after.overdue) == (AfterAction.FAILED, 1)
    await after.drain()
    assert (path.exists(), await world.action("f")) == (False, AfterAction.DONE)


async def test_overdue_sources_are_tried_more_and_more_seldom(world: World, tmp_path: Path):
    """The pause grows with the time since the file was due, up to 300 s."""
    (tmp_path / "done").write_text("in the way")
    for name, ago in (("now", 0.0), ("minute", 60.0), ("day", 86400.0)):
        await world.deliver(name, ago=ago)
    after, stop = world.after(after_upload={"move_to": tmp_path / "done"}), asyncio.Event()
    running = asyncio.create_task(after.run(stop))
    await until(world, "day", AfterAction.FAILED)
    await asyncio.sleep(1.2)
    now = VirtualClock().now()
    due = [((await world.record(name)).after_due_at or 0.0) - now for name in ("now", "minute", "day")]
    assert due[0] < 3
    assert 55 < due[1] < 65
    assert 290 < due[2] <= 300
    stop.set()
    await running


async def test_a_route_that_keeps_now_keeps_what_was_due(world: World):
    """After a change to `keep` nothing is deleted any more, and no source is retried for ever."""
    path = await world.deliver("f")
    after = world.after(after_upload="keep")
    await after.drain()
    assert path.exists()
    assert (await world.action("f"), after.overdue) == (AfterAction.KEPT, 0)


# Somebody else


async def test_a_file_that_is_being_written_waits_for_its_writer(world: World):
    """A file that is open for writing stays, and is sent if it changes; if it is closed unchanged it is removed."""
    path = await world.deliver("f")
    after = world.after(after_upload="delete")
    with path.open("ab") as writer:
        await after.drain()
        assert (await world.action("f"), after.overdue) == (AfterAction.WAITING, 1)
        assert "open for writing" in (await world.diagnosis("f")).message
        writer.write(b"more")
    await after.drain()
    assert path.read_bytes() == b"fmore"
    assert await world.action("f") is AfterAction.CHANGED


@pytest.fixture
def no_leases(monkeypatch: pytest.MonkeyPatch) -> None:
    """Deny all leases, as for another user's files without CAP_LEASE."""
    monkeypatch.setattr(open_writers.ReadLease, "take", lambda _: None)


@pytest.mark.usefixtures("no_leases")
@pytest.mark.parametrize("action", ["delete", "move"])
@pytest.mark.parametrize(
    ("reason", "stays"),
    [
        (SettleReason.QUIET, 900),
        (SettleReason.CEILING, 900),
        (SettleReason.CLOSED, 60),
        (SettleReason.FINISHED, 60),
        (SettleReason.MARKER, 0),
    ],
)
async def test_a_source_whose_writers_can_not_be_seen_stays_for_longer(
    world: World, tmp_path: Path, action: str, reason: SettleReason, stays: int
):
    """The time depends on how the file settled; the source is checked again in time, is not overdue, and says why."""
    early = await world.deliver("early", ago=stays - 30, reason=reason) if stays else None
    late = await world.deliver("late", ago=stays + 1, reason=reason)
    after = world.after(after_upload="delete" if action == "delete" else {"move_to": tmp_path / "done"})
    await after.drain()
    assert (late.exists(), await world.action("late")) == (False, AfterAction.DONE)
    if early is None:
        return
    record = await world.record("early")
    assert (early.exists(), record.after_action, after.overdue) == (True, None, 0)
    assert 20 < await world.due_at("early") - VirtualClock().now() <= 30
    assert "can't be seen: its file system has no leases that show writers" in (await world.diagnosis("early")).message
    reader = Reader.open(tmp_path / "state")
    assert [each.path for each in reader.first_overdue("r", 10)] == [b"early"]
    reader.close()
    assert [line["event"] for line in world.log.lines].count("writers_unseen") == 1
    await after.drain()
    assert early.exists()


@pytest.mark.usefixtures("no_leases")
async def test_a_source_whose_writers_can_not_be_seen_is_looked_at_every_five_minutes_at_most(
    world: World, monkeypatch: pytest.MonkeyPatch
):
    """Such a source is due again in 300 s, not in 900 s and not at each turn of the loop."""
    await world.deliver("f")
    after, stop = world.after(after_upload="delete"), asyncio.Event()
    looks, finish_all = [], after._batches.finish_all

    def counted(tasks):
        looks.append(tasks)
        return finish_all(tasks)

    monkeypatch.setattr(after._batches, "finish_all", counted)
    running = asyncio.create_task(after.run(stop))
    async with asyncio.timeout(60):
        while (await world.record("f")).diagnosis is None:
            await asyncio.sleep(0.02)
    await asyncio.sleep(2.5)
    stop.set()
    await running
    assert 290 < await world.due_at("f") - VirtualClock().now() <= 300
    assert len(looks) == 1


@pytest.mark.usefixtures("no_leases")
async def test_a_writer_that_proc_shows_is_waited_for_however_long(world: World):
    """If /proc shows a writer the source stays, also after its time."""
    path = await world.deliver("f", ago=10_000)
    with path.open("ab"):
        await world.after(after_upload="delete").drain()
        assert await world.action("f") is AfterAction.WAITING
    await world.after(after_upload="delete").drain()
    assert not path.exists()


@pytest.mark.usefixtures("no_leases")
async def test_a_clock_that_is_set_forward_shortens_nothing(world: World):
    """A clock that jumps ahead by an hour does not shorten the time for which the source stays."""
    path, clock = await world.deliver("f"), VirtualClock()
    after = world.after(after_upload="delete")
    after._batches._clock = SimpleNamespace(now=clock.now, monotonic=clock.monotonic)
    after._batches.start()
    after._batches._clock.now = lambda: clock.now() + 3600
    await after.drain()
    assert (path.exists(), await world.action("f")) == (True, None)


async def test_other_bytes_are_sent_again_although_nothing_tells_of_them(world: World):
    """A file with other bytes and the same size, times and inode is queued again and not deleted."""
    path = await world.deliver("f")
    record = await world.record("f")
    await world.journal.admit([])
    path.write_bytes(b"g")
    os.utime(path, ns=(record.fingerprint.mtime_ns,) * 2)
    again = Sighting("r", b"f", Fingerprint.of(path.stat()))
    await world.journal.admit([Settled(again, "d", "r/f")])
    await world.sent("r", Receipt("etag", 1, 1.0, compute(CRC, b"f")), 1.0)
    await world.after(after_upload="delete").drain()
    assert path.read_bytes() == b"g"
    now = await world.record("f")
    assert (now.state, now.generation, now.receipt, now.fingerprint) == (State.PENDING, 3, None, again.fingerprint)
    assert now.due_at > VirtualClock().now() + 30
    assert world.said("source_differs")


@pytest.mark.parametrize("proof", [None, Checksum(CRC, "AAAAAAAAAAA=-3"), Checksum(ChecksumKind.MD5, "")])
async def test_a_receipt_without_a_checksum_of_the_whole_is_taken_as_it_is(world: World, proof: Checksum | None):
    """Without a checksum of the whole object the bytes are not compared."""
    path = world.root / "f"
    path.write_text("f")
    await world.take("r", "f", path)
    await world.sent("r", Receipt("etag", 1, 1.0, proof), 1.0)
    await world.after(after_upload="delete").drain()
    assert not path.exists()


@pytest.mark.parametrize("action", ["delete", "move"])
async def test_the_marker_goes_with_its_file(
    world: World, tmp_path: Path, action: str, monkeypatch: pytest.MonkeyPatch
):
    """The marker is removed after its file; one that is written meanwhile belongs to the next file and stays."""
    upload = "delete" if action == "delete" else {"move_to": tmp_path / "done"}
    after = world.after(after_upload=upload, settle={"marker": "{path}.done"})
    for name in ("d/f", "d/g"):
        await world.deliver(name)
        (world.root / f"{name}.done").touch()
    rewritten = world.root / "d/g.done"
    original, calls = after._batches._remove, []

    def take(root, expected, guard):
        calls.append(expected.path)
        original(root, expected, guard)
        if expected.path == b"d/g":
            os.utime(rewritten, (1, 1))

    monkeypatch.setattr(after._batches, "_remove", take)
    await after.drain()
    assert calls == [b"d/f", b"d/f.done", b"d/g", b"d/g.done"]
    assert [path.name for path in (world.root / "d").iterdir()] == ["g.done"]
    if action == "move":
        assert sorted(path.name for path in (tmp_path / "done/d").iterdir()) == ["f", "f.done", "g"]


async def test_a_marker_stays_with_a_file_that_stays(world: World):
    """A file that changed keeps its marker."""
    path = await world.deliver("f")
    (world.root / "f.done").touch()
    path.write_text("newer")
    await world.after(after_upload="delete", settle={"marker": "{path}.done"}).drain()
    assert (world.root / "f.done").exists()


# Other routes


def other(path: Path, **settings: object) -> Route:
    return Route(name="other", path=path, destination="e", **settings)


@pytest.mark.parametrize("action", ["delete", "move"])
async def test_a_source_waits_for_every_route_that_takes_it(world: World, tmp_path: Path, action: str):
    """The source stays until the other route has delivered this state too."""
    world.others = (other(world.root),)
    after = world.after(after_upload="delete" if action == "delete" else {"move_to": tmp_path / "done"})
    path = await world.deliver("d/f", ago=60)
    for output in ("has not queued it", "has not delivered it"):
        await after.drain()
        assert path.exists()
        record, diagnosis = await world.record("d/f"), await world.diagnosis("d/f")
        assert (record.after_action, diagnosis.code) == (AfterAction.WAITING, "OtherRoute")
        assert f"until route other has delivered it too: the route {output}" in diagnosis.message
        assert world.said("source_waits")[-1] == diagnosis.message
        await world.take("other", "d/f", path)
    await world.sent("other")
    await after.drain()
    assert (path.exists(), await world.action("d/f")) == (False, AfterAction.DONE)


async def test_the_other_routes_receipt_counts_for_this_very_state(world: World):
    """The other route's receipt of an earlier state does not count."""
    path = world.root / "f"
    path.write_text("old")
    await world.take("other", "f", path)
    await world.sent("other")
    path.unlink()
    await world.deliver("f")
    world.others = (other(world.root),)
    await world.after(after_upload="delete").drain()
    assert path.exists()
    assert "has not delivered this state of it" in (await world.diagnosis("f")).message


def _link(top: Path, tmp_path: Path) -> Path:
    (tmp_path / "link").symlink_to(top)
    return tmp_path / "link"


@pytest.mark.parametrize(
    ("root", "path"),
    [
        (lambda top, _: top, "a/b/f"),
        (lambda top, _: top / "a", "b/f"),
        (lambda top, _: top.parent, "root/a/b/f"),
        (lambda top, _: top / "a/b", "f"),
        (_link, "a/b/f"),
        (lambda top, tmp: _link(top, tmp) / "a/b", "f"),
        (lambda top, tmp: _link(top.parent, tmp), "root/a/b/f"),
    ],
)
async def test_routes_share_a_file_by_any_spelling_of_their_roots(world: World, tmp_path: Path, root, path: str):
    """A file is shared if the roots are equal or nested, also through symlinks."""
    file = await world.deliver("a/b/f")
    world.others = (other(root(world.root, tmp_path)),)
    after = world.after(after_upload="delete")
    await after.drain()
    assert file.exists()
    await world.take("other", path, file)
    await world.sent("other")
    await after.drain()
    assert not file.exists()


@pytest.mark.parametrize(
    "settings",
    [
        {"include": ["*.csv"]},
        {"exclude": ["*.txt"]},
        {"exclude": ["/a/"]},
        {"path": "a2"},
        {"path": "a/b/f.txt2"},
        {"settle": {"marker": "{dir}/{stem}.txt"}},
    ],
)
async def test_a_route_that_leaves_the_file_out_is_not_waited_for(world: World, settings: dict[str, object]):
    """A route that excludes the file, or has another directory, is not waited for."""
    (world.root / "a2").mkdir()
    file = await world.deliver("a/b/f.txt")
    world.others = (other(world.root / str(settings.pop("path", ".")), **settings),)
    await world.after(after_upload="delete").drain()
    assert not file.exists()


async def test_a_route_whose_root_is_away_has_its_files_still(world: World, tmp_path: Path):
    """The files of a missing root that was seen before are waited for."""
    name = _link(world.root, tmp_path)
    world.others = (other(name),)
    after = world.after(after_upload="delete")
    await world.deliver("first")
    await after.drain()
    name.unlink()
    file = await world.deliver("f")
    await after.drain()
    assert file.exists()


async def test_a_root_that_was_never_seen_is_reported_by_its_name(world: World, tmp_path: Path):
    """A route to a directory that does not exist delays no file elsewhere."""
    world.others = (other(tmp_path / "none"),)
    file = await world.deliver("f")
    await world.after(after_upload="delete").drain()
    assert not file.exists()


async def test_a_marker_of_another_route_waits_for_its_file(world: World):
    """A marker that another route delivers as a file stays until its file is sent."""
    world.others = (other(world.root, settle={"marker": "{path}.done"}),)
    (world.root / "f").write_text("f")
    marker = await world.deliver("f.done")
    after = world.after(after_upload="delete")
    await after.drain()
    assert marker.exists()
    await world.take("other", "f", world.root / "f")
    await world.sent("other")
    await after.drain()
    assert not marker.exists()


async def test_a_marker_that_another_route_delivers_goes_only_then(world: World):
    """With `delete` and markers, file and marker wait until the other route has delivered the marker."""
    world.others = (other(world.root, exclude=["f"]),)
    file = await world.deliver("f")
    (world.root / "f.done").touch()
    after = world.after(after_upload="delete", settle={"marker": "{path}.done"})
    await after.drain()
    assert file.exists()
    await world.take("other", "f.done", world.root / "f.done")
    await world.sent("other")
    await after.drain()
    assert list(world.root.iterdir()) == []


async def test_a_link_to_the_file_is_sent_before_it_loses_its_target(world: World):
    """The file waits until a route that follows symlinks has delivered its link."""
    file = await world.deliver("d/f")
    (world.root / "link").symlink_to("d/f")
    await world.take("r", "link", file)
    after = world.after(after_upload="delete", symlinks="follow_inside")
    await after.drain()
    assert file.exists()
    assert "(as link)" in (await world.diagnosis("d/f")).message
    await world.sent("r")
    await after.drain()
    assert not file.exists()


async def test_waiting_for_a_route_is_reported_when_it_lasts_and_at_doublings(world: World):
    """Twenty files that wait for seconds give some lines, and files that were just sent give none."""
    world.others = (other(world.root),)
    after = world.after(after_upload="delete")
    await world.deliver("fresh")
    await after.drain()
    assert world.log.lines == []
    for number in range(20):
        await world.deliver(f"f{number}", ago=60)
    await after.drain()
    assert [line["times"] for line in world.log.lines] == [1, 2, 4, 8, 16]
    assert after.overdue == 21


async def test_the_service_acts_when_the_grace_is_over(world: World):
    """run() deletes a file soon after it is due, and ends at the stop."""
    path = await world.deliver("f", due_in=1.5)
    stop = asyncio.Event()
    service = asyncio.create_task(world.after(after_upload="delete").run(stop))
    await asyncio.sleep(0.1)
    assert path.exists()
    async with asyncio.timeout(60):
        while path.exists():
            await asyncio.sleep(0.02)
    stop.set()
    await asyncio.wait_for(service, 60)


async def test_a_clock_that_was_set_back_keeps_no_source(world: World):
    """A source due later than its route's grace period allows is removed at once."""
    path = await world.deliver("d/f", due_in=1200)
    stop = asyncio.Event()
    running = asyncio.create_task(world.after(after_upload="delete").run(stop))
    async with asyncio.timeout(60):
        while path.exists():
            await asyncio.sleep(0.02)
    stop.set()
    await running


async def test_a_journal_that_takes_long_to_answer_is_asked_less_often(world: World, monkeypatch: pytest.MonkeyPatch):
    """After a query of 0.2 s the next one follows 4 s later."""
    after, ask = world.after(after_upload="delete"), world.journal.next_after_due

    async def slowly(route: str) -> float | None:
        await asyncio.sleep(0.2)
        return await ask(route)

    assert await after._pause() <= 1.0
    monkeypatch.setattr(world.journal, "next_after_due", slowly)
    assert 4.0 <= await after._pause() < 4.3


# The bucket at that time


async def test_on_stores_without_if_match_the_object_is_looked_at_before_the_source_goes(world: World):
    """The source is removed if the object matches the receipt by ETag, token or bytes; a replaced object keeps it."""
    world.conditions = Conditions()
    names = ("etag", "token", "bytes", "late", "size", "other", "tool", "down")
    paths = {name: await world.deliver(name) for name in names}
    tasks = {os.fsdecode(task.path): task for task in await world.journal.due_after_tasks("r", 10)}
    whole = {name: tasks[name].receipt.checksum for name in names}
    world.bucket.objects = {
        "r/etag": HeadResult(len("etag"), "?", "etag"),
        "r/token": HeadResult(len("token"), token_of(tasks["token"]), "encrypted again"),
        "r/bytes": HeadResult(len("bytes"), None, "copied", whole["bytes"]),
        "r/late": HeadResult(len("late"), "older", "older", source="us"),
        "r/size": HeadResult(99, token_of(tasks["size"]), "etag", source="us"),
        "r/other": HeadResult(len("other"), "theirs", "theirs", source="them"),
        "r/tool": HeadResult(len("tool"), None, "theirs"),
        "r/down": Fault(Diagnosis(FaultKind.NETWORK, "ConnectTimeout", "no answer")),
    }
    await world.after(after_upload="delete").drain()
    assert {name for name in names if not paths[name].exists()} == {"etag", "token", "bytes"}
    states = {name: (await world.record(name)).state for name in names}
    assert {name for name in names if states[name] is State.PENDING} == {"late", "size"}
    assert [await world.action(name) for name in ("other", "tool", "down")] == [AfterAction.FAILED] * 3
    assert len(world.said("source_differs")) == 2
    output = " ".join(world.said("source_kept"))
    assert "s3://bucket/r/other was replaced by source them after it was delivered" in output
    assert "no answer" in output
    assert not world.said("objects_unseen")


async def test_where_the_role_may_not_look_that_is_said_once_and_the_source_goes(world: World):
    """If HEAD shows no object, the source is removed, as the partner may have removed the object; logged once."""
    world.conditions = Conditions()
    paths = [await world.deliver(name) for name in ("a", "b")]
    await world.after(after_upload="delete").drain()
    assert not any(path.exists() for path in paths)
    assert len(world.said("objects_unseen")) == 1


@pytest.mark.parametrize("action", ["keep", "delete"])
async def test_nothing_is_asked_where_it_is_of_no_use(world: World, action: str):
    """A store with If-Match, and a route that keeps its sources, cost no HEAD."""
    world.conditions = Conditions(honoured=action == "delete")
    await world.deliver("f")
    await world.after(after_upload=action).drain()
    assert world.bucket.asked == []
