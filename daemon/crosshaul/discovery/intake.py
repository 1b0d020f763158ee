"""Discovery of one route: find files that have settled, and queue them in the journal.

The tree is scanned at the start, every ``rescan_interval``, and when events were lost. In between, the watcher's events
are hints of which paths to check. Discovery sends no request to S3, and a missing or replaced root never makes a file
count as deleted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence

from crosshaul.concurrency.clock import Clock
from crosshaul.concurrency.thread_pool import ThreadPool
from crosshaul.config import Route
from crosshaul.discovery.candidates import Candidates
from crosshaul.discovery.content_hasher import ContentHasher
from crosshaul.discovery.context import DiscoveryContext, IntakeJournal
from crosshaul.discovery.enqueue import Enqueuer, StatPaths
from crosshaul.discovery.followed_links import FollowedLinks
from crosshaul.discovery.hash_queue import HashQueue
from crosshaul.discovery.hint_inbox import HintInbox
from crosshaul.discovery.key_namer import KeyNamer
from crosshaul.discovery.path_checker import PathChecker
from crosshaul.discovery.rescans import Rescans
from crosshaul.discovery.route_status import IntakeMetrics, RouteStatusWriter
from crosshaul.discovery.scan_results import PathStats
from crosshaul.discovery.scanner import Scanner
from crosshaul.discovery.settle import Settler
from crosshaul.discovery.watch import Watcher, WatchListener
from crosshaul.errors import SourceError
from crosshaul.files.own_paths import OwnPaths
from crosshaul.model import NO_PLAN, PlanId, Settled
from crosshaul.telemetry.logger import Logger


async def _no_other_routes(_route: str, _paths: Sequence[bytes]) -> PathStats | None:
    return None


class Intake:
    """Discovery of one route, as the service uses it."""

    def __init__(
        self,
        route: Route,
        journal: IntakeJournal,
        clock: Clock,
        metrics: IntakeMetrics,
        log: Logger,
        hostname: str,
        key_prefix: str,
        plan: PlanId = NO_PLAN,
        stat_elsewhere: StatPaths = _no_other_routes,
        own: Callable[[], OwnPaths] = OwnPaths,
        links: FollowedLinks | None = None,
    ) -> None:
        """``stat_elsewhere`` stats paths of other routes; ``own`` returns the daemon's own paths (blocking)."""
        settler = Settler(route.settle.quiet, route.settle.max_wait, route.settle.marker)
        threads = ThreadPool(1, f"stat-{route.name}")
        self._context = context = DiscoveryContext(
            route, plan, journal, clock, log, Scanner(route, own, links), settler, threads
        )
        self._stat_elsewhere = stat_elsewhere
        scan_wanted = asyncio.Event()
        self._status = RouteStatusWriter(context, metrics)
        self._inbox = HintInbox(context, self._status, scan_wanted)
        self._watcher = Watcher(route.path, self._inbox, clock, threads)
        namer, enqueuer = KeyNamer(route, hostname, key_prefix, plan), Enqueuer(journal, self._stat_holders, log)
        self._hash_queue = HashQueue()
        self._hasher = ContentHasher(route, self._hash_queue, namer, enqueuer.enqueue, self._inbox.hint, log)
        self._candidates = Candidates(context, self._inbox, namer, self._hash_queue, enqueuer)
        self._rescans = Rescans(context, self._inbox, self._candidates, self._watcher, self._status, scan_wanted)
        self._checker = PathChecker(
            context, self._inbox, self._candidates, self._rescans, self._hash_queue, self._watcher
        )

    @property
    def settling(self) -> int:
        """Files that were seen and are not queued yet."""
        return len(self._candidates)

    @property
    def busy(self) -> bool:
        """True if a hint or a file that was seen is still to be processed."""
        return bool(self._checker.busy or self.settling)

    @property
    def unreadable(self) -> tuple[str, ...]:
        """Paths that the last scan could not read, one line each."""
        path, skipped = self._context.route.path, self._rescans.skipped
        lines = sorted(f"{path}/{message}" for message in skipped.messages)
        return (*lines, f"{path}: {skipped.unnamed:,} more could not be read") if skipped.unnamed else tuple(lines)

    @property
    def events(self) -> WatchListener:
        """The receiver of file system events."""
        return self._inbox

    async def run(self, stop: asyncio.Event) -> None:
        """Find and queue files until ``stop``. Raises StateDirError."""
        await _run_until(
            stop,
            self._watcher.run,
            self._rescans.run,
            self._rescans.run_new_directories,
            self._checker.run,
            self._status.save_changes,
            self._hasher.run,
        )
        await self._status.save()

    async def run_checks(self, stop: asyncio.Event) -> None:
        """Check hints until ``stop``, without watching or scanning: for files that change during ``scan_once``."""
        await _run_until(stop, self._checker.run, self._hasher.run)

    async def check_hints(self) -> None:
        """Check all hints and due files once. Raises StateDirError."""
        await self._checker.check()

    async def scan_once(self) -> None:
        """Scan once, and wait until all files have settled or ``max_wait`` is over; does not wait for markers.

        Raises SourceError if the root can't be read, StateDirError.
        """
        clock, unsettled = self._context.clock, self._context.unsettled
        await self._rescans.scan()
        while True:
            await self._checker.check()
            due = unsettled.next_due()
            if due is not None:
                await clock.sleep(due - clock.monotonic())
            elif len(self._hash_queue):
                await self._hasher.drain()
            elif self._rescans.incomplete and unsettled.has_room:  # otherwise all files wait for markers
                await self._rescans.scan()
            else:
                break
        await self._status.save()

    async def preview(self) -> list[Settled]:
        """Return what ``scan_once`` would queue, without queueing it and without waiting for files to settle.

        Raises SourceError if the root can't be read.
        """
        files: list[Settled] = []
        async for batch in self._rescans.batches(b""):
            files += await self._candidates.preview(batch.sightings)
        return files

    async def stat_paths(self, paths: Sequence[bytes]) -> PathStats | None:
        """Return the present state of these paths; None if the root can't be read."""
        try:
            return await self._context.stat_paths(paths)
        except SourceError:
            return None

    def hint(self, path: bytes) -> None:
        """Have ``path`` (relative to the root) checked soon; called on the loop."""
        self._inbox.hint(path)

    def close(self) -> None:
        """Let the threads end after their present calls."""
        self._rescans.close()
        self._context.stat_threads.close()
        self._hasher.close()

    async def _stat_holders(self, route: str, paths: Sequence[bytes]) -> PathStats | None:
        own = route == self._context.route.name
        return await (self.stat_paths(paths) if own else self._stat_elsewhere(route, paths))


async def _run_until(stop: asyncio.Event, *services: Callable[[], Coroutine[None, None, None]]) -> None:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(service()) for service in services]
        await stop.wait()
        for task in tasks:
            task.cancel()
