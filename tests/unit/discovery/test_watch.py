"""What the watcher hears, from the real kernel."""

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


class Ear:
    """Listens, and walks the tree when it is asked to, as intake does."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.hints: list[tuple[bytes, EventKind]] = []
        self.states: list[str] = []
        self.lost_events = 0
        self.walks = 0
        self.threads = ThreadPool(1, "look")
        self.watcher = Watcher(root, self, SystemClock(), self.threads)

    def heard(self, path: bytes, kind: EventKind) -> None:
        self.hints.append((path, kind))

    def lost(self, events: int) -> None:
        self.lost_events += events

    def rescan(self) -> None:
        self.walks += 1
        with suppress(SourceError):  # the root went just now
            for _ in Scanner(Route(name="r", path=self.root, destination="d")).scan(entering=self.watcher.entering):
                pass
            self.watcher.walked()

    def watcher_is(self, state: str) -> None:
        self.states.append(state)

    async def until(self, condition: Callable[[], object], within: float = 4.0) -> None:
        async with asyncio.timeout(within):
            while not condition():
                await asyncio.sleep(0.005)

    @asynccontextmanager
    async def listening(self, kind: type = InotifyBackend) -> AsyncIterator[None]:
        self.watcher = Watcher(self.root, self, SystemClock(), self.threads, kind)
        task = asyncio.create_task(self.watcher.run())
        await self.until(lambda: self.walks)
        yield
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        self.threads.close()


@pytest.fixture
def ear(tmp_path: Path) -> Ear:
    (tmp_path / "root").mkdir()
    return Ear(tmp_path / "root")


async def test_what_happens_is_heard_in_order_and_by_its_name(ear: Ear):
    """Creation, writing, close after write, attributes, rename into place and deletion are told apart."""
    (ear.root / "d").mkdir()
    async with ear.listening():
        with (ear.root / "d/f").open("w") as file:
            await ear.until(lambda: (b"d/f", EventKind.APPEARED) in ear.hints)
            file.write("x")
            file.flush()
            await ear.until(lambda: ear.hints[-1] == (b"d/f", EventKind.CHANGED))
        await ear.until(lambda: ear.hints[-1] == (b"d/f", EventKind.CLOSED))
        (ear.root / "d/f").chmod(0o600)
        await ear.until(lambda: ear.hints[-1] == (b"d/f", EventKind.TOUCHED))
        (ear.root / "d/f").rename(ear.root / "g")
        await ear.until(lambda: (b"g", EventKind.RENAMED) in ear.hints, within=0.3)
        (ear.root / "g").unlink()
        await ear.until(lambda: (b"g", EventKind.GONE) in ear.hints)
    assert (b"d/f", EventKind.GONE) in ear.hints


async def test_a_name_that_is_no_utf_8_is_heard_like_any_other(ear: Ear):
    """The bytes of the name arrive as they are."""
    async with ear.listening():
        Path(os.fsdecode(os.fsencode(ear.root) + b"/caf\xe9")).touch()
        await ear.until(lambda: (b"caf\xe9", EventKind.APPEARED) in ear.hints)


async def test_a_file_written_in_small_pieces_keeps_nobody_busy(ear: Ear):
    """Ten thousand writes in a row are told a few hundred times at the most: the kernel merges them meanwhile."""
    async with ear.listening():
        with (ear.root / "f").open("wb", buffering=0) as file:
            for number in range(10_000):
                file.write(b"x")
                if number % 10 == 0:
                    await asyncio.sleep(0)
        await ear.until(lambda: ear.hints[-1] == (b"f", EventKind.CLOSED))
    assert len(ear.hints) < 500


async def test_watchfiles_serves_where_there_is_no_inotify(ear: Ear):
    """Writes and deletions are heard through the portable ear, after a walk that covers its setting up."""
    async with ear.listening(WatchfilesBackend):
        await ear.until(lambda: ear.walks == 2)
        (ear.root / "f").write_text("x")
        await ear.until(lambda: (b"f", EventKind.APPEARED) in ear.hints)
        (ear.root / "f").unlink()
        await ear.until(lambda: (b"f", EventKind.GONE) in ear.hints)
    assert ear.states == ["watching", "off"]


async def test_when_watchfiles_gives_up_scanning_goes_on(ear: Ear):
    """A name that kills it leads to a walk, and to a state that says so."""
    async with ear.listening(WatchfilesBackend):
        await ear.until(lambda: ear.walks == 2)
        Path(os.fsdecode(os.fsencode(ear.root) + b"/caf\xe9")).touch()
        await ear.until(lambda: ear.states[-1].startswith("scanning only: watchfiles gave up"))
        assert ear.walks == 3


async def test_a_queue_that_overflows_is_reported(ear: Ear):
    """More events than the kernel keeps, while the loop is busy, count as lost."""
    limit = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    (ear.root / "a").touch()
    async with ear.listening():
        for number in range(limit // 2 + 10):
            old, new = ("a", "b") if number % 2 == 0 else ("b", "a")
            (ear.root / old).rename(ear.root / new)
        await ear.until(lambda: ear.lost_events, within=10)


@pytest.mark.parametrize("again", [True, False])
async def test_a_root_that_goes_and_comes_is_watched_again(ear: Ear, again: bool):
    """Deleted and made again at once or later, the root is heard again."""
    async with ear.listening():
        walks = ear.walks
        ear.root.rmdir()
        if again:
            await ear.until(lambda: ear.states[-1] == "root missing")
        ear.root.mkdir()
        await ear.until(lambda: ear.walks > walks)

        def touched_and_heard() -> bool:
            # Again and again: the walk counted above may have been the old root's last one.
            (ear.root / "f").write_text("x")
            return any(path == b"f" for path, _ in ear.hints)

        await ear.until(touched_and_heard)


async def test_a_directory_moved_within_the_tree_is_heard_under_its_new_name(ear: Ear):
    """After the walk that follows, a moved directory's events carry its new path, and one moved out is not watched."""
    (ear.root / "d").mkdir()
    (ear.root / "out").mkdir()
    async with ear.listening():
        (ear.root / "d").rename(ear.root / "e")
        (ear.root / "out").rename(ear.root.parent / "out")
        ear.rescan()
        ear.hints.clear()
        (ear.root.parent / "out/x").touch()
        (ear.root / "e/f").touch()
        await ear.until(lambda: any(path == b"e/f" for path, _ in ear.hints))
    assert not any(path.startswith((b"d/", b"out/")) for path, _ in ear.hints)


