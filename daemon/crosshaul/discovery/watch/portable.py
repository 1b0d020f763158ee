"""The backend for systems without inotify: watchfiles (FSEvents, kqueue, ReadDirectoryChangesW).

It is not used on Linux. There it loses events silently when the kernel's queue overflows (of 12,000 files created while
the process was stopped it reported 5,462), reports neither a rename into place nor a close, misses some events in new
directories, and fails on a name that is not UTF-8.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from watchfiles import Change, awatch

from crosshaul.discovery.watch.backend import EventKind, WatchListener, WatchUnavailableError
from crosshaul.files.shared_prefix_path import Directory

_EVENTS_PER_TURN = 1_000
_KINDS = {Change.added: EventKind.APPEARED, Change.modified: EventKind.CHANGED, Change.deleted: EventKind.GONE}


class WatchfilesBackend:
    """Delivers the events of watchfiles."""

    def __init__(self, root: Path, listener: WatchListener) -> None:
        self._root = root
        self._listener = listener

    def watch_directory(self, directory: Directory, descriptor: int) -> None:
        """Do nothing: watchfiles watches recursively."""

    def scan_finished(self) -> str | None:
        """Do nothing: return None."""
        return None

    async def deliver_pending(self) -> None:
        """Do nothing: the queue is not accessible. No event of this backend says that a file is finished."""

    async def listen(self) -> None:
        """Deliver events until watchfiles fails."""
        try:
            await self._deliver()
        # watchfiles fails with these, in a group or not: its own error (a name that is not UTF-8) is a RuntimeError,
        # a root that is not UTF-8 is a UnicodeError, and all others come from the kernel.
        except* (RuntimeError, UnicodeError, OSError) as group:
            raise WatchUnavailableError(f"watchfiles failed: {_first(group)}") from group

    async def _deliver(self) -> None:
        prefix = len(os.fsencode(self._root).rstrip(b"/")) + 1
        batches = awatch(self._root, watch_filter=None, debounce=50, step=20, rust_timeout=1_000, yield_on_timeout=True)
        first = True
        async for changes in batches:
            if first:
                # The watch is set up only now: the first scan may have been too early.
                first = False
                self._listener.request_scan()
            for number, (change, path) in enumerate(changes, 1):
                self._listener.on_event(os.fsencode(path)[prefix:], _KINDS[change])
                if number % _EVENTS_PER_TURN == 0:
                    await asyncio.sleep(0)

    def close(self) -> None:
        """Do nothing: its thread ends with ``listen``."""


def _first(error: BaseException) -> BaseException:
    return _first(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error
