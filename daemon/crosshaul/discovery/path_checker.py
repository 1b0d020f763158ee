"""Check the paths that hints name and the files that are due."""

from __future__ import annotations

import asyncio

from crosshaul.concurrency.waiting import wait_any
from crosshaul.discovery.candidates import Candidates
from crosshaul.discovery.context import DiscoveryContext
from crosshaul.discovery.hash_queue import HashQueue
from crosshaul.discovery.hint_inbox import HintInbox
from crosshaul.discovery.rescans import Rescans
from crosshaul.discovery.watch import EventKind, Watcher
from crosshaul.errors import SourceError

_BATCH_PATHS = 500
_END_KINDS = frozenset({EventKind.RENAMED, EventKind.CLOSED})
"""Events that say something about the file's state at that time only."""


class PathChecker:
    """Stats single paths of one route and passes on what it finds."""

    def __init__(
        self,
        context: DiscoveryContext,
        inbox: HintInbox,
        candidates: Candidates,
        rescans: Rescans,
        hash_queue: HashQueue,
        watcher: Watcher,
    ) -> None:
        self._context = context
        self._inbox = inbox
        self._watcher = watcher
        self._candidates = candidates
        self._rescans = rescans
        self._hash_queue = hash_queue
        self._lock = asyncio.Lock()

    @property
    def busy(self) -> bool:
        """True if there are hints, or paths are being checked."""
        return bool(self._inbox) or self._lock.locked()

    async def run(self) -> None:
        """Check paths when there are hints or due files, until cancelled. Raises StateDirError."""
        filled, clock = self._inbox.filled, self._context.clock
        while True:
            due = self._context.unsettled.next_due()
            if due is None:
                await filled.wait()
            else:
                await wait_any(filled.wait(), clock.sleep(due - clock.monotonic()))
            await self.check()

    async def check(self) -> None:
        """Check all hints and due files once. Raises StateDirError."""
        async with self._lock:
            self._inbox.checking = True
            try:
                hints, appeared = self._inbox.take()
                paths = list(hints)
                for start in range(0, len(paths), _BATCH_PATHS):
                    batch = paths[start : start + _BATCH_PATHS]
                    await self._check_batch({path: hints[path] for path in batch}, appeared)
            finally:
                self._inbox.checking = False
        if self._context.unsettled.has_room and self._hash_queue.has_room:
            self._rescans.request_for_turned_away()

    async def _check_batch(self, hints: dict[bytes, EventKind], appeared: set[bytes]) -> None:
        unsettled = self._context.unsettled
        try:
            stats = await self._context.stat_paths(hints)
        except SourceError:
            # The root is gone or replaced. Until the next scan a missing file does not mean that it was deleted.
            unsettled.forget_all(hints)
            self._inbox.defer(hints.items())
            return
        if not _END_KINDS.isdisjoint(hints.values()):
            # The stat may have seen a later state than the event's. If so, the event of that change is in the queue.
            await self._watcher.deliver_pending()
        unsettled.forget_all([*stats.without_file, *(problem.path for problem in stats.problems)])
        await self._context.journal.mark_gone(self._context.route.name, stats.without_file)
        for path in stats.directories:
            # A directory that was unreadable, and whose mode or owner changed, has never been scanned.
            if path in appeared or self._rescans.skipped.forget(path):
                self._rescans.scan_soon(path)
        for marker in stats.markers:
            for path in unsettled.waiting_for(marker):
                self._inbox.hint(path)
        unsettled.forget_all(await self._candidates.process(stats.sightings, hints))
        self._rescans.skipped.add(stats.problems)
