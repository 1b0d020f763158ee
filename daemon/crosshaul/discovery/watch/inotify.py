"""The backend on Linux: an inotify watch for each directory, set by a scan before it lists the directory.

Events are parsed here, at some 2 us each, and read at most every ``_READ_INTERVAL_SECONDS``: otherwise a file that is
written in small pieces would keep the loop busy, and meanwhile the kernel merges repeated events. An overflow of the
kernel's queue is an event as well. A watch costs 1 KB of kernel memory and counts against fs.inotify.max_user_watches.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import sys
import termios
from contextlib import suppress
from pathlib import Path

from inotify_simple import INotify, flags, parse_events

from crosshaul.discovery.watch.backend import EventKind, WatchListener, WatchUnavailableError
from crosshaul.files.shared_prefix_path import MAX_PATH, Directory

_READ_INTERVAL_SECONDS = 0.005
_READ_BYTES = 1 << 16
"""Size of a read: some 2,000 events, 4 ms."""

# Plain numbers: one operation on an IntFlag costs more than all other work for an event.
_OVERFLOW, _IGNORED = int(flags.Q_OVERFLOW), int(flags.IGNORED)
_KINDS = (
    (int(flags.MOVED_TO), EventKind.RENAMED),
    (int(flags.CREATE), EventKind.APPEARED),
    (int(flags.DELETE | flags.MOVED_FROM), EventKind.GONE),
    (int(flags.CLOSE_WRITE), EventKind.CLOSED),
    (int(flags.MODIFY), EventKind.CHANGED),
    (int(flags.ATTRIB), EventKind.TOUCHED),
)
_MASK = sum(bits for bits, _ in _KINDS) | int(flags.ONLYDIR)


class InotifyBackend:
    """Delivers the events below a root in their order."""

    def __init__(self, _root: Path, listener: WatchListener) -> None:
        """Raises WatchUnavailableError if the kernel has no inotify instance left."""
        self._listener = listener
        try:
            self._inotify = INotify(nonblocking=True)
        except OSError as error:
            full = error.errno == errno.EMFILE
            raise WatchUnavailableError(
                "fs.inotify.max_user_instances is used up; raise it" if full else str(error)
            ) from error
        self._directories: dict[int, Directory] = {}
        """Watch descriptor to directory, as named by the last scan."""
        self._scanned: set[int] = set()
        self._full = False
        """The kernel had no watch left in this scan."""
        self._root_gone = asyncio.Event()

    def watch_directory(self, directory: Directory, descriptor: int) -> None:
        """Set the watch through /proc, so that it is on this directory, however long its path is."""
        try:
            watch = self._inotify.add_watch(b"/proc/self/fd/%d" % descriptor, _MASK)
        except ValueError:
            return  # closed meanwhile
        except OSError as error:
            self._full = self._full or error.errno == errno.ENOSPC
            return
        self._directories[watch] = directory
        self._scanned.add(watch)

    def scan_finished(self) -> str | None:
        """Remove the watches of directories that the scan did not find: they were moved out of the tree."""
        for watch in self._directories.keys() - self._scanned:
            del self._directories[watch]
            # The directory may have been deleted just now, and its watch with it.
            with suppress(OSError):
                self._inotify.rm_watch(watch)
        self._scanned.clear()
        full, self._full = self._full, False
        if not full:
            return None
        return f"fs.inotify.max_user_watches is used up after {len(self._directories)} directories; raise it"

    async def deliver_pending(self) -> None:
        """Read the kernel's queue as long as it is now. The kernel queues an event before the change's call returns."""
        pending = 0 if self._inotify.closed else self._pending_bytes()
        while pending > 0 and (read := self._read_events()):
            pending -= read
            if pending > 0:
                await asyncio.sleep(0)

    async def listen(self) -> None:
        """Deliver events until the root itself is deleted or unmounted."""
        self._await_events()
        await self._root_gone.wait()

    def _await_events(self) -> None:
        if not self._inotify.closed:
            asyncio.get_running_loop().add_reader(self._inotify, self._read)

    def _pending_bytes(self) -> int:
        return int.from_bytes(fcntl.ioctl(self._inotify, termios.FIONREAD, bytes(4)), sys.byteorder)

    def _read_events(self) -> int:
        """Deliver the events of one read; return their size in bytes, 0 if there are none."""
        if self._inotify.closed:
            return 0
        try:
            data = os.read(self._inotify.fileno(), _READ_BYTES)
        except BlockingIOError:
            return 0
        for watch, mask, _, name in parse_events(data):
            self._dispatch(watch, mask, name)
        return len(data)

    def _read(self) -> None:
        if self._read_events() < _READ_BYTES // 2:
            loop = asyncio.get_running_loop()
            loop.remove_reader(self._inotify)
            loop.call_later(_READ_INTERVAL_SECONDS, self._await_events)

    def _dispatch(self, watch: int, mask: int, name: str) -> None:
        if mask & _OVERFLOW:
            self._listener.on_events_lost(1)
        elif mask & _IGNORED:
            directory = self._directories.pop(watch, None)
            if directory is not None and not directory.path:
                self._root_gone.set()
        elif name:
            self._deliver(self._directories.get(watch), os.fsencode(name), mask)

    def _deliver(self, directory: Directory | None, name: bytes, mask: int) -> None:
        # None: the watch was set just now, and the scan lists the directory after that.
        kind = next((kind for bits, kind in _KINDS if mask & bits), None)
        if directory is not None and kind is not None:
            path = directory.prefix + name
            if len(path) <= MAX_PATH:
                self._listener.on_event(path, kind)

    def close(self) -> None:
        """Remove all watches."""
        asyncio.get_running_loop().remove_reader(self._inotify)
        self._inotify.close()
