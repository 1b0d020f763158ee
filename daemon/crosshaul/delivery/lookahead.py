"""Queue claims for the workers of a destination: one queue for small files, one for large files."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence

from crosshaul.model import Claim

CLAIMS_PER_WORKER, MAX_CLAIMS_PER_WORKER = 2, 32
"""Claimed files per worker, at least and at most: queued, uploading, or uploaded but not yet in the journal. The
maximum serves thousands of small files a second, of which each commit takes hundreds."""


class Lookahead:
    """The claims of one kind, small or large, so that neither kind waits behind the other."""

    def __init__(self, workers: int, max_claims_per_worker: int) -> None:
        self.workers = workers
        self.queue: asyncio.Queue[Claim | None] = asyncio.Queue()
        self.claimed = 0
        """Claims whose outcome is not on disk yet."""
        self.stalled_uploads = 0
        """Uploads in progress of files whose last attempt hung."""
        self._max_stalled_uploads = max(1, workers // 4)
        self._capacity = self._min_capacity = workers * CLAIMS_PER_WORKER
        self._max_capacity = workers * max_claims_per_worker

    def add_worker(self) -> None:
        """Make room for a worker in place of one whose read may never return."""
        self.workers += 1
        self._min_capacity += CLAIMS_PER_WORKER
        self._capacity += CLAIMS_PER_WORKER

    def wanted(self) -> int:
        """Return how many files to claim: as many as there is room for, 0 while it is more than half full."""
        free = self._capacity - self.claimed
        return free if 2 * free >= self._capacity else 0

    def has_room_for_stalled(self) -> bool:
        """Return whether one more file whose last attempt hung may be uploaded: such files never take all workers."""
        return self.stalled_uploads < self._max_stalled_uploads

    def add(self, claims: Sequence[Claim], wanted: int) -> None:
        """Queue claims, of which ``wanted`` were asked for; grow if the queue ran empty meanwhile."""
        if len(claims) < wanted:
            self._capacity = self._min_capacity
        elif wanted > 1 and self.queue.empty():  # for a canary the queue is always empty
            self._capacity = min(2 * self._capacity, self._max_capacity)
        self.claimed += len(claims)
        for claim in claims:
            self.queue.put_nowait(claim)

    def drain_unstarted(self) -> Iterator[Claim]:
        """Take back the claims that no worker has taken."""
        while not self.queue.empty():
            claim = self.queue.get_nowait()
            if claim is None:  # ``close`` was called: each worker needs its own None
                self.queue.put_nowait(None)
                return
            self.claimed -= 1
            yield claim

    def queued_ids(self) -> set[int]:
        """Return the record ids of the queued claims."""
        # asyncio.Queue has no other way to look at its items; called once a minute.
        return {claim.id for claim in self.queue._queue if claim is not None}  # type: ignore[attr-defined] # noqa: SLF001

    def close(self) -> None:
        """Let each worker return once the queue is empty."""
        for _ in range(self.workers):
            self.queue.put_nowait(None)
