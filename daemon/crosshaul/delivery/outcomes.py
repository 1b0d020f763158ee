"""What becomes of a try, for its file and for the whole destination: receipts and faults to journal outcomes."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Protocol

from crosshaul.concurrency.adaptive_limit import AdaptiveLimit
from crosshaul.delivery.breaker import Breaker, FaultScope, TripReason
from crosshaul.delivery.retry import (
    GiveUp,
    RetryAfter,
    RetryPolicy,
    decide,
    may_be_file_specific,
    of_the_destination,
    slows_everyone,
)
from crosshaul.delivery.upload_context import UploadContext
from crosshaul.errors import Diagnosis
from crosshaul.journal.canary_choice import Canaries
from crosshaul.model import ChecksumKind, Claim, Delivered, Outcome, Quarantine, Receipt, RetryLater, Unchanged

_REFUSED = frozenset({401, 403})
"""HTTP statuses that may also mean a session revoked: the refresher is told."""
_STALLS = frozenset({"ProgressTimeout", "ResponseTimeout", "TotalTimeout", "ReadTimeout"})
"""Codes of a request that hung: those may be one file's (a rule in between, a key that the store chokes on)."""


class DestinationObserver(Protocol):
    """Who is told what happens to the destination; must not block."""

    def parked(self, diagnosis: Diagnosis, retry_in: float) -> None:
        """The destination takes nothing for now."""

    def still_parked(self, diagnosis: Diagnosis, retry_in: float) -> None:
        """A canary was refused as well."""

    def resumed(self) -> None:
        """The destination takes files again."""

    def unreachable(self, diagnosis: Diagnosis, retry_in: float) -> None:
        """Nothing gets through; said at first and of each canary."""

    def reached(self) -> None:
        """Something gets through again."""

    def learned(self, checksum: ChecksumKind | None) -> None:
        """The store was seen to honour this checksum."""


