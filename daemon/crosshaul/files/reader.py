"""A claim's bytes, in the state in which it came to rest: small files whole, large ones by descriptor, in parts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

from crosshaul.concurrency.semaphore import ByteSemaphore, Reservation
from crosshaul.concurrency.thread_pool import ThreadPool
from crosshaul.config import Route
from crosshaul.errors import FileChangedError, FileGoneError, FileUnreadableError, RootMissingError, RouteHangsError
from crosshaul.files import page_cache
from crosshaul.files.growing import GrowingFile
from crosshaul.files.source import Root, SourceFile
from crosshaul.integrity.checksum import Payload
from crosshaul.model import ChecksumKind, Claim

READERS = 16
"""Threads of a destination for reading, shared out among its routes; awscrt and the kernel let the others run."""
_FEWEST_READERS = 2
_FETCHES_AT_ONCE = 2
"""Fetches at once: one that a bad sector holds up is not in the way of all."""
_STUCK_SECONDS = 5.0
"""A read that takes longer counts as stuck: its worker and its memory are replaced."""
_TOLD_SECONDS = 60.0
"""A read that takes longer is an event."""
_LOOK_SECONDS = 1.0

T = TypeVar("T")


class _Observer:
    """Who is told of reads that take too long."""

    def __init__(self) -> None:
        self.on_stuck: Callable[[bool], None] = lambda _large: None
        self.on_hanging: Callable[[str, bytes, float], None] = lambda _route, _path, _seconds: None
        self.on_recovered: Callable[[str, float], None] = lambda _route, _seconds: None


class _Call:
    """A call that a thread does, or is to do."""

    def __init__(self, claim: Claim, on_stuck: Callable[[], None]) -> None:
        self.claim = claim
        self.on_stuck = on_stuck
        self.began: float | None = None
        self.done = self.stuck = self.given_up = False
        self.future: asyncio.Future[object] | None = None

    def run(self, call: Callable[[], T]) -> T:
        """Do it, in the thread."""
        self.began = time.monotonic()
        try:
            return call()
        finally:
            self.done = True

    def seconds(self, now: float) -> float:
        """How long the thread has been at it."""
        return 0.0 if self.began is None or self.done else now - self.began


class _Fetch:
    """Files that are fetched into memory together."""

    def __init__(self) -> None:
        self.files: list[tuple[Path, bytes]] = []
        self.over = asyncio.Event()


class RouteReader:
    """Reads one route's files, with threads of its own: a file system that hangs takes no other route's.

    What is in memory needs no thread, and for the small files that are not, one serves many.
    """

    def __init__(self, route: str, threads: int, observer: _Observer) -> None:
        self.hangs = False
        """All threads are stuck: nothing more is begun until one comes back."""
        self._route = route
        self._count = threads
        self._threads = ThreadPool(threads, f"read-{route}")
        self._closing = ThreadPool(1, f"close-{route}")
        """One of its own: a close that hangs must not pass for a thread that can still read."""
        self._observer = observer
        self._calls: dict[_Call, None] = {}
        """In the order in which they began to wait."""
        self._looking: asyncio.TimerHandle | None = None
        self._told_of: float | None = None
        self._fetching = ByteSemaphore(lambda: _FETCHES_AT_ONCE)
        self._next_fetch = _Fetch()

    async def run(self, claim: Claim, call: Callable[[], T], on_stuck: Callable[[], None] = lambda: None) -> T:
        """What ``call`` gives, from a thread. Raises RouteHangsError if none comes free in time, and what it raises."""
        if self.hangs:
            raise RouteHangsError(f"reads below the directory of route {self._route} hang")
        entry = _Call(claim, on_stuck)
        future = self._threads.begin(entry.run, call)
        entry.future = future  # type: ignore[assignment] # only ever cancelled
        self._calls[entry] = None
        if self._looking is None:
            self._looking = asyncio.get_running_loop().call_later(_LOOK_SECONDS, self._look)
        try:
            return await future
        except asyncio.CancelledError:
            if entry.given_up:
                raise RouteHangsError(f"reads below the directory of route {self._route} hang") from None
            raise
        finally:
            if entry.began is None or entry.done:  # else the thread is still at it, whoever waits for it or not
                self._calls.pop(entry, None)
            if self.hangs:
                self._judge()

    def discard(self, source: SourceFile) -> None:
        """Close a file some time: even that may hang."""
        self._closing.begin(source.close).add_done_callback(lambda done: done.cancelled() or done.exception())

    async def whole(
        self,
        claim: Claim,
        route: Route,
        kinds: tuple[ChecksumKind, ...],
        *,
        hashed: bool,
        on_stuck: Callable[[], None] = lambda: None,
    ) -> Payload:
        """All of the file, with its checksums. Raises SourceError."""
        small = claim.fingerprint.size <= page_cache.MOST and not claim.never_settled
        data = await self._small(claim, route, on_stuck) if small else None
        if data is not None:
            return Payload.of(data, kinds, hashed=hashed)
        return await self.run(claim, partial(_whole, claim, route, kinds, hashed=hashed), on_stuck)

    def close(self) -> None:
        """Let the threads end when they have done what they are at."""
        if self._looking is not None:
            self._looking.cancel()
        self._threads.close()
        self._closing.close()

    async def _small(self, claim: Claim, route: Route, on_stuck: Callable[[], None]) -> bytes | None:
        data = page_cache.read(route.path, claim.path, claim.fingerprint)
        if data is None and page_cache.serves(route.path):
            await self._fetch(claim, route.path, on_stuck)
            data = page_cache.read(route.path, claim.path, claim.fingerprint)
        return data

    async def _fetch(self, claim: Claim, root: Path, on_stuck: Callable[[], None]) -> None:
        """Come back when the file has been looked for; whoever is first in a fetch does it for all of them.

        A fetch that is stuck lets the next begin, or those whose turn it is next would wait for as long as it hangs.
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
            await self.run(claim, partial(page_cache.fetch, mine.files), stuck)
        finally:
            turn.end()

    def _look(self) -> None:
        self._looking = None
        self._calls = {call: None for call in self._calls if not (call.done and call.given_up)}
        self._judge()
        if self._calls:
            self._looking = asyncio.get_running_loop().call_later(_LOOK_SECONDS, self._look)

    def _judge(self) -> None:
        """See which calls are stuck, and whether any thread is left."""
        now = time.monotonic()
        self._calls = {call: None for call in self._calls if not (call.done and call.future and call.future.done())}
        stuck = [call for call in self._calls if call.seconds(now) >= _STUCK_SECONDS]
        for call in stuck:
            if not call.stuck:
                call.stuck = True
                call.on_stuck()
                self._observer.on_stuck(call.claim.large)
        hung, self.hangs = self.hangs, len(stuck) >= self._count
        if self.hangs:
            self._give_up_queued()
        self._tell(stuck, now, recovered=hung and not self.hangs)

    def _give_up_queued(self) -> None:
        for call in self._calls:
            if call.began is None and call.future is not None and not call.given_up:
                call.given_up = True
                call.future.cancel()

    def _tell(self, stuck: list[_Call], now: float, *, recovered: bool) -> None:
        longest = max(stuck, key=lambda call: call.seconds(now), default=None)
        if longest is not None and self._told_of is None and longest.seconds(now) >= _TOLD_SECONDS:
            self._told_of = longest.began
            self._observer.on_hanging(self._route, longest.claim.path, longest.seconds(now))
        if (longest is None and self._told_of is not None) or recovered:
            self._observer.on_recovered(self._route, now - self._told_of if self._told_of is not None else 0.0)
            self._told_of = None


