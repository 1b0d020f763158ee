"""Report what happens in a destination's transfer loop: log events, metrics, and the destination's status."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from crosshaul.concurrency.clock import Clock
from crosshaul.delivery.retry import is_pushback
from crosshaul.delivery.status_reporter import DestinationJournal, StatusReporter, error_fields
from crosshaul.errors import Diagnosis, FaultKind
from crosshaul.model import (
    Changed,
    Claim,
    Delivered,
    DestinationStatus,
    HeldClaim,
    Outcome,
    Quarantine,
    Receipt,
    RetryLater,
    State,
    Unchanged,
)
from crosshaul.telemetry.failure_streak import FailureStreak, is_power_of_two
from crosshaul.telemetry.health import Liveness
from crosshaul.telemetry.logger import Logger
from crosshaul.telemetry.logs import writes
from crosshaul.telemetry.metrics import Metrics

_MAX_LOCAL_FAILURES_IN_FULL = 10
"""Local failures of a route that are logged one by one; later ones are logged at each doubling of their number."""
_LOCAL_STREAK_SECONDS = 7200.0
"""After this time without a local failure of a route, the next one starts a new count."""
_FAILING_AFTER = 3
"""Consecutive failed attempts after which a destination's status says ``failing``."""


class Reporter(StatusReporter):
    """The observer of one destination's transfer loop. Its methods never block."""

    def __init__(
        self,
        status: DestinationStatus,
        journal: DestinationJournal,
        clock: Clock,
        metrics: Metrics,
        liveness: Liveness,
        log: Logger,
        add_advice: Callable[[Diagnosis], Diagnosis],
    ) -> None:
        super().__init__(status, journal, clock, metrics, liveness, log, add_advice)
        self.uploading: dict[int, Claim] = {}
        """The claims that are being uploaded, by record id."""
        self.on_file_changed: Callable[[str, bytes], None] = lambda _route, _path: None
        self.on_attempt_finished: Callable[[Claim, Outcome, State], None] = lambda _claim, _outcome, _state: None
        self._uploads_left_open = 0
        self._left_open_reports = FailureStreak()
        self._foreign_overwrites = 0
        self._local_failures: dict[object, tuple[int, float]] = {}

    # Attempts

    def on_started(self, claim: Claim) -> None:
        """Record that a file is being uploaded."""
        self.uploading[claim.id] = claim

    def on_finished(self, claim: Claim, outcome: Outcome, state: State, seconds: float) -> None:
        """Log an attempt's outcome and count it."""
        self.uploading.pop(claim.id, None)
        self.on_attempt_finished(claim, outcome, state)
        if isinstance(outcome, Delivered):
            self.on_reachable()
            if state is State.DELIVERED:
                self._delivered(claim, outcome.receipt, seconds)
            return
        fields: dict[str, object] = {"route": claim.route, "path": claim.path, "key": claim.key}
        match outcome:
            case Unchanged(receipt) if state is State.DELIVERED:
                self._metrics.unchanged(claim.route)
                self._log.info("file_unchanged", **fields, bytes=receipt.size, seconds=round(seconds, 3))
            case RetryLater(diagnosis=diagnosis):
                self._metrics.failed(claim.route, diagnosis.code)
                if outcome.counts or is_pushback(diagnosis):
                    self._failed(outcome, claim.attempts + max(1, outcome.counts), fields)
            case Changed():
                self._log.debug("file_changed", **fields)
                self.on_file_changed(claim.route, claim.path)
            case Quarantine(diagnosis):
                self._metrics.failed(claim.route, diagnosis.code)
                self._log.error("file_quarantined", **fields, **error_fields(diagnosis))

    def _delivered(self, claim: Claim, receipt: Receipt, seconds: float) -> None:
        self._metrics.delivered(claim.route, receipt.size, seconds)
        if writes("info"):
            self._log.info(
                "file_delivered",
                route=claim.route,
                path=claim.path,
                key=claim.key,
                bytes=receipt.size,
                seconds=round(seconds, 3),
                proven_by=receipt.proven_by,
                request_id=receipt.request_id,
            )

    def _failed(self, outcome: RetryLater, tries: int, fields: dict[str, object]) -> None:
        """Log a failed attempt: a pushback at each doubling per destination, others at each doubling per file."""
        diagnosis = outcome.diagnosis
        if is_pushback(diagnosis):
            should_log, streak = self._failed_uploads.failed(), self._failed_uploads.length
            if streak == _FAILING_AFTER:
                self._update(failing=True, last_error=diagnosis)
            if streak == 1:
                should_log = is_power_of_two(tries)
        else:
            streak = self._count_local_failure(fields["route"]) if diagnosis.kind is FaultKind.LOCAL else 0
            should_log = is_power_of_two(streak) if streak else is_power_of_two(tries)
        if should_log:
            fields |= {"tries": tries, "consecutive_failures": streak}
            retry_in = round(max(0.0, (self._next_canary_at or outcome.due_at) - self._clock.now()), 1)
            self._log.warning("upload_failed", **fields, retry_in_seconds=retry_in, **error_fields(diagnosis))

    def _count_local_failure(self, route: object) -> int:
        """Count a local failure of the route; return 0 for the first few, which are logged one by one."""
        now = self._clock.monotonic()
        count, last = self._local_failures.get(route, (0, now))
        count = count + 1 if now - last < _LOCAL_STREAK_SECONDS else 1
        self._local_failures[route] = (count, now)
        return count if count > _MAX_LOCAL_FAILURES_IN_FULL else 0

    def on_unexpected_error(self, claim: Claim, error: Exception) -> None:
        """Log an exception that is none of Crosshaul's own, with its traceback: a bug."""
        self._log.error("unexpected_error", route=claim.route, path=claim.path, exc_info=error)

    def on_load(self, in_flight: int, limit: int) -> None:
        """Record the load, which also shows that the loop is alive."""
        self._liveness.beat(f"transfer.{self.status.name}")
        self._metrics.load(self.status.name, in_flight, limit)

    def on_read_hang(self, route: str, path: bytes, seconds: float) -> None:
        """Log a read that hangs."""
        self._log.warning("read_hangs", route=route, path=path, seconds=round(seconds, 1))

    def on_read_recovered(self, route: str, seconds: float) -> None:
        """Log that the route's files can be read again."""
        self._log.info("read_recovered", route=route, seconds=round(seconds, 1))

    def on_claims_lost(self, claims: Sequence[HeldClaim]) -> None:
        """Log claims that no worker had: a bug."""
        first = claims[0]
        self._log.error("claims_lost", route=first.route, path=first.path, files=len(claims))

    # Uploads

    def on_uploads_aborted(self, uploads: int) -> None:
        """Log aborted multipart uploads."""
        self._metrics.uploads_aborted(self.status.name, uploads)
        self._log.info("uploads_aborted", uploads=uploads)

    def on_uploads_left_open(self, uploads: int, diagnosis: Diagnosis) -> None:
        """Log multipart uploads that the bucket's lifecycle rule has to abort, at each doubling."""
        self._uploads_left_open += uploads
        if self._left_open_reports.failed():
            self._log.info("uploads_left_open", uploads=self._uploads_left_open, **error_fields(diagnosis))

    def on_foreign_overwrite(self, claim: Claim, bucket: str, source: str) -> None:
        """Log that another sender's object is replaced, at each doubling."""
        self._foreign_overwrites += 1
        if is_power_of_two(self._foreign_overwrites):
            fields = {"route": claim.route, "path": claim.path, "bucket": bucket, "key": claim.key}
            self._log.warning("object_overwritten", **fields, source=source, count=self._foreign_overwrites)

    def on_conditions_ignored(self, bucket: str) -> None:
        """Log that the store does not honour If-None-Match: HEAD precedes each upload that must not overwrite."""
        self._log.warning("conditions_ignored", bucket=bucket)

    def on_never_settled(self, claim: Claim, attempts: int) -> None:
        """Log a file that is rewritten each time it is read, at each doubling."""
        if is_power_of_two(attempts):
            self._log.warning("file_keeps_changing", route=claim.route, path=claim.path, tries=attempts)
