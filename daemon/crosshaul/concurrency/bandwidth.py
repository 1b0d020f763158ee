"""The bandwidth limit: one rate for the process, shared by its destinations piece by piece."""

from __future__ import annotations

import asyncio
from collections import deque
from datetime import datetime

from crosshaul.concurrency.adaptive_limit import RateStep, TokenBucket, rate_at
from crosshaul.concurrency.clock import Clock

_PIECES_A_SECOND = 10
"""Pieces are small, so that no connection waits in silence until its server closes it, and no destination for long."""
_LEAST_PIECE = 512
_LARGEST_PIECE = 256 * 1024
_LONGEST_SLEEP_SECONDS = 1.0
"""A step of the timetable begins meanwhile."""

_Waiter = tuple[int, asyncio.Future[None]]


class BandwidthLimiter:
    """Grants turns to send: so many bytes a second in all, and as many to each destination that wants them.

    Turns go round by destination (deficit round robin), within one in the order in which they were asked for. What is
    owed to the line is counted in bytes: another rate acts at once. Belongs to the loop that it is used in.
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
        """Whether there is any limit, be it at another time of day."""

    def schedule(self, steps: tuple[RateStep, ...]) -> None:
        """Go by this timetable."""
        self._timetable = steps
        self._change()

    def override(self, steps: tuple[RateStep, ...] | None) -> None:
        """Go by what an operator asks for instead of the timetable; None = by the timetable again."""
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
        """Bytes a second now; None = as many as there are."""
        if not self.limits:
            return None
        second = int(self._clock.now())
        if second != self._second:
            self._second = second
            self._rate = rate_at(self._steps, datetime.fromtimestamp(second).astimezone().time())
        return self._rate

    def piece(self) -> int:
        """Bytes of one turn, at most."""
        rate = self.rate()
        if rate is None:
            return _LARGEST_PIECE
        return max(_LEAST_PIECE, min(_LARGEST_PIECE, rate // _PIECES_A_SECOND))

    def share(self) -> BandwidthShare:
        """A destination's part in it."""
        return BandwidthShare(self)

    def take(self, size: int) -> bool:
        """Take a turn if it can be had now, and nobody waits."""
        if self._ring or self._bucket.wait(self.rate(), self._clock.monotonic()) > 0:
            return False
        self._bucket.take(size)
        return True

    def enqueue(self, share: BandwidthShare) -> None:
        """Someone of this share waits."""
        if share not in self._ring:
            self._ring.append(share)
            self._serve()

    def give_back(self, size: int) -> None:
        """A turn was not used: the next one may be had so much earlier."""
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
                self._timer = loop.call_later(min(wait, _LONGEST_SLEEP_SECONDS), self._serve)
                return
            self._bucket.take(self._ring[0].grant(self.piece()))
            if self._ring[0].waits:
                self._ring.rotate(-1)
            else:
                self._ring.popleft()


class BandwidthShare:
    """One destination's turns. False where nothing limits it, also at another time of day."""

    def __init__(self, limiter: BandwidthLimiter) -> None:
        self._limiter = limiter
        self._queue: deque[_Waiter] = deque()
        self._deficit = 0

    def __bool__(self) -> bool:
        return self._limiter.limits

    @property
    def waits(self) -> bool:
        """Whether anybody waits for a turn."""
        return bool(self._queue)

    def piece(self) -> int:
        """Bytes to ask a turn for, at most."""
        return self._limiter.piece()

    async def turn(self, size: int) -> None:
        """Wait until ``size`` bytes may go."""
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
        """A turn that was had is not used: its connection is gone."""
        self._limiter.give_back(size)

    def grant(self, quantum: int) -> int:
        """Let go whose bytes are there, a quantum more with each call; tell how many bytes went."""
        self._deficit += quantum
        went = 0
        while self._queue:
            size, turn = self._queue[0]
            if not turn.done():  # else it was cancelled
                if self._deficit < size:
                    return went
                turn.set_result(None)
                self._deficit -= size
                went += size
            self._queue.popleft()
        self._deficit = 0
        return went
