"""The watcher, with the events of the real kernel."""

# ruff: noqa: ASYNC240 - tests poll what other threads and the kernel do, and their files are small

import asyncio
import errno
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from inotify_simple import INotify

from crosshaul.concurrency.clock import SystemClock
from crosshaul.concurrency.thread_pool import ThreadPool
from crosshaul.config import Route
from crosshaul.discovery.scanner import Scanner
from crosshaul.discovery.watch import EventKind, Watcher, inotify
from crosshaul.discovery.watch.inotify import InotifyBackend
from crosshaul.discovery.watch.portable import WatchfilesBackend
from crosshaul.errors import SourceError


class Listener:
    """Records events, and scans the tree on request, as discovery does."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.hints: list[tuple[bytes, EventKind]] = []
        self.states: list[str] = []
        self.lost_events = 0
        self.scans = 0
        self.threads = ThreadPool(1, "look")
        self.watcher = Watcher(root, self, SystemClock(), self.threads)

    def on_event(self, path: bytes, kind: EventKind) -> None:
        self.hints.append((path, kind))

    def on_events_lost(self, count: int) -> None:
        self.lost_events += count

    def request_scan(self) -> None:
        self.scans += 1
        with suppress(SourceError):  # the root was removed just now
            for _ in Scanner(Route(name="r", path=self.root, destination="d")).scan(
                on_directory=self.watcher.watch_directory
            ):
                pass
            self.watcher.scan_finished()

    def on_watcher_state(self, state: str) -> None:
        self.states.append(state)

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(60):
            while not condition():
                await asyncio.sleep(0.005)

    @asynccontextmanager
    async def listening(self, kind: type = InotifyBackend) -> AsyncIterator[None]:
        self.watcher = Watcher(self.root, self, SystemClock(), self.threads, kind)
        task = asyncio.create_task(self.watcher.run())
        await self.until(lambda: self.scans)
        yield
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        self.threads.close()


@pytest.fixture
def listener(tmp_path: Path) -> Listener:
    (tmp_path / "root").mkdir()
    return Listener(tmp_path / "root")


async def test_events_arrive_in_order_with_their_kind(listener: Listener):
    """Creation, writing, close after write, attributes, rename into place and deletion have their kinds."""
    (listener.root / "d").mkdir()
    async with listener.listening():
        with (listener.root / "d/f").open("w") as file:
            await listener.until(lambda: (b"d/f", EventKind.APPEARED) in listener.hints)
            file.write("x")
            file.flush()
            await listener.until(lambda: listener.hints[-1] == (b"d/f", EventKind.CHANGED))
        await listener.until(lambda: listener.hints[-1] == (b"d/f", EventKind.CLOSED))
        (listener.root / "d/f").chmod(0o600)
        await listener.until(lambda: listener.hints[-1] == (b"d/f", EventKind.TOUCHED))
        (listener.root / "d/f").rename(listener.root / "g")
        await listener.until(lambda: (b"g", EventKind.RENAMED) in listener.hints)
        (listener.root / "g").unlink()
        await listener.until(lambda: (b"g", EventKind.GONE) in listener.hints)
    assert (b"d/f", EventKind.GONE) in listener.hints


async def test_pending_events_are_delivered_on_request(listener: Listener):
    """All events that the kernel has queued are delivered, in several reads, and the next read finds nothing."""
    problems: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: problems.append(context))
    async with listener.listening():
        await asyncio.sleep(0.05)
        listener.hints.clear()
        for number in range(5_000):
            (listener.root / f"{number}").mkdir()
        await asyncio.sleep(0)  # the loop reads the queue after this turn of ours
        await listener.watcher.deliver_pending()
        assert listener.hints[-1] == (b"4999", EventKind.APPEARED)
        await asyncio.sleep(0.05)
    assert problems == []
    assert len(listener.hints) == 5_000


async def test_a_name_that_is_no_utf_8_is_reported_like_any_other(listener: Listener):
    """An event has the bytes of a name that is not UTF-8."""
    async with listener.listening():
        Path(os.fsdecode(os.fsencode(listener.root) + b"/caf\xe9")).touch()
        await listener.until(lambda: (b"caf\xe9", EventKind.APPEARED) in listener.hints)


async def test_a_file_written_in_small_pieces_keeps_the_loop_free(listener: Listener):
    """Ten thousand writes in a row become less than 500 events: the kernel merges them between two reads."""
    async with listener.listening():
        with (listener.root / "f").open("wb", buffering=0) as file:
            for number in range(10_000):
                file.write(b"x")
                if number % 10 == 0:
                    await asyncio.sleep(0)
        await listener.until(lambda: listener.hints[-1] == (b"f", EventKind.CLOSED))
    assert len(listener.hints) < 500


async def test_watchfiles_reports_writes_and_deletions(listener: Listener):
    """The portable backend reports writes and deletions, after a scan that covers its start."""
    async with listener.listening(WatchfilesBackend):
        await listener.until(lambda: listener.scans == 2)
        (listener.root / "f").write_text("x")
        await listener.until(lambda: (b"f", EventKind.APPEARED) in listener.hints)
        (listener.root / "f").unlink()
        await listener.until(lambda: (b"f", EventKind.GONE) in listener.hints)
    assert listener.states == ["watching", "off"]


async def test_when_watchfiles_fails_scanning_continues(listener: Listener):
    """A name that watchfiles can't handle leads to a scan and to a state with the reason."""
    async with listener.listening(WatchfilesBackend):
        await listener.until(lambda: listener.scans == 2)
        Path(os.fsdecode(os.fsencode(listener.root) + b"/caf\xe9")).touch()
        await listener.until(lambda: listener.states[-1].startswith("scanning only: watchfiles failed"))
        assert listener.scans == 3


