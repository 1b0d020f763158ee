"""Keep a watch backend on one root, which may be missing at first and may be replaced by another directory.

The tree is scanned after each change of the backend, which finds changes without events.
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
from crosshaul.files.shared_prefix_path import Directory

if sys.platform == "linux":
    from crosshaul.discovery.watch.inotify import InotifyBackend as NativeBackend
else:
    from crosshaul.discovery.watch.portable import WatchfilesBackend as NativeBackend

_ROOT_POLL_SECONDS = 1.0
_MIN_PAUSE_SECONDS = 0.05
_RETRY_SECONDS = 60.0
"""Pause before another backend is tried."""


class Watcher:
    """Watches one root."""

    def __init__(
        self,
        root: Path,
        listener: WatchListener,
        clock: Clock,
        threads: ThreadPool,
        backend: Callable[[Path, WatchListener], WatchBackend] = NativeBackend,
    ) -> None:
        self._root = root
        self._listener = listener
        self._clock = clock
        self._threads = threads
        self._new_backend = backend
        self._backend: WatchBackend | None = None
        self._state = "off"

    def watch_directory(self, directory: Directory, descriptor: int) -> None:
        """Watch a directory that a scan is about to list. May be called from any thread."""
        backend = self._backend
        if backend is not None:
            backend.watch_directory(directory, descriptor)

    def scan_finished(self) -> None:
        """Handle the end of a full scan."""
        backend = self._backend
        if backend is not None:
            obstacle = backend.scan_finished()
            self._set_state(f"scanning only: {obstacle}" if obstacle else "watching")

    async def deliver_pending(self) -> None:
        """Deliver the events of all changes so far, if the backend can."""
        backend = self._backend
        if backend is not None:
            await backend.deliver_pending()

    async def run(self) -> None:
        """Watch until cancelled."""
        try:
            while True:
                identity = await self._identity()
                if identity is None:
                    self._set_state("root missing")
                else:
                    await self._session(identity)
                await self._clock.sleep(_ROOT_POLL_SECONDS if identity is None else _MIN_PAUSE_SECONDS)
        finally:
            self._set_state("off")

    def _set_state(self, state: str) -> None:
        if state != self._state:
            self._state = state
            self._listener.on_watcher_state(state)

    async def _identity(self) -> tuple[int, int] | None:
        return await self._threads.run(_identity, self._root)

    async def _session(self, identity: tuple[int, int]) -> None:
        """Watch the directory at the root's path until another one takes its place."""
        await wait_any(self._wait_for_replacement(identity), self._listen())

    async def _wait_for_replacement(self, identity: tuple[int, int]) -> None:
        """Return when the root is gone or another directory (a mount, a changed symlink)."""
        while await self._identity() == identity:
            await self._clock.sleep(_ROOT_POLL_SECONDS)

    async def _listen(self) -> None:
        """Run a backend until the root is gone; if there is none, try again after a pause."""
        delivered = True
        while True:
            try:
                self._backend = self._new_backend(self._root, self._listener)
                self._set_state("watching")
                delivered = True
                self._listener.request_scan()
                await self._backend.listen()
                return
            except WatchUnavailableError as error:
                self._set_state(f"scanning only: {error}")
            finally:
                self._close_backend()
            # Changes since the last backend need one scan; further scans come at the configured interval.
            if delivered:
                self._listener.request_scan()
            delivered = False
            await self._clock.sleep(_RETRY_SECONDS)

    def _close_backend(self) -> None:
        backend, self._backend = self._backend, None
        if backend is not None:
            backend.close()


def _identity(root: Path) -> tuple[int, int] | None:
    """Return device and inode of the root; None if there is no such directory."""
    try:
        status = root.stat()
    except OSError:
        return None
    return (status.st_dev, status.st_ino) if stat.S_ISDIR(status.st_mode) else None
