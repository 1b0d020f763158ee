"""What was queued under another plan, and a walk under this one did not meet: excluded now, or not there.

None of it may be sent, and none of it may wait for ever.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from crosshaul.concurrency.thread_pool import ThreadPool
from crosshaul.discovery.scanner import PathStats, Scanner
from crosshaul.model import PlanId


class LeftoversJournal(Protocol):
    """What is needed of the journal."""

    async def leftovers(self, route: str, plan: int, after: int) -> tuple[Sequence[bytes], int | None]: ...  # noqa: D102 - see journal/store.py
    async def mark_gone(self, route: str, paths: Sequence[bytes]) -> None: ...  # noqa: D102
    async def mark_excluded(self, route: str, paths: Sequence[bytes]) -> None: ...  # noqa: D102


class Leftovers:
    """The leftovers of one route, looked for after each scan until there are none."""

    def __init__(
        self, route: str, plan: PlanId, journal: LeftoversJournal, scanner: Scanner, threads: ThreadPool
    ) -> None:
        self._route = route
        self._plan = plan
        self._journal = journal
        self._scanner = scanner
        self._threads = threads
        self._all_judged = False

    async def judge(self, hint: Callable[[bytes], None]) -> None:
        """Say what became of them; ``hint`` is given those that are there and wanted. Raises SourceError.

        To be called after a walk of everything that did not fail.
        """
        after: int | None = 0
        all_judged = True
        while after is not None and not self._all_judged:
            paths, after = await self._journal.leftovers(self._route, self._plan.id, after)
            if paths:
                all_judged = False
                look: PathStats = await self._threads.run(self._scanner.look, paths)
                await self._journal.mark_gone(self._route, look.without_file)
                await self._journal.mark_excluded(self._route, look.unwanted)
                for sighting in look.sightings:
                    hint(sighting.path)
        self._all_judged = self._all_judged or all_judged
