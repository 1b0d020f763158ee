"""The ear where there is no inotify: watchfiles (FSEvents, kqueue, ReadDirectoryChangesW).

On Linux it would be the lesser one: it loses events without a word when the kernel's queue overflows (12,000 files made
while the process was stopped: 5,462 reported), tells neither a rename into place nor a close, reports only some of
what happens in new directories, and dies on a name that is no UTF-8.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from watchfiles import Change, awatch

from crosshaul.discovery.watch.backend import EventKind, WatchListener, WatchUnavailableError
from crosshaul.files.directory import Directory

_HINTS_AT_ONCE = 1_000
_KINDS = {Change.added: EventKind.APPEARED, Change.modified: EventKind.CHANGED, Change.deleted: EventKind.GONE}


class WatchfilesBackend:
    """Hears what watchfiles tells of a root."""

    def __init__(self, root: Path, listener: WatchListener) -> None:
        self._root = root
        self._listener = listener

    def entering(self, directory: Directory, descriptor: int) -> None:
        """Nothing to do: it watches recursively."""

    def walked(self) -> str | None:
        """Nothing to do."""
        return None

    async def listen(self) -> None:
        """Pass on what happens, until watchfiles gives up."""
        try:
            await self._pass_on()
        # What watchfiles can't do it says in these, in a group or not: its own error (a name that is no UTF-8) is a
        # RuntimeError, a root that is no UTF-8 is a UnicodeError, and the rest comes from the kernel.
        except* (RuntimeError, UnicodeError, OSError) as group:
            raise WatchUnavailableError(f"watchfiles gave up: {_first(group)}") from group

    async def _pass_on(self) -> None:
        prefix = len(os.fsencode(self._root).rstrip(b"/")) + 1
        heard = awatch(self._root, watch_filter=None, debounce=50, step=20, rust_timeout=1_000, yield_on_timeout=True)
        first = True
        async for changes in heard:
            if first:
                # It is set up only now: the walk at the start may have been too early.
                first = False
                self._listener.rescan()
            for number, (change, path) in enumerate(changes, 1):
                self._listener.heard(os.fsencode(path)[prefix:], _KINDS[change])
                if number % _HINTS_AT_ONCE == 0:
                    await asyncio.sleep(0)

    def close(self) -> None:
        """Nothing to do: its thread ends with ``listen``."""


def _first(error: BaseException) -> BaseException:
    return _first(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error
