"""Claims that wait for a worker: the small files or the large ones of a destination."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence

from crosshaul.model import Claim

AHEAD, FAR_AHEAD = 2, 32
"""Files claimed for each that may be being sent, at least and at most: they wait for their turn, or until their receipt
is on disk. The most are for thousands of small files a second, of which each commit takes hundreds."""


class Lookahead:
    """The claims of one kind, small or large: neither kind waits behind the other."""

    def __init__(self, workers: int, far_ahead: int) -> None:
        self.workers = workers
        self.queue: asyncio.Queue[Claim | None] = asyncio.Queue()
        self.under_way = 0
        """Claimed, and what became of them not yet on disk."""
        self.stalled_in_work = 0
        """Being sent, of those that stalled before."""
        self._stalled_most = max(1, workers // 4)
        self._most = self._least = workers * AHEAD
        self._bound = workers * far_ahead

    def add_worker(self) -> None:
        """Make up for a worker whose read may never end, and for the room that its claim takes."""
        self.workers += 1
        self._least += AHEAD
        self._most += AHEAD

    def wanted(self) -> int:
        """How many to claim: as many as there is room for, none while half of them are there."""
        free = self._most - self.under_way
        return free if 2 * free >= self._most else 0

    def has_room_for_stalled(self) -> bool:
        """Whether one more file that stalled before may be sent: they never take all workers."""
        return self.stalled_in_work < self._stalled_most

    def take(self, claims: Sequence[Claim], asked: int) -> None:
        """Queue claims, of so many that were asked for."""
        if len(claims) < asked:
            self._most = self._least
        elif asked > 1 and self.queue.empty():  # they came too late; a canary always does
            self._most = min(2 * self._most, self._bound)
        self.under_way += len(claims)
        for claim in claims:
            self.queue.put_nowait(claim)

    def drain_unstarted(self) -> Iterator[Claim]:
        """Take back what no worker has begun."""
        while not self.queue.empty():
            claim = self.queue.get_nowait()
            if claim is None:  # the end that each worker waits for: a worker that parks must not take it from another
                self.queue.put_nowait(None)
                return
            self.under_way -= 1
            yield claim

    def waiting(self) -> set[int]:
        """The files that wait for a worker."""
        # What a queue holds can be seen in no other way, and is looked at once a minute.
        return {claim.id for claim in self.queue._queue if claim is not None}  # type: ignore[attr-defined] # noqa: SLF001

    def end(self) -> None:
        """Let each worker go when it has nothing more to do."""
        for _ in range(self.workers):
            self.queue.put_nowait(None)
