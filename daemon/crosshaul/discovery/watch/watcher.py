"""Keeps an ear on one root, wherever it comes from and however often it is replaced.

Whatever happens in between, the tree is walked after each change of ears: what was not heard is seen.
"""

from __future__ import annotations

import stat
import sys
from collections.abc import Callable
from pathlib import Path

from crosshaul.concurrency.clock import Clock
from crosshaul.concurrency.thread_pool import ThreadPool
from crosshaul.concurrency.waiting import wait_any
from crosshaul.discovery.watch.backend import WatchBackend, WatchListener, WatchUnavailableError
from crosshaul.files.directory import Directory

if sys.platform == "linux":
    from crosshaul.discovery.watch.inotify import InotifyBackend as NativeEar
else:
    from crosshaul.discovery.watch.portable import WatchfilesBackend as NativeEar

_ROOT_POLL = 1.0
_BREATH = 0.05
_DEAF = 60.0
"""Seconds until another ear is tried."""


class Watcher:
    """Watches one root."""

    def __init__(
        self,
        root: Path,
        listener: WatchListener,
        clock: Clock,
        threads: ThreadPool,
        ear: Callable[[Path, WatchListener], WatchBackend] = NativeEar,
    ) -> None:
        self._root = root
        self._listener = listener
        self._clock = clock
        self._threads = threads
        self._new_ear = ear
        self._ear: WatchBackend | None = None
        self._state = "off"

    def entering(self, directory: Directory, descriptor: int) -> None:
        """A walk is about to list this directory. May be called from any thread."""
        ear = self._ear
        if ear is not None:
            ear.entering(directory, descriptor)

    def walked(self) -> None:
        """A walk of the whole tree is over."""
        ear = self._ear
        if ear is not None:
            hindrance = ear.walked()
            self._say(f"scanning only: {hindrance}" if hindrance else "watching")

    async def run(self) -> None:
        """Watch until cancelled."""
        try:
            while True:
                identity = await self._identity()
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

    async def _identity(self) -> tuple[int, int] | None:
        return await self._threads.run(_identity, self._root)

    async def _session(self, identity: tuple[int, int]) -> None:
        """Watch the directory that is at the root's path now, until it is another one."""
        await wait_any(self._guard(identity), self._listen())

    async def _guard(self, identity: tuple[int, int]) -> None:
        """Come back when the root is gone or another directory (a mount, a symlink that was turned)."""
        while await self._identity() == identity:
            await self._clock.sleep(_ROOT_POLL)

    async def _listen(self) -> None:
        """Have an ear on the root until it is gone; without one, try again now and then."""
        heard = True
        while True:
            try:
                self._ear = self._new_ear(self._root, self._listener)
                self._say("watching")
                heard = True
                self._listener.rescan()
                await self._ear.listen()
                return
            except WatchUnavailableError as deaf:
                self._say(f"scanning only: {deaf}")
            finally:
                self._hang_up()
            # What happened since an ear was last there has to be looked for once, and then as often as is configured.
            if heard:
                self._listener.rescan()
            heard = False
            await self._clock.sleep(_DEAF)

    def _hang_up(self) -> None:
        ear, self._ear = self._ear, None
        if ear is not None:
            ear.close()


def _identity(root: Path) -> tuple[int, int] | None:
    """Device and inode of the root; None if there is no such directory to be seen."""
    try:
        found = root.stat()
    except OSError:
        return None
    return (found.st_dev, found.st_ino) if stat.S_ISDIR(found.st_mode) else None
