"""Hears that something happened in a watched directory, and says where to look. Only a hint: scans are the truth.

Two listeners share the work on Linux, because neither can do it alone:

- watchfiles hears everything, cheaply: a thread in Rust collects, and the loop gets one set of paths per 20-50 ms. But
  it can't tell a rename into place from a write, loses events without a word, reports only some of what happens in new
  directories, dies on a file name that is no UTF-8, and holds the interpreter's lock while it is set up (measured:
  27 us a directory with a warm cache, 90 us with a cold one, so up to 0.9 s for 10,000).
- asyncinotify hears renames into place at once, takes names of any bytes, and knows when the kernel's queue
  overflowed. But each event costs some 8 us of Python in the loop, and each file written is two events or more.

So each directory gets a watch of our own before it is first listed (the scan asks for it). As long as watchfiles is at
work, that watch hears renames only; before that, after watchfiles died, and for trees of more than ``BULK_LIMIT``
directories, it hears creation, close after write, deletion and attributes too, and nobody goes deaf. A file that is
written for hours without being closed is then found by the rescans. The second watch costs 0.5 KB of
our memory a directory, and counts against fs.inotify.max_user_watches.
"""

from __future__ import annotations

import asyncio
import errno
import os
import stat
import sys
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from watchfiles import Change, awatch

from crosshaul.clock import Clock

if sys.platform == "linux":
    import asyncinotify
    from asyncinotify import Mask

BULK_LIMIT = 500
"""Directories up to which watchfiles is used: setting it up may stop the loop for 50 ms, not longer."""
_ROOT_POLL = 1.0
_BREATH = 0.05
_FIRST_PAUSE = 60.0
_LAST_PAUSE = 3600.0
_HINTS_AT_ONCE = 1_000
_EVENTS_AT_ONCE = 64


class Kind(StrEnum):
    """What seems to have happened at a path."""

    APPEARED = "appeared"
    CHANGED = "changed"
    RENAMED = "renamed"
    """Renamed into place: whoever did it has finished writing."""
    GONE = "gone"


class Listener(Protocol):
    """Who is told. All of it is called in the loop and must return at once."""

    def heard(self, path: bytes, kind: Kind) -> None:
        """Look at ``path``, relative to the root."""

    def lost(self, events: int) -> None:
        """At least so many events were lost: only a scan can tell what happened."""

    def rescan(self) -> None:
        """Walk the whole tree: what happened up to now may not have been heard."""

    def watcher_is(self, state: str) -> None:
        """How the watcher is, as ``RouteStatus.watcher`` has it; called on change."""


class Log(Protocol):
    """What is used of a logger."""

    def info(self, event: str, **fields: object) -> object:
        """Something a person may want to know."""

    def warning(self, event: str, **fields: object) -> object:
        """Something a person should look at."""


