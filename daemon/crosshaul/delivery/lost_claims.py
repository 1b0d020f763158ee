"""Look for files that the journal has as being sent and that nobody sends: a bug, or a task that was lost.

Each loop's start puts back what an earlier life left. This finds what is lost in between, so that no file has to wait
for a restart.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Container, Sequence
from typing import Protocol

from crosshaul.concurrency.waiting import wait_event
from crosshaul.model import HeldClaim

_EVERY_SECONDS = 60.0


class Journal(Protocol):
    """What is needed of the journal."""

    async def held_claims(self, routes: Sequence[str]) -> list[HeldClaim]: ...  # noqa: D102 - see journal/store.py
    async def release_lost(self, claims: Sequence[HeldClaim]) -> list[HeldClaim]: ...  # noqa: D102


class LostClaims:
    """Finds and releases the lost claims of one destination."""

    def __init__(
        self,
        journal: Journal,
        routes: Callable[[], Sequence[str]],
        held: Callable[[], Container[int]],
        told: Callable[[Sequence[HeldClaim]], None],
    ) -> None:
        self._journal = journal
        self._routes = routes
        self._held = held
        """The numbers of the records that somebody is at work on."""
        self._told = told
        self._suspects: set[HeldClaim] = set()

    async def run(self, stop: asyncio.Event) -> None:
        """Look once a minute, until ``stop``. Raises StateDirError."""
        while not stop.is_set():
            await wait_event(stop, _EVERY_SECONDS)
            if not stop.is_set():
                await self.search()

    async def search(self) -> None:
        """Release what nobody held the last time either: a claim on its way from the journal or back is no lost one."""
        claims, held = await self._journal.held_claims(self._routes()), self._held()
        suspects = {claim for claim in claims if claim.id not in held}
        lost, self._suspects = suspects & self._suspects, suspects
        if lost and (released := await self._journal.release_lost(sorted(lost))):
            self._told(released)
