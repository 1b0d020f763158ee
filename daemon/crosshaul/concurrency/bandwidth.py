"""Limit the bandwidth of the process, shared by its destinations piece by piece."""

from __future__ import annotations

import asyncio
from collections import deque
from datetime import datetime

from crosshaul.concurrency.clock import Clock
from crosshaul.concurrency.token_bucket import RateStep, TokenBucket, rate_at

_PIECES_PER_SECOND = 10
"""Pieces are small, so that no server closes a connection that waits, and no destination waits long."""
_MIN_PIECE_BYTES = 512
_MAX_PIECE_BYTES = 256 * 1024
_MAX_SLEEP_SECONDS = 1.0
"""The timetable may change the rate meanwhile."""

_Waiter = tuple[int, asyncio.Future[None]]


class BandwidthLimiter:
    """Grants turns to send at a total rate, in equal shares to the destinations that have something to send.

    Destinations take turns (deficit round robin); within a destination the order is first come, first served. Overdraft
    is counted in bytes, so that a new rate acts at once. Use it in one event loop only.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._bucket = TokenBucket()
        self._timetable: tuple[RateStep, ...] = ()
        self._override: tuple[RateStep, ...] | None = None
        self._rate: int | None = None
        self._second = -1
        self._ring: deque[BandwidthShare] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self.limits = False
        """True if there is a limit at any time of day."""

    def schedule(self, steps: tuple[RateStep, ...]) -> None:
        """Set the configured timetable."""
        self._timetable = steps
        self._change()

    def override(self, steps: tuple[RateStep, ...] | None) -> None:
        """Replace the configured timetable by an operator's; None = use the configured one again."""
        self._override = steps
        self._change()

    def _change(self) -> None:
        self.limits = bool(self._steps)
        self._second = -1
        self._serve()

    @property
    def _steps(self) -> tuple[RateStep, ...]:
        return self._timetable if self._override is None else self._override

    def rate(self) -> int | None:
        """Return the current rate in bytes per second; None = no limit."""
        if not self.limits:
            return None
        second = int(self._clock.now())
        if second != self._second:
            self._second = second
            self._rate = rate_at(self._steps, datetime.fromtimestamp(second).astimezone().time())
        return self._rate

    def piece(self) -> int:
        """Return the most bytes of one turn."""
        rate = self.rate()
        if rate is None:
            return _MAX_PIECE_BYTES
        return max(_MIN_PIECE_BYTES, min(_MAX_PIECE_BYTES, rate // _PIECES_PER_SECOND))

    def share(self) -> BandwidthShare:
        """Return a new share, for one destination."""
        return BandwidthShare(self)

    def take(self, size: int) -> bool:
        """Take a turn if it is possible now and no share waits."""
        if self._ring or self._bucket.wait(self.rate(), self._clock.monotonic()) > 0:
            return False
        self._bucket.take(size)
        return True

    def enqueue(self, share: BandwidthShare) -> None:
        """Add a share that has waiting turns."""
        if share not in self._ring:
            self._ring.append(share)
            self._serve()

    def give_back(self, size: int) -> None:
        """Return the bytes of an unused turn."""
        self._bucket.take(-size)
        self._serve()

    def _serve(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._ring:
            wait = self._bucket.wait(self.rate(), self._clock.monotonic())
            if wait > 0:
                loop = asyncio.get_running_loop()
                self._timer = loop.call_later(min(wait, _MAX_SLEEP_SECONDS), self._serve)
                return
            self._bucket.take(self._ring[0].grant(self.piece()))
            if self._ring[0].waits:
                self._ring.rotate(-1)
            else:
                self._ring.popleft()


class BandwidthShare:
    """The turns of one destination. False if there is no limit at any time of day."""

    def __init__(self, limiter: BandwidthLimiter) -> None:
        self._limiter = limiter
        self._queue: deque[_Waiter] = deque()
        self._deficit = 0

    def __bool__(self) -> bool:
        return self._limiter.limits

    @property
    def waits(self) -> bool:
        """Return whether a turn is waited for."""
        return bool(self._queue)

    def piece(self) -> int:
        """Return the most bytes of one turn."""
        return self._limiter.piece()

    async def turn(self, size: int) -> None:
        """Wait until ``size`` bytes may be sent."""
        if self._limiter.take(size):
            return
        turn = asyncio.get_running_loop().create_future()
        self._queue.append((size, turn))
        self._limiter.enqueue(self)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():
                self._limiter.give_back(size)
            raise

    def give_back(self, size: int) -> None:
        """Return the bytes of a turn whose connection has closed."""
        self._limiter.give_back(size)

    def grant(self, quantum: int) -> int:
        """Add ``quantum`` to the deficit, grant the turns that it covers, and return their bytes."""
        self._deficit += quantum
        granted = 0
        while self._queue:
            size, turn = self._queue[0]
            if not turn.done():  # else it was cancelled
                if self._deficit < size:
                    return granted
                turn.set_result(None)
                self._deficit -= size
                granted += size
            self._queue.popleft()
        self._deficit = 0
        return granted
