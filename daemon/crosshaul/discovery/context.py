"""The objects that the parts of one route's discovery share, and the journal as discovery uses it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from crosshaul.concurrency.clock import Clock
from crosshaul.concurrency.thread_pool import ThreadPool
from crosshaul.config import Route
from crosshaul.discovery.scan_results import PathStats
from crosshaul.discovery.scanner import Scanner
from crosshaul.discovery.settle import Settler
from crosshaul.discovery.unsettled import UnsettledFiles
from crosshaul.model import ChangedFiles, Denial, PlanId, Recorded, RouteStatus, Settled, Sighting
from crosshaul.telemetry.logger import Logger


class IntakeJournal(Protocol):
    """The journal as discovery uses it."""

    async def filter_changed(self, route: str, sightings: Sequence[Sighting], plan: int) -> ChangedFiles:
        """Return the sightings that are not recorded in this state, or under another plan."""

    async def recorded(self, route: str, paths: Sequence[bytes]) -> dict[bytes, Recorded]:
        """Return the recorded states of those of ``paths`` that have a record."""

    async def admit(self, settled: Sequence[Settled]) -> Sequence[Denial]:
        """Queue settled files; return those that are quarantined, with the reason."""

    async def mark_gone(self, route: str, paths: Sequence[bytes]) -> None:
        """Record that these files are gone."""

    async def mark_excluded(self, route: str, paths: Sequence[bytes]) -> None:
        """Record that the route does not select these files any more."""

    async def leftovers(self, route: str, plan: int, after: int) -> tuple[Sequence[bytes], int | None]:
        """Return some files that only another plan has queued, and the position to continue from."""

    async def save_route(self, status: RouteStatus) -> None:
        """Save the route's status."""


@dataclass(frozen=True, slots=True)
class DiscoveryContext:
    """Shared objects of one route's discovery."""

    route: Route
    plan: PlanId
    journal: IntakeJournal
    clock: Clock
    log: Logger
    scanner: Scanner
    settler: Settler
    stat_threads: ThreadPool
    """Apart from the scan's thread and the readers', so that neither a long scan nor a read delays a hint."""

    @property
    def unsettled(self) -> UnsettledFiles:
        """The files that have not settled."""
        return self.settler.unsettled

    async def stat_paths(self, paths: Iterable[bytes]) -> PathStats:
        """Call ``Scanner.stat_paths`` in a thread. Raises SourceError."""
        return await self.stat_threads.run(self.scanner.stat_paths, paths)