class Outcomes:
    """Judges each try of one destination."""

    def __init__(
        self,
        context: UploadContext,
        limit: AdaptiveLimit,
        breaker: Breaker,
        canaries: Canaries,
        policy: RetryPolicy,
        listener: DestinationObserver,
        suspect: Callable[[], None],
    ) -> None:
        self._context = context
        self._limit = limit
        self._breaker = breaker
        self._canaries = canaries
        self._policy = policy
        self._listener = listener
        self._suspect = suspect
        self._monotonic = context.clock.monotonic

    def body_taken(self, claim: Claim) -> None:
        """Note a body that the store took, a whole file or a part: there is room for more."""
        self._limit.succeeded()
        self.taken(claim)

    def taken(self, claim: Claim) -> None:
        """Note that the store took something of this file."""
        ended = self._breaker.taken(claim.id, self._monotonic())
        if ended is not None:
            self._reset(ended)

    def delivered(self, claim: Claim, receipt: Receipt) -> Outcome:
        """Return the outcome of a file that is in the bucket."""
        self._listener.learned(self._context.negotiator.confirmed)
        if (
            claim.multipart is not None or receipt.proven_by != "answer"
        ):  # perhaps without a body, which would have told already
            self.taken(claim)
        self._context.stalled.pop(claim.id, None)
        return Delivered(receipt, self._after_due_at(claim))

    def unchanged(self, claim: Claim, receipt: Receipt) -> Outcome:
        """Return the outcome of a file that was read again, and whose receipt stands."""
        self.said_nothing(claim)
        return Unchanged(receipt, self._after_due_at(claim))

    def _after_due_at(self, claim: Claim) -> float | None:
        after = self._context.routes[claim.route].after_upload
        return None if after.action == "keep" else self._context.clock.now() + after.grace

    def said_nothing(self, claim: Claim) -> None:
        """Note a try that says nothing of the destination."""
        self._breaker.said_nothing(claim.id, self._monotonic())

    def failed_here(self, claim: Claim, diagnosis: Diagnosis) -> Outcome:
        """Return the outcome of a file that could not be read, or met with an error of our own."""
        self.said_nothing(claim)
        return self._of_file(claim, diagnosis)

    def faulted(self, claim: Claim, diagnosis: Diagnosis, started: float) -> Outcome:
        """Return the outcome of a call's fault."""
        if of_the_destination(diagnosis):
            return self._refused(claim, diagnosis, started)
        if slows_everyone(diagnosis):
            return self._pushed_back(claim, diagnosis)
        ended = self._breaker.answered(claim.id, self._monotonic())
        if ended is not None:
            self._reset(ended)
        return self._of_file(claim, diagnosis)

    def _pushed_back(self, claim: Claim, diagnosis: Diagnosis) -> Outcome:
        now, breaker = self._monotonic(), self._breaker
        if not breaker.tripped:
            self._limit.pushed_back(now)
        stalled = diagnosis.code in _STALLS
        if stalled:
            self._context.note_stalled(claim)
        verdict = breaker.pushed_back(claim.id, now, diagnosis.retry_after, _jitter(), silent=stalled)
        if verdict is FaultScope.THIS_FILE:
            return self._of_file(claim, diagnosis)
        self._note_trip(claim, verdict)
        if verdict is not FaultScope.IN_FLIGHT:
            retry_in = (breaker.retry_at or now) - now
            if breaker.reason is TripReason.REFUSED:
                self._listener.still_parked(diagnosis, retry_in)
            else:
                self._listener.unreachable(diagnosis, retry_in)
        return self._uncounted(diagnosis)

    def _refused(self, claim: Claim, diagnosis: Diagnosis, started: float) -> Outcome:
        now, breaker, before = self._monotonic(), self._breaker, self._breaker.reason
        specific = may_be_file_specific(diagnosis)
        verdict = breaker.refused(claim.id, started, now, _jitter(), file_specific=specific)
        if verdict is FaultScope.THIS_FILE:
            return self._of_file(claim, diagnosis, breaker.uncounted(claim.id))
        if diagnosis.status in _REFUSED:
            self._suspect()
        if verdict is FaultScope.UNDECIDED:
            return self._uncounted(diagnosis, self._policy.delay(1, 0.5 + _jitter() / 2))
        self._note_trip(claim, verdict)
        retry_in = (breaker.retry_at or now) - now
        if verdict is FaultScope.TRIPPED:
            if before is TripReason.UNREACHABLE:
                self._listener.reached()
            self._listener.parked(diagnosis, retry_in)
        elif verdict is FaultScope.STILL_TRIPPED:
            self._listener.still_parked(diagnosis, retry_in)
        return self._uncounted(diagnosis)

    def _note_trip(self, claim: Claim, verdict: FaultScope) -> None:
        self._canaries.add_refused(claim.route, claim.path, large=claim.large)
        if verdict is FaultScope.TRIPPED:
            self._context.slots.close(self._breaker.may_go)

    def _of_file(self, claim: Claim, diagnosis: Diagnosis, uncounted: int = 0) -> Outcome:
        """Return the outcome of a failure that is counted; ``uncounted`` earlier ones with it."""
        decision: RetryAfter | GiveUp = decide(diagnosis, claim.attempts + uncounted, self._policy, _jitter())
        if isinstance(decision, GiveUp):
            return Quarantine(decision.diagnosis, 1 + uncounted)
        due_at = self._context.clock.now() + decision.delay
        return RetryLater(due_at, diagnosis, 1 + uncounted, drop_multipart=decision.drop_multipart)

    def _uncounted(self, diagnosis: Diagnosis, delay: float = 0.0) -> RetryLater:
        return RetryLater(self._context.clock.now() + delay, diagnosis, 0)

    def _reset(self, ended: TripReason) -> None:
        self._canaries.reset()
        self._context.slots.open()
        if ended is TripReason.REFUSED:
            self._listener.resumed()
        else:
            self._listener.reached()


def _jitter() -> float:
    return random.random()  # noqa: S311 - spreads load
