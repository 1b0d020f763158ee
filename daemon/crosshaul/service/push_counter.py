"""Count the attempts of one push, and decide which files it no longer waits for."""

from __future__ import annotations

import asyncio

from crosshaul.concurrency.waiting import wait_event
from crosshaul.model import Changed, Claim, Delivered, Outcome, RetryLater, State

TICK_SECONDS = 0.2
_MAX_FAILURES = 5
"""Failed attempts after which a push stops waiting for a file. The file stays pending, for the next push or the
daemon."""
_MAX_SILENT_FAILURES = 3
"""The same where no response came, which takes half a minute per attempt."""
_MAX_CHANGES = 2
"""The same for a file that changes at each attempt; each attempt takes up to settle.max_wait."""
_SILENT_CODES = frozenset(
    {"ProgressTimeout", "ResponseTimeout", "TotalTimeout", "ReadTimeout", "ConnectTimeout", "TLSTimeout"}
)


class PushCounter:
    """Counts what this push alone did; ``on_ended`` is called at the end of each attempt."""

    def __init__(self) -> None:
        self.delivered = 0
        self.delivered_bytes = 0
        self.given_up: dict[str, set[int]] = {}
        """Record numbers of the files that failed too often, by route."""
        self.restless: dict[str, set[int]] = {}
        """Record numbers of the files that changed at each attempt, by route."""
        self._failures: dict[int, int] = {}
        self._attempt_ended = asyncio.Event()

    async def wait_for_attempt(self) -> None:
        """Wait until an attempt ends, at most TICK_SECONDS."""
        self._attempt_ended.clear()
        await wait_event(self._attempt_ended, TICK_SECONDS)

    def on_ended(self, claim: Claim, outcome: Outcome, state: State) -> None:
        """Count the end of an attempt, after the journal has the file in ``state``."""
        self._attempt_ended.set()
        if state is State.DELIVERED and isinstance(outcome, Delivered):
            self.delivered += 1
            self.delivered_bytes += outcome.receipt.size
        self.given_up.setdefault(claim.route, set()).discard(claim.id)
        self.restless.setdefault(claim.route, set()).discard(claim.id)
        match outcome:
            case Changed() if self._count_failure(claim) >= _MAX_CHANGES:
                self.restless[claim.route].add(claim.id)
            case RetryLater(diagnosis=diagnosis) if outcome.counts:
                most = _MAX_SILENT_FAILURES if diagnosis.code in _SILENT_CODES else _MAX_FAILURES
                if self._count_failure(claim) >= most:
                    self.given_up[claim.route].add(claim.id)

    def _count_failure(self, claim: Claim) -> int:
        self._failures[claim.id] = self._failures.get(claim.id, 0) + 1
        return self._failures[claim.id]