class Watcher:
    """Watches one root, wherever it comes from and however often it is replaced."""

    def __init__(self, root: Path, listener: Listener, clock: Clock, log: Log) -> None:
        self._root = root
        self._listener = listener
        self._clock = clock
        self._log = log
        self._state = "off"
        self._deaf = "scanning only: watchfiles gave up"
        self._kernel: _Kernel | None = None
        self._walked = asyncio.Event()

    def entering(self, directory: bytes, descriptor: int) -> None:
        """A walk is about to list this directory: watch it first. May be called from any thread."""
        kernel = self._kernel
        if kernel is not None:
            kernel.add(directory, descriptor)

    def walked(self) -> None:
        """A walk of the whole tree is over: what it did not come by is no directory of the tree any more."""
        kernel = self._kernel
        if kernel is not None:
            kernel.drop_unvisited()
            cause = f"fs.inotify.max_user_watches is used up after {len(kernel.names)} directories; raise it"
            self._say(f"scanning only: {cause}" if kernel.full else "watching")
            kernel.full = False
        self._walked.set()

    async def run(self) -> None:
        """Watch until cancelled."""
        try:
            while True:
                identity = await asyncio.to_thread(_identity, self._root)
                if identity is None:
                    self._say("root missing")
                else:
                    await self._session(identity)
                await self._clock.sleep(_ROOT_POLL if identity is None else _BREATH)
        finally:
            self._say("off")

    def _say(self, state: str) -> None:
        if state != self._state:
            self._state = state
            self._listener.watcher_is(state)

    async def _session(self, identity: tuple[int, int]) -> None:
        """Watch the directory that is at the root's path now, until it is another one."""
        self._walked.clear()
        self._kernel = kernel = self._listen_to_kernel()
        tasks = [asyncio.create_task(self._guard(identity)), asyncio.create_task(self._bulk())]
        if kernel is not None:
            self._say("watching")
            tasks.append(asyncio.create_task(kernel.listen()))
        self._listener.rescan()
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            self._kernel = None
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if kernel is not None:
                kernel.close()

    def _listen_to_kernel(self) -> _Kernel | None:
        if sys.platform != "linux":
            return None
        try:
            return _Kernel(self._root, self._listener)
        except OSError as error:
            full = error.errno == errno.EMFILE
            cause = "fs.inotify.max_user_instances is used up; raise it" if full else os.strerror(error.errno or 0)
            self._deaf = f"scanning only: {cause}"
            self._say(self._deaf)
            return None

    async def _guard(self, identity: tuple[int, int]) -> None:
        """Come back when the root is gone or another directory (a mount, a symlink that was turned)."""
        while await asyncio.to_thread(_identity, self._root) == identity:
            await self._clock.sleep(_ROOT_POLL)

    async def _bulk(self) -> None:
        """Keep watchfiles at work, where it can be."""
        pause = _FIRST_PAUSE
        while True:
            await self._until_small_enough()
            try:
                await self._hear_bulk()
            # What watchfiles can't do it says in these, in a group or not: its own error (a name that is no UTF-8) is a
            # RuntimeError, a root that is no UTF-8 is a UnicodeError, and the rest comes from the kernel.
            except* (RuntimeError, UnicodeError, OSError) as group:
                reason = str(_first(group))
                self._log.info("watchfiles_gave_up", root=str(self._root), reason=reason, again_in_seconds=pause)
            await self._widen()
            self._listener.rescan()
            await self._clock.sleep(pause)
            pause = min(2 * pause, _LAST_PAUSE)

    async def _until_small_enough(self) -> None:
        await self._walked.wait()
        while self._kernel is not None and len(self._kernel.names) > BULK_LIMIT:
            self._walked.clear()
            await self._walked.wait()

    async def _hear_bulk(self) -> None:
        prefix = len(os.fsencode(self._root).rstrip(b"/")) + 1
        batches = awatch(
            self._root,
            watch_filter=None,
            debounce=50,
            step=20,
            rust_timeout=1_000,
            yield_on_timeout=True,
            recursive=True,
        )
        first = True
        async for changes in batches:
            if first:
                # It is set up only now: until here the kernel's notices had to do.
                first = False
                await self._narrow()
            for number, (change, path) in enumerate(changes, 1):
                self._listener.heard(os.fsencode(path)[prefix:], _BULK_KINDS[change])
                if number % _HINTS_AT_ONCE == 0:
                    await asyncio.sleep(0)

    async def _narrow(self) -> None:
        if self._kernel is None:
            self._say("watching")
            self._listener.rescan()
        else:
            await asyncio.to_thread(self._kernel.listen_for, _RENAMES)

    async def _widen(self) -> None:
        if self._kernel is None:
            self._say(self._deaf)
        else:
            await asyncio.to_thread(self._kernel.listen_for, _EVERYTHING)


_BULK_KINDS = {Change.added: Kind.APPEARED, Change.modified: Kind.CHANGED, Change.deleted: Kind.GONE}

