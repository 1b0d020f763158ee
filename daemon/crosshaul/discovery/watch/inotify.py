"""The ear on Linux: one inotify watch on each directory, set by the walk before it lists the directory.

Read raw, some 2 us an event, and at most every ``_PACE`` seconds: a file that is written to in small pieces would keep
the loop busy otherwise, and the kernel merges what repeats meanwhile. Its queue overflows with a notice. A watch costs
1 KB of kernel memory, and counts against fs.inotify.max_user_watches.
"""

from __future__ import annotations

import asyncio
import errno
import os
from contextlib import suppress
from pathlib import Path

from inotify_simple import INotify, flags, parse_events

from crosshaul.discovery.watch.backend import EventKind, WatchListener, WatchUnavailableError
from crosshaul.files.directory import MAX_PATH, Directory

_PACE = 0.005
_AT_ONCE = 1 << 16
"""Bytes of events that are read at once: some 2,000 events, 4 ms."""

# As plain numbers: each operation on an IntFlag costs more than the rest of an event.
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
    """Hears everything below a root, in the order in which it happened."""

    def __init__(self, _root: Path, listener: WatchListener) -> None:
        """Raises DeafError if the kernel has no inotify instance to give."""
        self._listener = listener
        try:
            self._inotify = INotify(nonblocking=True)
        except OSError as error:
            full = error.errno == errno.EMFILE
            raise WatchUnavailableError(
                "fs.inotify.max_user_instances is used up; raise it" if full else str(error)
            ) from error
        self._names: dict[int, Directory] = {}
        """Watch descriptor to directory, as the last walk called it."""
        self._visited: set[int] = set()
        self._full = False
        """In this walk the kernel had no more watches for us."""
        self._root_gone = asyncio.Event()

    def entering(self, directory: Directory, descriptor: int) -> None:
        """Watch it; through /proc, so that it is this very directory, however long its path."""
        try:
            watch = self._inotify.add_watch(b"/proc/self/fd/%d" % descriptor, _MASK)
        except ValueError:
            return  # closed meanwhile
        except OSError as error:
            self._full = self._full or error.errno == errno.ENOSPC
            return
        self._names[watch] = directory
        self._visited.add(watch)

    def walked(self) -> str | None:
        """Stop watching what the walk did not come by: directories that were moved out of the tree."""
        for watch in self._names.keys() - self._visited:
            del self._names[watch]
            # It may have been deleted just now, and its watch with it.
            with suppress(OSError):
                self._inotify.rm_watch(watch)
        self._visited.clear()
        full, self._full = self._full, False
        return (
            f"fs.inotify.max_user_watches is used up after {len(self._names)} directories; raise it" if full else None
        )

    async def listen(self) -> None:
        """Pass on what happens, until the root itself is deleted or unmounted."""
        self._await_events()
        await self._root_gone.wait()

    def _await_events(self) -> None:
        if not self._inotify.closed:
            asyncio.get_running_loop().add_reader(self._inotify, self._read)

    def _read(self) -> None:
        data = os.read(self._inotify.fileno(), _AT_ONCE)
        for watch, mask, _, name in parse_events(data):
            self._pass_on(watch, mask, name)
        if len(data) < _AT_ONCE // 2:
            loop = asyncio.get_running_loop()
            loop.remove_reader(self._inotify)
            loop.call_later(_PACE, self._await_events)

    def _pass_on(self, watch: int, mask: int, name: str) -> None:
        if mask & _OVERFLOW:
            self._listener.lost(1)
        elif mask & _IGNORED:
            directory = self._names.pop(watch, None)
            if directory is not None and not directory.path:
                self._root_gone.set()
        elif name:
            self._tell(self._names.get(watch), os.fsencode(name), mask)

    def _tell(self, directory: Directory | None, name: bytes, mask: int) -> None:
        # None: the watch was set this very moment, and the walk lists the directory after that.
        kind = next((kind for bits, kind in _KINDS if mask & bits), None)
        if directory is not None and kind is not None:
            path = directory.prefix + name
            if len(path) <= MAX_PATH:
                self._listener.heard(path, kind)

    def close(self) -> None:
        """Give all watches back."""
        asyncio.get_running_loop().remove_reader(self._inotify)
        self._inotify.close()
