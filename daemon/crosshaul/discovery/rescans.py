"""Scan a route's tree: at the start, at an interval, on request, and new directories as they appear."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

from crosshaul.concurrency.thread_pool import ThreadPool
from crosshaul.concurrency.waiting import wait_any
from crosshaul.discovery.candidates import Candidates
from crosshaul.discovery.context import DiscoveryContext
from crosshaul.discovery.hint_inbox import HintInbox
from crosshaul.discovery.route_status import RouteStatusWriter
from crosshaul.discovery.scan_results import ScanBatch
from crosshaul.discovery.skipped_paths import SkippedPaths
from crosshaul.discovery.stale_plan_cleanup import Leftovers
from crosshaul.discovery.tree_scan import DirectoryCallback
from crosshaul.discovery.watch import Watcher
from crosshaul.errors import SourceError
from crosshaul.telemetry.failure_streak import FailureStreak

_MAX_NEW_DIRECTORIES = 10_000
"""More new directories than these are replaced by one full scan."""
_MIN_PAUSE_SECONDS = 0.5


class Rescans:
    """The scans of one route. The next batch is read while one is processed: at most two are in memory."""

    def __init__(
        self,
        context: DiscoveryContext,
        inbox: HintInbox,
        candidates: Candidates,
        watcher: Watcher,
        status: RouteStatusWriter,
        wanted: asyncio.Event,
    ) -> None:
        self.skipped = SkippedPaths(context.log)
        self.incomplete = False
        """The last full scan found files for which there was no room."""
        self._context = context
        self._inbox = inbox
        self._candidates = candidates
        self._watcher = watcher
        self._status = status
        self._wanted = wanted
        self._leftovers = Leftovers(
            context.route.name, context.plan, context.journal, context.scanner, context.stat_threads
        )
        self._thread = ThreadPool(1, f"scan-{context.route.name}")
        self._failures = FailureStreak()
        self._directories: dict[bytes, None] = {}
        self._directory_added = asyncio.Event()

    async def run(self) -> None:
        """Scan the tree at the route's interval and on request, until cancelled. Raises StateDirError."""
        context, clock = self._context, self._context.clock
        while True:
            await wait_any(self._wanted.wait(), clock.sleep(context.route.rescan_interval))
            self._wanted.clear()
            started = clock.monotonic()
            with self._failures.log_outage(context.log, SourceError, failed="scan_failed", recovered="scan_recovered"):
                await self.scan()
            # Repeated losses of events must not lead to continuous scanning.
            await clock.sleep(max(_MIN_PAUSE_SECONDS, clock.monotonic() - started))

    async def run_new_directories(self) -> None:
        """Scan new directories, until cancelled. Raises StateDirError."""
        while True:
            await self._directory_added.wait()
            self._directory_added.clear()
            while self._directories:
                path = next(iter(self._directories))
                del self._directories[path]
                try:
                    await self._scan_directory(path)
                except SourceError:
                    self._wanted.set()

    async def scan(self) -> None:
        """Scan the whole tree once. Raises SourceError, StateDirError."""
        clock = self._context.clock
        started, self.incomplete = clock.monotonic(), False
        async for batch in self.batches(b"", self._watcher.watch_directory):
            await self._candidates.process(batch.sightings)
            self.skipped.add_scanned(batch.problems)
        self.skipped.scan_finished()
        await self._leftovers.clean_up(self._inbox.hint)
        self._watcher.scan_finished()
        self._inbox.release_deferred()
        self._note_turned_away()
        await self._status.scan_finished(clock.monotonic() - started)

    def scan_soon(self, directory: bytes) -> None:
        """Have a new directory scanned."""
        if len(self._directories) < _MAX_NEW_DIRECTORIES:
            self._directories[directory] = None
            self._directory_added.set()
        else:
            self._wanted.set()

    def request_for_turned_away(self) -> None:
        """Request a full scan if files were turned away; to be called when there is room."""
        if self.incomplete or self._context.unsettled.turned_away:
            self._note_turned_away()
            self._wanted.set()

    def close(self) -> None:
        """Let the thread end after its present call."""
        self._thread.close()

    async def batches(self, start: bytes, on_directory: DirectoryCallback | None = None) -> AsyncIterator[ScanBatch]:
        """Scan from ``start`` in a thread, one batch ahead of the caller. Raises SourceError."""
        scan: Iterator[ScanBatch] = self._context.scanner.scan(start, on_directory)
        ahead = self._thread.begin(next, scan, None)
        try:
            while (batch := await ahead) is not None:
                ahead = self._thread.begin(next, scan, None)
                yield batch
        finally:
            ahead.cancel()

    async def _scan_directory(self, directory: bytes) -> None:
        """Scan a new directory. Its files are judged by their own times, even if it was renamed into place."""
        async for batch in self.batches(directory, self._watcher.watch_directory):
            await self._candidates.process(batch.sightings)
            self.skipped.add(batch.problems)

    def _note_turned_away(self) -> None:
        """Log how many files were turned away; they are found by the scan that follows when half the room is free."""
        unsettled = self._context.unsettled
        if unsettled.turned_away:
            left = unsettled.turned_away
            self._context.log.warning("too_many_unsettled", unsettled=len(self._candidates), left_to_next_scan=left)
            unsettled.turned_away = 0
            self.incomplete = True
