"""Turn receipts and faults into journal outcomes, and update the breaker and the concurrency limit."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Protocol

from crosshaul.concurrency.adaptive_limit import AdaptiveLimit
from crosshaul.delivery.breaker import Breaker, FaultScope, TripReason
from crosshaul.delivery.retry import (
    GiveUp,
    RetryPolicy,
    decide,
    is_destination_fault,
    is_pushback,
    may_be_file_specific,
)
from crosshaul.delivery.upload_context import UploadContext
from crosshaul.errors import Diagnosis
from crosshaul.journal.canary_choice import Canaries
from crosshaul.model import ChecksumKind, Claim, Delivered, Outcome, Quarantine, Receipt, RetryLater, Unchanged

_REFUSAL_STATUSES = frozenset({401, 403})
"""HTTP statuses that may mean that the session was revoked: the refresher checks it."""
_HANG_CODES = frozenset({"ProgressTimeout", "ResponseTimeout", "TotalTimeout", "ReadTimeout"})
"""Codes of a request that hung. The cause may be one file: a rule of a proxy, or a key that the store can't handle."""


class DestinationObserver(Protocol):
    """Receives what happens to a destination. Its methods must not block. ``retry_in``: seconds to the next canary."""

    def on_parked(self, diagnosis: Diagnosis, retry_in: float) -> None:
        """Note that the account or bucket refuses all files."""

    def on_still_parked(self, diagnosis: Diagnosis, retry_in: float) -> None:
        """Note that a canary was refused."""

    def on_resumed(self) -> None:
        """Note that a parked destination accepts files again."""

    def on_unreachable(self, diagnosis: Diagnosis, retry_in: float) -> None:
        """Note that the store can't be reached; called when the breaker trips and for each failed canary."""

    def on_reachable(self) -> None:
        """Note that the store can be reached again."""

    def on_checksum_negotiated(self, checksum: ChecksumKind | None) -> None:
        """Note the checksum that the store has confirmed; None while there is none."""


class Outcomes:
    """Maps the attempts of one destination to outcomes."""

    def __init__(
        self,
        context: UploadContext,
        limit: AdaptiveLimit,
        breaker: Breaker,
        canaries: Canaries,
        policy: RetryPolicy,
        observer: DestinationObserver,
        suspect_session: Callable[[], None],
    ) -> None:
        self._context = context
        self._limit = limit
        self._breaker = breaker
        self._canaries = canaries
        self._policy = policy
        self._observer = observer
        self._suspect_session = suspect_session
        self._monotonic = context.clock.monotonic

    def body_accepted(self, claim: Claim) -> None:
        """Record that the store accepted a body, a whole file or a part, and may accept more at once."""
        self._limit.succeeded()
        self.request_accepted(claim)

    def request_accepted(self, claim: Claim) -> None:
        """Record that the store accepted a request for this file."""
        ended = self._breaker.record_success(claim.id, self._monotonic())
        if ended is not None:
            self._reset(ended)

    def delivered(self, claim: Claim, receipt: Receipt) -> Outcome:
        """Return the outcome of a delivered file."""
        self._observer.on_checksum_negotiated(self._context.negotiator.confirmed)
        if claim.multipart is not None or receipt.proven_by != "answer":
            self.request_accepted(claim)  # no body may have been sent in this attempt
        self._context.stalled.pop(claim.id, None)
        return Delivered(receipt, self._after_due_at(claim))

    def unchanged(self, claim: Claim, receipt: Receipt) -> Outcome:
        """Return the outcome of a file whose receipt still stands."""
        self.inconclusive(claim)
        return Unchanged(receipt, self._after_due_at(claim))

    def _after_due_at(self, claim: Claim) -> float | None:
        after = self._context.routes[claim.route].after_upload
        return None if after.action == "keep" else self._context.clock.now() + after.grace

    def inconclusive(self, claim: Claim) -> None:
        """Record an attempt that says nothing about the destination."""
        self._breaker.canaries.record_inconclusive(claim.id, self._monotonic())

    def failed_locally(self, claim: Claim, diagnosis: Diagnosis) -> Outcome:
        """Return the outcome of an attempt that failed on this machine: an unreadable file, or an error of ours."""
        self.inconclusive(claim)
        return self._for_file(claim, diagnosis)

    def failed_remotely(self, claim: Claim, diagnosis: Diagnosis, started: float) -> Outcome:
        """Return the outcome of an attempt in which a request failed; ``started``: monotonic seconds."""
        if is_destination_fault(diagnosis):
            return self._refused(claim, diagnosis, started)
        if is_pushback(diagnosis):
            return self._pushed_back(claim, diagnosis)
        ended = self._breaker.record_response(claim.id, self._monotonic())
        if ended is not None:
            self._reset(ended)
        return self._for_file(claim, diagnosis)

    def _pushed_back(self, claim: Claim, diagnosis: Diagnosis) -> Outcome:
        now, breaker = self._monotonic(), self._breaker
        if not breaker.tripped:
            self._limit.pushed_back(now)
        hung = diagnosis.code in _HANG_CODES
        if hung:
            self._context.note_stalled(claim)
        scope = breaker.record_pushback(claim.id, now, diagnosis.retry_after, _jitter(), hung=hung)
        if scope is FaultScope.THIS_FILE:
            return self._for_file(claim, diagnosis)
        self._note_trip(claim, scope)
        if scope is not FaultScope.IN_FLIGHT:
            retry_in = (breaker.canaries.retry_at or now) - now
            if breaker.reason is TripReason.REFUSED:
                self._observer.on_still_parked(diagnosis, retry_in)
            else:
                self._observer.on_unreachable(diagnosis, retry_in)
        return self._uncounted(diagnosis)

    def _refused(self, claim: Claim, diagnosis: Diagnosis, started: float) -> Outcome:
        now, breaker, before = self._monotonic(), self._breaker, self._breaker.reason
        specific = may_be_file_specific(diagnosis)
        scope = breaker.record_refusal(claim.id, started, now, _jitter(), may_be_file_specific=specific)
        if scope is FaultScope.THIS_FILE:
            return self._for_file(claim, diagnosis, breaker.refusals.take_uncounted(claim.id))
        if diagnosis.status in _REFUSAL_STATUSES:
            self._suspect_session()
        if scope is FaultScope.UNDECIDED:
            return self._uncounted(diagnosis, self._policy.delay(1, 0.5 + _jitter() / 2))
        self._note_trip(claim, scope)
        retry_in = (breaker.canaries.retry_at or now) - now
        if scope is FaultScope.TRIPPED:
            if before is TripReason.UNREACHABLE:
                self._observer.on_reachable()
            self._observer.on_parked(diagnosis, retry_in)
        elif scope is FaultScope.STILL_TRIPPED:
            self._observer.on_still_parked(diagnosis, retry_in)
        return self._uncounted(diagnosis)

    def _note_trip(self, claim: Claim, scope: FaultScope) -> None:
        self._canaries.add_refused(claim.route, claim.path, large=claim.large)
        if scope is FaultScope.TRIPPED:
            self._context.slots.close(self._breaker.allows)

    def _for_file(self, claim: Claim, diagnosis: Diagnosis, uncounted: int = 0) -> Outcome:
        """Return the outcome of a failure that counts as an attempt of the file, and ``uncounted`` earlier ones too."""
        decision = decide(diagnosis, claim.attempts + uncounted, self._policy, _jitter())
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
            self._observer.on_resumed()
        else:
            self._observer.on_reachable()


def _jitter() -> float:
    return random.random()  # noqa: S311 - spreads load
