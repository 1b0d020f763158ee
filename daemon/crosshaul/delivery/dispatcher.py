"""Claiming: how many files, of which routes, and when; while the breaker is tripped, one canary at a time."""

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
"""The journal is asked again after this time even if nobody said anything."""
_MIN_POLL_SECONDS = 0.05
"""From one look into the journal to the next, if there is nothing to be done at once."""
_SET_BACK_SECONDS = 1.0
"""The wall clock may fall behind by this much between two looks without having been set back."""


class ClaimJournal(Protocol):
    """The part of the journal that claiming works on."""

    async def make_due(self, routes: Sequence[str]) -> None: ...  # noqa: D102 - described in journal/store.py
    async def claim(self, routes: Sequence[str], small: int, large: int) -> list[Claim]: ...  # noqa: D102
    async def claim_canary(self, routes: Sequence[str], wish: CanaryCriteria) -> Claim | None: ...  # noqa: D102
    async def next_due(self, routes: Sequence[str]) -> float | None: ...  # noqa: D102


class Dispatcher:
    """Claims files of one destination for its workers."""

    def __init__(
        self, journal: ClaimJournal, clock: Clock, breaker: Breaker, canaries: Canaries, hung: Callable[[str], bool]
    ) -> None:
        self.routes: tuple[str, ...] = ()
        self._journal = journal
        self._clock = clock
        self._breaker = breaker
        self._canaries = canaries
        self._hung = hung
        self._awake = asyncio.Event()
        self._arrived = False
        """Whether a file may have come to rest since the last canary."""
        self._new_one = False
        """Whether the last canary was to be one of those."""
        self._tripped_at: float | None = None
        """When the breaker was first seen tripped, by the wall clock."""
        self._wall_ahead = float("inf")

    def wake(self, *, arrived: bool = False) -> None:
        """Look into the journal again; ``arrived``: there may be new files."""
        self._arrived = self._arrived or arrived
        self._awake.set()

    def put_back_at(self) -> float:
        """Return the due time of what is put back: while the breaker is tripped it must not pass for new."""
        return self._clock.now() if self._tripped_at is None else self._tripped_at

    def tripped(self) -> None:
        """The breaker has tripped: what comes to rest from now on is new."""
        self._tripped_at = self._clock.now()
        self._arrived = False

    async def run(self, stop: asyncio.Event, small: Lookahead, large: Lookahead, load: Callable[[], None]) -> None:
        """Claim until ``stop``."""
        while not stop.is_set():
            self._awake.clear()
            await self._handle_clock_step()
            seconds = await (self._canary(small, large) if self._breaker.tripped else self._fill(small, large))
            load()
            if seconds:
                await self._sleep_until_woken(seconds)

    async def _handle_clock_step(self) -> None:
        """Due times are those of the wall clock. If it was set back, now or before the start, nothing waits for it."""
        before, self._wall_ahead = self._wall_ahead, self._clock.now() - self._clock.monotonic()
        if self._wall_ahead < before - _SET_BACK_SECONDS:
            await self._journal.make_due(self.routes)

    async def _fill(self, small: Lookahead, large: Lookahead) -> float:
        """Claim what there is room for; gives the seconds to wait until the next look."""
        self._tripped_at = None
        wanted = small.wanted(), large.wanted()
        if not any(wanted):
            return _POLL_SECONDS
        routes = self._open_routes()
        claims = await self._journal.claim(routes, *wanted)
        small.take([claim for claim in claims if not claim.large], wanted[0])
        large.take([claim for claim in claims if claim.large], wanted[1])
        return await self._until_due(routes) if len(claims) < sum(wanted) else 0.0

    def _open_routes(self) -> tuple[str, ...]:
        """The routes whose files can be read: what is claimed of the others would wait here for nothing."""
        return tuple(route for route in self.routes if not self._hung(route))

    async def _until_due(self, routes: Iterable[str]) -> float:
        due = await self._journal.next_due(tuple(routes))
        # What is due already is of the kind that there is no room for; when there is, that wakes.
        return _POLL_SECONDS if due is None else max(_MIN_POLL_SECONDS, due - self._clock.now())

    async def _canary(self, small: Lookahead, large: Lookahead) -> float:
        """Claim a canary if it is time; gives the seconds to wait until the next look."""
        now, breaker = self._clock.monotonic(), self._breaker
        if self._tripped_at is None:
            self.tripped()
        if breaker.canary_due(now):
            # By turns, so that neither new files nor old ones wait for as long as the others keep coming.
            self._new_one = self._arrived and not self._new_one
            if self._new_one and await self._claim_canary(small, large, self._tripped_at):
                return 0.0
            found = await self._claim_canary(small, large, None)
            return await self._until_due(self._open_routes()) if not found else 0.0
        prompt_at = breaker.prompt_at() if self._arrived else None
        if prompt_at is not None and prompt_at <= now:
            self._arrived = await self._claim_canary(small, large, self._tripped_at)
            return 0.0 if self._arrived else _MIN_POLL_SECONDS
        times = [at for at in (prompt_at, breaker.next_canary_at()) if at is not None]
        return max(0.001, min(times, default=now + _POLL_SECONDS) - now)

    async def _claim_canary(self, small: Lookahead, large: Lookahead, newer_than: float | None) -> bool:
        claim = await self._journal.claim_canary(self._open_routes(), self._canaries.criteria(newer_than))
        if claim is None:
            return False
        if self._breaker.tripped:
            self._canaries.next_turn()
            self._breaker.canary_goes(claim.id, self._clock.monotonic())
        (large if claim.large else small).take([claim], 1)
        return True

    async def _sleep_until_woken(self, seconds: float) -> None:
        await wait_event(self._awake, min(_POLL_SECONDS, max(0.001, seconds)))
