"""Read the files of claims: small ones from the page cache without a thread, others in threads of their route."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path

from crosshaul.concurrency.semaphore import ByteSemaphore, Reservation
from crosshaul.concurrency.thread_pool import ThreadPool
from crosshaul.config import Route
from crosshaul.files import page_cache_read
from crosshaul.files.claimed_file import read_claimed
from crosshaul.files.read_threads import ReadObserver, ReadThreads
from crosshaul.files.source_file import SourceFile
from crosshaul.integrity.checksum import Payload
from crosshaul.model import ChecksumKind, Claim

READ_THREADS = 16
"""Threads of a destination for reading, divided among its routes; awscrt and the kernel release the interpreter."""
_MIN_THREADS = 2
_MAX_FETCHES = 2
"""Fetches at a time: one that a bad sector blocks must not block all others."""


class _Fetch:
    """Files that are fetched into the page cache together."""

    def __init__(self) -> None:
        self.files: list[tuple[Path, bytes]] = []
        self.over = asyncio.Event()


class RouteReader:
    """Reads the files of one route, in threads of its own: a file system that hangs blocks no other route.

    Files in the page cache need no thread. Small files that are not in it share a thread.
    """

    def __init__(self, route: str, threads: int, observer: ReadObserver) -> None:
        self.threads = ReadThreads(route, threads, observer)
        self._closing = ThreadPool(1, f"close-{route}")
        """A thread of its own: a close that hangs must not count as a thread that can still read."""
        self._fetching = ByteSemaphore(lambda: _MAX_FETCHES)
        self._next_fetch = _Fetch()

    def close_later(self, source: SourceFile) -> None:
        """Close a file in another thread, since even a close may hang."""
        self._closing.begin(source.close).add_done_callback(lambda done: done.cancelled() or done.exception())

    async def read_file(
        self,
        claim: Claim,
        route: Route,
        kinds: tuple[ChecksumKind, ...],
        *,
        hashed: bool,
        on_stuck: Callable[[], None] = lambda: None,
    ) -> Payload:
        """Return the whole file with its checksums. Raises SourceError."""
        small = claim.fingerprint.size <= page_cache_read.MAX_BYTES and not claim.never_settled
        data = await self._read_cached(claim, route, on_stuck) if small else None
        if data is not None:
            return Payload.of(data, kinds, hashed=hashed)
        return await self.threads.run(claim, partial(read_claimed, claim, route, kinds, hashed=hashed), on_stuck)

    def close(self) -> None:
        """Let each thread end after its present call."""
        self.threads.close()
        self._closing.close()

    async def _read_cached(self, claim: Claim, route: Route, on_stuck: Callable[[], None]) -> bytes | None:
        data = page_cache_read.read(route.path, claim.path, claim.fingerprint)
        if data is None and page_cache_read.supports(route.path):
            await self._fetch(claim, route.path, on_stuck)
            data = page_cache_read.read(route.path, claim.path, claim.fingerprint)
        return data

    async def _fetch(self, claim: Claim, root: Path, on_stuck: Callable[[], None]) -> None:
        """Return when the file was fetched; the first caller of a fetch makes it for all of its files.

        While a fetch is stuck the next one may start. Otherwise its callers would wait as long as it hangs.
        """
        mine = self._next_fetch
        mine.files.append((root, claim.path))
        if len(mine.files) > 1:
            await mine.over.wait()
            return
        try:
            await self._fetch_all(claim, mine, on_stuck)
        finally:
            if self._next_fetch is mine:
                self._next_fetch = _Fetch()
            mine.over.set()

    async def _fetch_all(self, claim: Claim, mine: _Fetch, on_stuck: Callable[[], None]) -> None:
        await self._fetching.acquire(1)
        turn = Reservation(self._fetching, 1)

        def stuck() -> None:
            mine.over.set()
            turn.end()
            on_stuck()

        try:
            self._next_fetch = _Fetch()
            await self.threads.run(claim, partial(page_cache_read.fetch, mine.files), stuck)
        finally:
            turn.end()


class FileReader:
    """Reads the files of one destination: a RouteReader for each of its routes."""

    def __init__(self) -> None:
        self._routes: dict[str, RouteReader] = {}
        self._threads_per_route = READ_THREADS
        self._observer = ReadObserver()

    def observe(
        self,
        on_stuck: Callable[[bool], None],
        on_hanging: Callable[[str, bytes, float], None],
        on_recovered: Callable[[str, float], None],
    ) -> None:
        """Set the callbacks for a stuck read, for one that hangs for a minute, and for a route that recovers."""
        observer = self._observer
        observer.on_stuck, observer.on_hanging, observer.on_recovered = on_stuck, on_hanging, on_recovered

    def share_among(self, routes: int) -> None:
        """Divide the threads among this number of routes; applies to routes that are read for the first time."""
        self._threads_per_route = max(_MIN_THREADS, READ_THREADS // max(1, routes))

    def for_route(self, route: str) -> RouteReader:
        """Return the reader of a route's files."""
        reader = self._routes.get(route)
        if reader is None:
            reader = self._routes[route] = RouteReader(route, self._threads_per_route, self._observer)
        return reader

    def is_hanging(self, route: str) -> bool:
        """Return whether all threads of this route are stuck."""
        reader = self._routes.get(route)
        return reader is not None and reader.threads.hanging

    def close(self) -> None:
        """Let each thread end after its present call; queued calls never run."""
        for reader in self._routes.values():
            reader.close()