async def test_a_queue_that_overflows_is_reported(listener: Listener):
    """More events than the kernel keeps, while the loop is busy, count as lost."""
    limit = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    (listener.root / "a").touch()
    async with listener.listening():
        for number in range(limit // 2 + 10):
            old, new = ("a", "b") if number % 2 == 0 else ("b", "a")
            (listener.root / old).rename(listener.root / new)
        await listener.until(lambda: listener.lost_events)


@pytest.mark.parametrize("again", [True, False])
async def test_a_root_that_goes_and_comes_is_watched_again(listener: Listener, again: bool):
    """A root that is deleted and created again, at once or later, is watched again."""
    async with listener.listening():
        scans = listener.scans
        listener.root.rmdir()
        if again:
            await listener.until(lambda: listener.states[-1] == "root missing")
        listener.root.mkdir()
        await listener.until(lambda: listener.scans > scans)

        def event_after_touch() -> bool:
            # Repeatedly: the scan counted above may have been the last one of the old root.
            (listener.root / "f").write_text("x")
            return any(path == b"f" for path, _ in listener.hints)

        await listener.until(event_after_touch)


async def test_a_directory_moved_within_the_tree_is_reported_under_its_new_name(listener: Listener):
    """After the next scan a moved directory's events have its new path; one that was moved out is not watched."""
    (listener.root / "d").mkdir()
    (listener.root / "out").mkdir()
    async with listener.listening():
        (listener.root / "d").rename(listener.root / "e")
        (listener.root / "out").rename(listener.root.parent / "out")
        listener.request_scan()
        listener.hints.clear()
        (listener.root.parent / "out/x").touch()
        (listener.root / "e/f").touch()
        await listener.until(lambda: any(path == b"e/f" for path, _ in listener.hints))
    assert not any(path.startswith((b"d/", b"out/")) for path, _ in listener.hints)


async def test_when_watches_run_out_the_state_names_the_setting(listener: Listener, monkeypatch: pytest.MonkeyPatch):
    """At the kernel's limit of watches the state is scanning only, with the sysctl to raise."""

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(INotify, "add_watch", full)
    async with listener.listening():
        await listener.until(lambda: listener.states[-1].startswith("scanning only: fs.inotify.max_user_watches"))


async def test_when_instances_run_out_the_state_names_the_setting(listener: Listener, monkeypatch: pytest.MonkeyPatch):
    """Without an inotify instance the state is scanning only, with the sysctl to raise."""

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(inotify, "INotify", full)
    async with listener.listening():
        await listener.until(lambda: listener.states[-1].startswith("scanning only: fs.inotify.max_user_instances"))


async def test_retries_without_a_backend_cause_no_extra_scans(listener: Listener, monkeypatch: pytest.MonkeyPatch):
    """Without an inotify instance retries cause no scan; the first one that succeeds does."""
    instance = INotify

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(inotify, "INotify", full)
    monkeypatch.setattr("crosshaul.discovery.watch.watcher._RETRY_SECONDS", 0.02)
    async with listener.listening():
        await asyncio.sleep(0.3)
        assert listener.scans == 1
        monkeypatch.setattr(inotify, "INotify", instance)
        await listener.until(lambda: listener.scans == 2)
        assert listener.states[-1] == "watching"


async def test_a_cancelled_watcher_ends_at_once_and_releases_all_descriptors(listener: Listener):
    """A cancelled watcher is off soon, and leaves no descriptor open."""
    before = len(list(Path("/proc/self/fd").iterdir()))
    began = asyncio.get_running_loop().time()
    async with listener.listening():
        began = asyncio.get_running_loop().time()
    assert asyncio.get_running_loop().time() - began < 30
    assert listener.states == ["watching", "off"]
    await listener.until(lambda: len(list(Path("/proc/self/fd").iterdir())) <= before)
