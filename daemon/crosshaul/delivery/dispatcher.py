"""Claim files for a destination's workers. While the breaker is tripped, claim one canary at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from crosshaul.concurrency.clock import Clock
from crosshaul.concurrency.waiting import wait_event
from crosshaul.delivery.breaker import Breaker
from crosshaul.delivery.lookahead import Lookahead
from crosshaul.journal.canary_choice import Canaries, CanaryCriteria
from crosshaul.model import Claim

_POLL_SECONDS = 5.0
"""Longest time between two claims, for the case that a wake-up was missed."""
_MIN_POLL_SECONDS = 0.05
"""Shortest time between two claims when the first one found nothing to do."""
_MAX_CLOCK_SLEW_SECONDS = 1.0
"""If the wall clock falls behind the monotonic clock by more between two claims, it was set back."""


class ClaimJournal(Protocol):
    """The part of the journal that claiming uses."""

    async def make_due(self, routes: Sequence[str]) -> None: ...  # noqa: D102 - described in journal/protocol.py
    async def claim(self, routes: Sequence[str], small: int, large: int) -> list[Claim]: ...  # noqa: D102
    async def claim_canary(self, routes: Sequence[str], criteria: CanaryCriteria) -> Claim | None: ...  # noqa: D102
    async def next_due(self, routes: Sequence[str]) -> float | None: ...  # noqa: D102


class Dispatcher:
    """Claims the files of one destination."""

    def __init__(
        self, journal: ClaimJournal, clock: Clock, breaker: Breaker, canaries: Canaries, is_hung: Callable[[str], bool]
    ) -> None:
        self.routes: tuple[str, ...] = ()
        """Names of the routes whose files are claimed."""
        self._journal = journal
        self._clock = clock
        self._breaker = breaker
        self._canaries = canaries
        self._is_hung = is_hung
        self._awake = asyncio.Event()
        self._has_arrivals = False
        """True if a file may have settled since the last canary."""
        self._prefer_arrival = False
        """True if the last canary was to be a file that settled after the breaker tripped."""
        self._tripped_at: float | None = None
        """Wall-clock time at which the breaker was first seen tripped."""
        self._wall_ahead = float("inf")

    def wake(self, *, arrived: bool = False) -> None:
        """Ask the journal again; ``arrived``: there may be new files."""
        self._has_arrivals = self._has_arrivals or arrived
        self._awake.set()

    def release_due_at(self) -> float:
        """Return the due time of a released claim: while the breaker is tripped it must not count as a new file."""
        return self._clock.now() if self._tripped_at is None else self._tripped_at

    def breaker_tripped(self) -> None:
        """Record that the breaker has tripped: files that settle from now on count as new."""
        self._tripped_at = self._clock.now()
        self._has_arrivals = False

    async def run(
        self, stop: asyncio.Event, small: Lookahead, large: Lookahead, report_load: Callable[[], None]
    ) -> None:
        """Claim until ``stop``."""
        while not stop.is_set():
            self._awake.clear()
            await self._handle_clock_step()
            seconds = await (self._claim_canaries(small, large) if self._breaker.tripped else self._fill(small, large))
            report_load()
            if seconds:
                await self._sleep_until_woken(seconds)

    async def _handle_clock_step(self) -> None:
        """Make all files due if the wall clock, which due times refer to, was set back, now or before the start."""
        before, self._wall_ahead = self._wall_ahead, self._clock.now() - self._clock.monotonic()
        if self._wall_ahead < before - _MAX_CLOCK_SLEW_SECONDS:
            await self._journal.make_due(self.routes)

    async def _fill(self, small: Lookahead, large: Lookahead) -> float:
        """Claim as many files as there is room for; return the seconds until the next claim."""
        self._tripped_at = None
        wanted = small.wanted(), large.wanted()
        if not any(wanted):
            return _POLL_SECONDS
        routes = self._readable_routes()
        claims = await self._journal.claim(routes, *wanted)
        small.add([claim for claim in claims if not claim.large], wanted[0])
        large.add([claim for claim in claims if claim.large], wanted[1])
        return await self._until_due(routes) if len(claims) < sum(wanted) else 0.0

    def _readable_routes(self) -> tuple[str, ...]:
        """Return the routes whose reads do not hang: claims of the others would only take room."""
        return tuple(route for route in self.routes if not self._is_hung(route))

    async def _until_due(self, routes: Iterable[str]) -> float:
        due = await self._journal.next_due(tuple(routes))
        # A file that is due already is of the kind that has no room; room wakes the dispatcher.
        return _POLL_SECONDS if due is None else max(_MIN_POLL_SECONDS, due - self._clock.now())

    async def _claim_canaries(self, small: Lookahead, large: Lookahead) -> float:
        """Claim a canary if one may be sent; return the seconds until the next claim."""
        now, breaker = self._clock.monotonic(), self._breaker
        if self._tripped_at is None:
            self.breaker_tripped()
        if breaker.canaries.is_due(now):
            # New and old files take turns, so that neither wait for as long as the others keep coming.
            self._prefer_arrival = self._has_arrivals and not self._prefer_arrival
            if self._prefer_arrival and await self._claim_canary(small, large, self._tripped_at):
                return 0.0
            claimed = await self._claim_canary(small, large, None)
            return await self._until_due(self._readable_routes()) if not claimed else 0.0
        arrival_at = breaker.canaries.next_arrival_at() if self._has_arrivals else None
        if arrival_at is not None and arrival_at <= now:
            self._has_arrivals = await self._claim_canary(small, large, self._tripped_at)
            return 0.0 if self._has_arrivals else _MIN_POLL_SECONDS
        times = [at for at in (arrival_at, breaker.canaries.next_at()) if at is not None]
        return max(0.001, min(times, default=now + _POLL_SECONDS) - now)

    async def _claim_canary(self, small: Lookahead, large: Lookahead, newer_than: float | None) -> bool:
        claim = await self._journal.claim_canary(self._readable_routes(), self._canaries.criteria(newer_than))
        if claim is None:
            return False
        if self._breaker.tripped:
            self._canaries.next_turn()
            self._breaker.canaries.add(claim.id, self._clock.monotonic())
        (large if claim.large else small).add([claim], 1)
        return True

    async def _sleep_until_woken(self, seconds: float) -> None:
        await wait_event(self._awake, min(_POLL_SECONDS, max(0.001, seconds)))
