"""Queue settled files in the journal, and handle refusals: the key belongs to another file, or there is no valid key.

A file holds its key while it exists and is selected. The journal can't know that, so the holder is checked here before
a conflict is final. Final conflicts are logged, as are all other refusals.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Protocol

from crosshaul.discovery.scan_results import PathStats
from crosshaul.display import printable
from crosshaul.model import Denial, Settled
from crosshaul.telemetry.failure_streak import is_power_of_two
from crosshaul.telemetry.logger import Logger

_STAT_TIMEOUT_SECONDS = 5.0
"""Time limit for another route's file system. If it does not answer, its files keep their keys."""

StatPaths = Callable[[str, Sequence[bytes]], Awaitable[PathStats | None]]
"""Stats paths of a route; returns None if the route can't be read."""


class EnqueueJournal(Protocol):
    """The journal as Enqueuer uses it."""

    async def admit(self, settled: Sequence[Settled]) -> Sequence[Denial]: ...  # noqa: D102 - see journal/protocol.py
    async def mark_gone(self, route: str, paths: Sequence[bytes]) -> None: ...  # noqa: D102
    async def mark_excluded(self, route: str, paths: Sequence[bytes]) -> None: ...  # noqa: D102


class Enqueuer:
    """Queues the settled files of one route."""

    def __init__(self, journal: EnqueueJournal, stat_paths: StatPaths, log: Logger) -> None:
        self._journal = journal
        self._stat_paths = stat_paths
        self._log = log
        self._denied: Counter[str] = Counter()

    async def enqueue(self, settled: Sequence[Settled]) -> None:
        """Queue files, including those whose key was held by a file that is gone."""
        denied = await self._journal.admit(settled)
        in_conflict = [denial for denial in denied if denial.holder is not None]
        if in_conflict and await self._release_keys(in_conflict):
            still_denied = await self._journal.admit([denial.settled for denial in in_conflict])
            denied = [denial for denial in denied if denial.holder is None] + list(still_denied)
        for denial in denied:
            self._log_denial(denial)

    async def _release_keys(self, denied: Sequence[Denial]) -> bool:
        """Release the keys of holders that are gone or excluded; return whether there was one."""
        holders: dict[str, list[bytes]] = {}
        for denial in denied:
            if denial.holder is not None:
                holders.setdefault(denial.holder[0], []).append(denial.holder[1])
        freed = False
        for route, paths in holders.items():
            with suppress(TimeoutError):
                async with asyncio.timeout(_STAT_TIMEOUT_SECONDS):
                    stats = await self._stat_paths(route, paths)
                if stats is not None:
                    await self._journal.mark_gone(route, stats.without_file)
                    await self._journal.mark_excluded(route, stats.unwanted)
                    freed = freed or bool(stats.without_file or stats.unwanted)
        return freed

    def _log_denial(self, denial: Denial) -> None:
        """Log the 1st, 2nd, 4th, ... refusal of a kind: users can create a million files that are refused."""
        sighting, refusal = denial.settled.sighting, denial.refusal
        self._denied[refusal.code] += 1
        count = self._denied[refusal.code]
        if is_power_of_two(count):
            self._log.error(
                "file_quarantined",
                path=printable(sighting.path),
                key=denial.settled.key,
                code=refusal.code,
                error=refusal.message,
                count=count,
            )