# inotify(7); written out, because each operation on asyncinotify's IntFlag costs more than the rest of an event.
_ATTRIB, _CLOSE_WRITE, _MOVED_FROM, _MOVED_TO, _CREATE, _DELETE = 0x4, 0x8, 0x40, 0x80, 0x100, 0x200
_OVERFLOW, _IGNORED, _ONLY_DIRECTORY = 0x4000, 0x8000, 0x01000000
_RENAMES = _MOVED_TO | _ONLY_DIRECTORY
_EVERYTHING = _RENAMES | _ATTRIB | _CLOSE_WRITE | _MOVED_FROM | _CREATE | _DELETE
_KINDS = (
    (_MOVED_TO, Kind.RENAMED),
    (_CREATE, Kind.APPEARED),
    (_DELETE | _MOVED_FROM, Kind.GONE),
    (_ATTRIB | _CLOSE_WRITE, Kind.CHANGED),
)


class _Kernel:
    """One watch on each directory, set by the walk; ``add`` and ``listen_for`` may be called from any thread."""

    def __init__(self, root: Path, listener: Listener) -> None:
        self._root = os.fsencode(root)
        self._listener = listener
        self._inotify = asyncinotify.Inotify(cache_size=_EVENTS_AT_ONCE)
        self._mask = Mask(_EVERYTHING)
        self._visited: set[int] = set()
        self.names: dict[int, bytes] = {}
        """Watch descriptor to directory, as the last walk called it."""
        self.full = False
        """In this walk the kernel had no more watches for us."""

    def add(self, directory: bytes, descriptor: int) -> None:
        """Watch the open directory ``descriptor``; through /proc, so that it is this one, however long its path."""
        self._watch(b"/proc/self/fd/%d" % descriptor, directory)

    def _watch(self, path: bytes, directory: bytes) -> None:
        try:
            watch = self._inotify.add_watch(path, self._mask)
        except ValueError:
            return  # closed meanwhile: the session is over
        except OSError as error:
            self.full = self.full or error.errno == errno.ENOSPC
            return
        self.names[watch.wd] = directory
        self._visited.add(watch.wd)

    def listen_for(self, mask: int) -> None:
        """From now on hear these events, in all directories."""
        self._mask = Mask(mask)
        for directory in list(self.names.values()):
            self._watch(self._root + b"/" + directory, directory)

    def drop_unvisited(self) -> None:
        """Stop watching what the last walk did not come by: directories that were moved out of the tree."""
        for watch in self._inotify.watches:
            if watch.wd in self.names and watch.wd not in self._visited:
                del self.names[watch.wd]
                # It may have been deleted just now, and its watch with it.
                with suppress(OSError):
                    self._inotify.rm_watch(watch)
        self._visited.clear()

    async def listen(self) -> None:
        """Pass on what happens, until the root itself is deleted or unmounted."""
        async for event in self._inotify:
            if not self._pass_on(event):
                return

    def _pass_on(self, event: asyncinotify.Event) -> bool:
        mask = int(event.mask)
        watch = event.watch
        if mask & _OVERFLOW:
            self._listener.lost(1)
        elif watch is not None and mask & _IGNORED:
            return self.names.pop(watch.wd, None) != b""
        elif watch is not None and event.name is not None:
            self._tell(self.names.get(watch.wd), os.fsencode(event.name), mask)
        return True

    def _tell(self, directory: bytes | None, name: bytes, mask: int) -> None:
        # None: the watch was set this very moment, and the walk lists the directory after that.
        kind = next((kind for bits, kind in _KINDS if mask & bits), None)
        if directory is not None and kind is not None:
            self._listener.heard(directory + b"/" + name if directory else name, kind)

    def close(self) -> None:
        """Give all watches back."""
        self._inotify.close()


def _first(error: BaseException) -> BaseException:
    return _first(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error


def _identity(root: Path) -> tuple[int, int] | None:
    """Device and inode of the root; None if there is no such directory to be seen."""
    try:
        found = root.stat()
    except OSError:
        return None
    return (found.st_dev, found.st_ino) if stat.S_ISDIR(found.st_mode) else None