async def test_when_watches_run_out_it_says_which_setting_to_raise(ear: Ear, monkeypatch: pytest.MonkeyPatch):
    """At the kernel's limit the state is scanning only, with the sysctl's name and nothing raised."""

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(INotify, "add_watch", full)
    async with ear.listening():
        await ear.until(lambda: ear.states[-1].startswith("scanning only: fs.inotify.max_user_watches"))


async def test_when_instances_run_out_it_says_which_setting_to_raise(ear: Ear, monkeypatch: pytest.MonkeyPatch):
    """Without an inotify instance there is nothing but scanning, and the state says why."""

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(inotify, "INotify", full)
    async with ear.listening():
        await ear.until(lambda: ear.states[-1].startswith("scanning only: fs.inotify.max_user_instances"))


async def test_a_deaf_route_is_walked_as_often_as_is_configured_and_no_more(ear: Ear, monkeypatch: pytest.MonkeyPatch):
    """Without an inotify instance, each try to get one costs no walk; the first that succeeds does."""
    instance = INotify

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(inotify, "INotify", full)
    monkeypatch.setattr("crosshaul.discovery.watch.watcher._DEAF", 0.02)
    async with ear.listening():
        await asyncio.sleep(0.3)
        assert ear.walks == 1
        monkeypatch.setattr(inotify, "INotify", instance)
        await ear.until(lambda: ear.walks == 2)
        assert ear.states[-1] == "watching"


async def test_it_ends_at_once_when_it_is_cancelled_and_gives_everything_back(ear: Ear):
    """Cancelled, it is off within a second, and no descriptor is left."""
    before = len(list(Path("/proc/self/fd").iterdir()))
    began = asyncio.get_running_loop().time()
    async with ear.listening():
        began = asyncio.get_running_loop().time()
    assert asyncio.get_running_loop().time() - began < 1
    assert ear.states == ["watching", "off"]
    await ear.until(lambda: len(list(Path("/proc/self/fd").iterdir())) <= before, within=2)