class FileReaders:
    """The readers of a destination's routes."""

    def __init__(self) -> None:
        self._routes: dict[str, RouteReader] = {}
        self._each = READERS
        self._observer = _Observer()

    def observe(
        self,
        on_stuck: Callable[[bool], None],
        on_hanging: Callable[[str, bytes, float], None],
        on_recovered: Callable[[str, float], None],
    ) -> None:
        """Tell of a read that is stuck, of one that hangs for a minute, and of a route whose reads come back."""
        observer = self._observer
        observer.on_stuck, observer.on_hanging, observer.on_recovered = on_stuck, on_hanging, on_recovered

    def expect(self, routes: int) -> None:
        """So many routes share the threads from now on."""
        self._each = max(_FEWEST_READERS, READERS // max(1, routes))

    def of(self, route: str) -> RouteReader:
        """The reader of a route's files."""
        reader = self._routes.get(route)
        if reader is None:
            reader = self._routes[route] = RouteReader(route, self._each, self._observer)
        return reader

    def hang(self, route: str) -> bool:
        """Whether nothing of this route can be read now."""
        reader = self._routes.get(route)
        return reader is not None and reader.hangs

    def close(self) -> None:
        """Let the threads end when they have done what they are at; what has not begun never will."""
        for reader in self._routes.values():
            reader.close()


def opened(claim: Claim, route: Route) -> SourceFile:
    """The file, open in its recorded state; blocks. Raises SourceError."""
    with _root(route) as root:
        source = root.open_file(claim.path, follow_inside=route.symlinks == "follow_inside")
    if source.fingerprint != claim.fingerprint:
        source.close()
        raise FileChangedError("the file changed after it had come to rest")
    return source


def growing(claim: Claim, route: Route, block: int) -> GrowingFile:
    """A file that never came to rest, open, to be surveyed before it is sent; blocks. Raises SourceError."""
    with _root(route) as root, root.open_file(claim.path, follow_inside=route.symlinks == "follow_inside") as source:
        now, then = source.fingerprint, claim.fingerprint
        if now.inode != then.inode or now.size < then.size:
            raise FileChangedError("the file is another one, or shorter, than it was when it was taken")
        return GrowingFile(source.detach(), claim.path, then, block)


def _whole(claim: Claim, route: Route, kinds: tuple[ChecksumKind, ...], *, hashed: bool) -> Payload:
    size = claim.fingerprint.size
    with growing(claim, route, max(1, size)) if claim.never_settled else opened(claim, route) as source:
        if isinstance(source, GrowingFile):
            source.survey()
        data = source.read(0, size)
        source.unchanged()
    return Payload.of(data, kinds, hashed=hashed)


def _root(route: Route) -> Root:
    # A root that is missing, unmounted or closed to us says nothing of the files in it; they wait for it.
    try:
        return Root.open(route.path)
    except FileGoneError as error:
        raise RootMissingError(f"the watched directory {route.path} is missing; is it mounted?") from error
    except FileUnreadableError as error:
        raise RootMissingError(f"the watched directory can't be read: {error}") from error
