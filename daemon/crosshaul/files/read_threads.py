"""Threads that read one route's files, and the detection of reads that hang."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

from crosshaul.concurrency.thread_pool import ThreadPool
from crosshaul.errors import RouteHangsError
from crosshaul.model import Claim

_STUCK_SECONDS = 5.0
"""A read that takes longer counts as stuck: its worker and its memory are replaced."""
_HANGING_SECONDS = 60.0
"""A stuck read that takes longer is logged."""
_CHECK_SECONDS = 1.0

T = TypeVar("T")


class ReadObserver:
    """Callbacks for reads that take too long."""

    def __init__(self) -> None:
        self.on_stuck: Callable[[bool], None] = lambda _large: None
        self.on_hanging: Callable[[str, bytes, float], None] = lambda _route, _path, _seconds: None
        self.on_recovered: Callable[[str, float], None] = lambda _route, _seconds: None


class _Call:
    """A call that waits for a thread or runs in one."""

    def __init__(self, claim: Claim, on_stuck: Callable[[], None]) -> None:
        self.claim = claim
        self.on_stuck = on_stuck
        self.started: float | None = None
        self.done = self.stuck = self.given_up = False
        self.future: asyncio.Future[object] | None = None

    def run(self, call: Callable[[], T]) -> T:
        """Make the call; runs in the thread."""
        self.started = time.monotonic()
        try:
            return call()
        finally:
            self.done = True

    def seconds(self, now: float) -> float:
        """Return for how long the call has been running; 0 if it is not."""
        return 0.0 if self.started is None or self.done else now - self.started


class ReadThreads:
    """Runs the blocking reads of one route, and fails new ones while all threads are stuck."""

    def __init__(self, route: str, threads: int, observer: ReadObserver) -> None:
        self.hanging = False
        """All threads are stuck: no read starts until one of them returns."""
        self._route = route
        self._count = threads
        self._threads = ThreadPool(threads, f"read-{route}")
        self._observer = observer
        self._calls: dict[_Call, None] = {}
        """In the order in which they were submitted."""
        self._next_check: asyncio.TimerHandle | None = None
        self._reported_since: float | None = None
        """Start of the hanging read that was reported."""

    async def run(self, claim: Claim, call: Callable[[], T], on_stuck: Callable[[], None] = lambda: None) -> T:
        """Return the result of ``call``, made in a thread. Raises RouteHangsError if no thread gets free, or its error.

        ``on_stuck`` is called once if the call takes longer than 5 s.
        """
        if self.hanging:
            raise self._hangs()
        entry = _Call(claim, on_stuck)
        future = self._threads.begin(entry.run, call)
        entry.future = future  # type: ignore[assignment] # only ever cancelled
        self._calls[entry] = None
        if self._next_check is None:
            self._next_check = asyncio.get_running_loop().call_later(_CHECK_SECONDS, self._check_regularly)
        try:
            return await future
        except asyncio.CancelledError:
            if entry.given_up:
                raise self._hangs() from None
            raise
        finally:
            if entry.started is None or entry.done:  # otherwise the thread still runs, even if nobody waits for it
                self._calls.pop(entry, None)
            if self.hanging:
                self._check()

    def close(self) -> None:
        """Let each thread end after its present call."""
        if self._next_check is not None:
            self._next_check.cancel()
        self._threads.close()

    def _hangs(self) -> RouteHangsError:
        return RouteHangsError(f"reads below the directory of route {self._route} hang")

    def _check_regularly(self) -> None:
        self._next_check = None
        self._calls = {call: None for call in self._calls if not (call.done and call.given_up)}
        self._check()
        if self._calls:
            self._next_check = asyncio.get_running_loop().call_later(_CHECK_SECONDS, self._check_regularly)

    def _check(self) -> None:
        """Find stuck calls, and set ``hanging`` if no thread is left."""
        now = time.monotonic()
        self._calls = {call: None for call in self._calls if not (call.done and call.future and call.future.done())}
        stuck = [call for call in self._calls if call.seconds(now) >= _STUCK_SECONDS]
        for call in stuck:
            if not call.stuck:
                call.stuck = True
                call.on_stuck()
                self._observer.on_stuck(call.claim.large)
        was_hanging, self.hanging = self.hanging, len(stuck) >= self._count
        if self.hanging:
            self._give_up_queued()
        self._report(stuck, now, recovered=was_hanging and not self.hanging)

    def _give_up_queued(self) -> None:
        for call in self._calls:
            if call.started is None and call.future is not None and not call.given_up:
                call.given_up = True
                call.future.cancel()

    def _report(self, stuck: list[_Call], now: float, *, recovered: bool) -> None:
        longest = max(stuck, key=lambda call: call.seconds(now), default=None)
        since = self._reported_since
        if longest is not None and since is None and longest.seconds(now) >= _HANGING_SECONDS:
            self._reported_since = longest.started
            self._observer.on_hanging(self._route, longest.claim.path, longest.seconds(now))
        if (longest is None and since is not None) or recovered:
            since = self._reported_since
            self._observer.on_recovered(self._route, now - since if since is not None else 0.0)
            self._reported_since = None
