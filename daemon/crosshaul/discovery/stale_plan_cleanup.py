"""Clean up files that another plan queued and that a scan under the present plan did not find: excluded or gone.

They must not be sent, and must not stay pending for ever.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from crosshaul.concurrency.thread_pool import ThreadPool
from crosshaul.discovery.scan_results import PathStats
from crosshaul.discovery.scanner import Scanner
from crosshaul.model import PlanId


class LeftoversJournal(Protocol):
    """The journal as Leftovers uses it."""

    async def leftovers(self, route: str, plan: int, after: int) -> tuple[Sequence[bytes], int | None]: ...  # noqa: D102 - see journal/protocol.py
    async def mark_gone(self, route: str, paths: Sequence[bytes]) -> None: ...  # noqa: D102
    async def mark_excluded(self, route: str, paths: Sequence[bytes]) -> None: ...  # noqa: D102


class Leftovers:
    """The leftovers of one route, checked after each full scan until there are none."""

    def __init__(
        self, route: str, plan: PlanId, journal: LeftoversJournal, scanner: Scanner, threads: ThreadPool
    ) -> None:
        self._route = route
        self._plan = plan
        self._journal = journal
        self._scanner = scanner
        self._threads = threads
        self._done = False

    async def clean_up(self, hint: Callable[[bytes], None]) -> None:
        """Mark leftovers gone or excluded; call ``hint`` for those that exist and are selected. Raises SourceError.

        To be called after a successful full scan.
        """
        after: int | None = 0
        done = True
        while after is not None and not self._done:
            paths, after = await self._journal.leftovers(self._route, self._plan.id, after)
            if paths:
                done = False
                stats: PathStats = await self._threads.run(self._scanner.stat_paths, paths)
                await self._journal.mark_gone(self._route, stats.without_file)
                await self._journal.mark_excluded(self._route, stats.unwanted)
                for sighting in stats.sightings:
                    hint(sighting.path)
        self._done = self._done or done
