"""Release lost claims: files that the journal counts as claimed and that no worker has, because of a bug.

Each start of a transfer loop releases the claims of the run before. This module does the same while the loop runs, so
that no file waits for a restart.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Container, Sequence
from typing import Protocol

from crosshaul.concurrency.waiting import wait_event
from crosshaul.model import HeldClaim

_INTERVAL_SECONDS = 60.0


class HeldClaimJournal(Protocol):
    """The part of the journal that the detection of lost claims uses."""

    async def held_claims(self, routes: Sequence[str]) -> list[HeldClaim]: ...  # noqa: D102 - see journal/protocol.py
    async def release_lost(self, claims: Sequence[HeldClaim]) -> list[HeldClaim]: ...  # noqa: D102


class LostClaimDetector:
    """Finds and releases the lost claims of one destination."""

    def __init__(
        self,
        journal: HeldClaimJournal,
        routes: Callable[[], Sequence[str]],
        held_ids: Callable[[], Container[int]],
        on_lost: Callable[[Sequence[HeldClaim]], None],
    ) -> None:
        self._journal = journal
        self._routes = routes
        self._held_ids = held_ids
        """Returns the record ids of the files that are queued or that a worker has."""
        self._on_lost = on_lost
        self._suspects: set[HeldClaim] = set()

    async def run(self, stop: asyncio.Event) -> None:
        """Search once a minute until ``stop``. Raises StateDirError."""
        while not stop.is_set():
            await wait_event(stop, _INTERVAL_SECONDS)
            if not stop.is_set():
                await self.search()

    async def search(self) -> None:
        """Release the claims that no worker had in this search and the last one: a claim in transit is not lost."""
        claims, held = await self._journal.held_claims(self._routes()), self._held_ids()
        suspects = {claim for claim in claims if claim.id not in held}
        lost, self._suspects = suspects & self._suspects, suspects
        if lost and (released := await self._journal.release_lost(sorted(lost))):
            self._on_lost(released)
