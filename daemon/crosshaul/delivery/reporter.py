"""What one destination's refresher and transfer loop tell, put into the log, the metrics and the journal.

First failure, then a count at each doubling, then "recovered" or "resumed": an outage of an hour is a few lines.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

from crosshaul.concurrency.clock import Clock
from crosshaul.concurrency.waiting import wait_event
from crosshaul.delivery.retry import slows_everyone
from crosshaul.errors import Diagnosis, FaultKind
from crosshaul.model import (
    Changed,
    ChecksumKind,
    Claim,
    Delivered,
    DestinationState,
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

_TOLD_ONE_BY_ONE = 10
"""Local failures of a route; later ones are a count at each doubling, however many files they are of."""
_FLUSH_SECONDS = 1.0
_SPELL_SECONDS = 7200.0
"""Without one for so long, the next is told again."""
_IN_TROUBLE = 3
"""Tries that fail in a row before a destination counts as not reached."""


class DestinationJournal(Protocol):
    """Where a destination's state is kept, so that ``status`` can tell with the daemon down."""

    async def save_destination(self, status: DestinationStatus) -> None: ...  # noqa: D102 - described in journal/store.py


class Reporter:
    """The listener of one destination. Its calls never block; ``run`` is the service that writes to the journal."""

    def __init__(
        self,
        status: DestinationStatus,
        journal: DestinationJournal,
        clock: Clock,
        metrics: Metrics,
        liveness: Liveness,
        log: Logger,
        judge: Callable[[Diagnosis], Diagnosis],
    ) -> None:
        self.status = status
        self.sending: dict[int, Claim] = {}
        self.on_changed: Callable[[str, bytes], None] = lambda _route, _path: None
        self.on_ended: Callable[[Claim, Outcome, State], None] = lambda _claim, _outcome, _state: None
        self._journal = journal
        self._clock = clock
        self._metrics = metrics
        self._liveness = liveness
        self._judge = judge
        self._log = log.bind(destination=status.name)
        self._refused = FailureStreak()
        self._not_renewed = FailureStreak()
        self._left_open = 0
        self._left_open_told = FailureStreak()
        self._not_reached = FailureStreak()
        self._others_overwritten = 0
        self._failed_here: dict[object, tuple[int, float]] = {}
        self._unreachable_since: float | None = None
        self._next_canary_at: float | None = None
        self._changed = asyncio.Event()

    @property
    def refusals(self) -> int:
        """How many canaries were refused since it was parked."""
        return self._refused.length

    @property
    def unreachable_seconds(self) -> float:
        """For how long nothing has got through, and a canary has been tried now and then; 0.0 if something does."""
        return 0.0 if self._unreachable_since is None else self._clock.monotonic() - self._unreachable_since

    async def run(self, stop: asyncio.Event) -> None:
        """Keep the journal's copy up to date until ``stop``."""
        while not stop.is_set():
            if not await wait_event(stop, _FLUSH_SECONDS):
                await self.flush()
        await self.flush()

    async def flush(self) -> None:
        """Write what has changed."""
        if self._changed.is_set():
            self._changed.clear()
            try:
                await self._journal.save_destination(self.status)
            except BaseException:
                self._changed.set()
                raise

    def _becomes(self, **changes: object) -> None:
        changed = replace(self.status, **changes)  # type: ignore[arg-type] # the names are checked by replace itself
        if changed != self.status:
            self.status = changed
            self._changed.set()

    # The refresher's

    def renewed(self, destination: str, expires_in: float | None, external_id: str | None) -> None:
        """New credentials are in use."""
        self._metrics.sts(destination, "ok")
        self._metrics.credentials(destination, expires_in)
        self._log.info(
            "credentials_renewed",
            expire_in_seconds=expires_in and round(expires_in, 1),
            external_id_index=external_id,
            failures=self._not_renewed.ended(),
        )
        if self.status.state is DestinationState.STARTING:
            self._becomes(state=DestinationState.READY, last_error=None)
        self._becomes(credentials_expire_at=None if expires_in is None else self._clock.now() + expires_in)

    def refused(self, destination: str, diagnosis: Diagnosis, expires_in: float | None) -> None:
        """A refresh failed."""
        diagnosis = self._judge(diagnosis)
        self._metrics.sts(destination, diagnosis.code)
        self._becomes(last_error=diagnosis)
        if self._not_renewed.failed():
            ends = expires_in and round(expires_in, 1)
            facts = {"failures": self._not_renewed.length, "credentials_expire_in_seconds": ends}
            self._log.error("credentials_not_renewed", **facts, **_error(diagnosis))

    # The transfer loop's

    def began(self, claim: Claim) -> None:
        """A file is being sent."""
        self.sending[claim.id] = claim

    def ended(self, claim: Claim, outcome: Outcome, state: State, seconds: float) -> None:
        """A try ended."""
        self.sending.pop(claim.id, None)
        self.on_ended(claim, outcome, state)
        if isinstance(outcome, Delivered):
            self._got_through()
            if state is State.DELIVERED:
                self._delivered(claim, outcome.receipt, seconds)
            return
        facts: dict[str, object] = {"route": claim.route, "path": claim.path, "key": claim.key}
        match outcome:
            case Unchanged(receipt) if state is State.DELIVERED:
                self._metrics.unchanged(claim.route)
                self._log.info("file_unchanged", **facts, bytes=receipt.size, seconds=round(seconds, 3))
            case RetryLater(diagnosis=diagnosis):
                self._metrics.failed(claim.route, diagnosis.code)
                if outcome.counts or slows_everyone(diagnosis):
                    self._failed(outcome, claim.attempts + max(1, outcome.counts), facts)
            case Changed():
                self._log.debug("file_changed_while_it_was_to_be_sent", **facts)
                self.on_changed(claim.route, claim.path)
            case Quarantine(diagnosis):
                self._metrics.failed(claim.route, diagnosis.code)
                self._log.error("file_quarantined", **facts, **_error(diagnosis))

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

    def _failed(self, outcome: RetryLater, tries: int, facts: dict[str, object]) -> None:
        """A file's failure; where the way there is at fault, that it goes on is told rather than of each file anew."""
        diagnosis = outcome.diagnosis
        if slows_everyone(diagnosis):
            told, row = self._not_reached.failed(), self._not_reached.length
            if row == _IN_TROUBLE:
                self._becomes(failing=True, last_error=diagnosis)
            if row == 1:
                told = is_power_of_two(tries)
        else:
            row = self._here(facts["route"]) if diagnosis.kind is FaultKind.LOCAL else 0
            told = is_power_of_two(row) if row else is_power_of_two(tries)
        if told:
            facts |= {"tries": tries, "consecutive_failures": row}
            pause = round(max(0.0, (self._next_canary_at or outcome.due_at) - self._clock.now()), 1)
            self._log.warning("upload_failed", **facts, retry_in_seconds=pause, **_error(diagnosis))

    def _here(self, route: object) -> int:
        """Count a local failure of the route; 0 for the first few, which are told one by one."""
        now = self._clock.monotonic()
        count, last = self._failed_here.get(route, (0, now))
        count = count + 1 if now - last < _SPELL_SECONDS else 1
        self._failed_here[route] = (count, now)
        return count if count > _TOLD_ONE_BY_ONE else 0

    def _got_through(self) -> None:
        """A file was taken: whatever was in the way of all is over."""
        failures, self._unreachable_since, self._next_canary_at = self._not_reached.ended(), None, None
        if self.status.failing:
            self._log.info("uploads_recovered", failures=failures)
            self._becomes(failing=False, last_error=None)

    def surprised(self, claim: Claim, error: Exception) -> None:
        """A try ended in an error that is none of ours: a bug, told in full."""
        self._log.error("unexpected_error", route=claim.route, path=claim.path, exc_info=error)

    def parked(self, diagnosis: Diagnosis, retry_in: float) -> None:
        """The destination takes nothing for now."""
        diagnosis = self._judge(diagnosis)
        self._becomes(state=DestinationState.PARKED, last_error=diagnosis, retry_at=self._clock.now() + retry_in)
        self._metrics.destination_parked(self.status.name, parked=True)
        self._log.error("destination_parked", retry_in_seconds=round(retry_in, 1), **_error(diagnosis))

    def still_parked(self, diagnosis: Diagnosis, retry_in: float) -> None:
        """A canary was refused as well."""
        diagnosis = self._judge(diagnosis)
        told = self._refused.failed()
        self._becomes(last_error=diagnosis, retry_at=self._clock.now() + retry_in)
        if told:
            self._log.error("destination_still_parked", refusals=self.refusals, **_error(diagnosis))

    def resumed(self) -> None:
        """The destination takes files again."""
        self._log.info("destination_resumed", refusals=self._refused.ended())
        self._becomes(state=DestinationState.READY, last_error=None, retry_at=None, failing=False)
        self._metrics.destination_parked(self.status.name, parked=False)

    def unreachable(self, diagnosis: Diagnosis, retry_in: float) -> None:
        """Nothing gets through; said at first and of each canary."""
        if self._unreachable_since is None:
            self._unreachable_since = self._clock.monotonic()
        self._next_canary_at = self._clock.now() + retry_in
        self._becomes(failing=True, last_error=diagnosis)

    def reached(self) -> None:
        """Something gets through again."""
        self._got_through()

    def read_hangs(self, route: str, path: bytes, seconds: float) -> None:
        """A file has been read for so long."""
        self._log.warning("read_hangs", route=route, path=path, seconds=round(seconds, 1))

    def uploads_aborted(self, uploads: int) -> None:
        """Uploads in parts that nobody completes any more were aborted."""
        self._metrics.uploads_aborted(self.status.name, uploads)
        self._log.info("uploads_aborted", uploads=uploads)

    def uploads_left_open(self, uploads: int, diagnosis: Diagnosis) -> None:
        """Others can't be: the bucket's lifecycle rule has to take their parts."""
        self._left_open += uploads
        if self._left_open_told.failed():
            self._log.info("uploads_left_open", uploads=self._left_open, **_error(diagnosis))

    def claims_lost(self, claims: Sequence[HeldClaim]) -> None:
        """Files counted as being sent that nobody sent: a bug."""
        first = claims[0]
        self._log.error("claims_lost", route=first.route, path=first.path, files=len(claims))

    def read_recovered(self, route: str, seconds: float) -> None:
        """The route's files can be read again."""
        self._log.info("read_recovered", route=route, seconds=round(seconds, 1))

    def load(self, in_flight: int, limit: int) -> None:
        """How much is under way."""
        self._liveness.beat(f"transfer.{self.status.name}")
        self._metrics.load(self.status.name, in_flight, limit)

    def overwrites_another(self, claim: Claim, bucket: str, source: str) -> None:
        """An object that another source put is replaced: told for the first, and at each doubling."""
        self._others_overwritten += 1
        if is_power_of_two(self._others_overwritten):
            facts = {"route": claim.route, "path": claim.path, "bucket": bucket, "key": claim.key}
            self._log.warning("overwrites_another", **facts, source=source, count=self._others_overwritten)

    def conditions_ignored(self, bucket: str) -> None:
        """The store does not keep If-None-Match: HEAD asks before each file whose key may be another's."""
        self._log.warning("conditions_ignored", bucket=bucket)

    def never_at_rest(self, claim: Claim, tries: int) -> None:
        """A file is rewritten in place and never rests: told for the first time, and at each doubling."""
        if is_power_of_two(tries):
            self._log.warning("never_at_rest", route=claim.route, path=claim.path, tries=tries)

    def learned(self, checksum: ChecksumKind | None) -> None:
        """The store was seen to honour this checksum."""
        if checksum is not None and checksum is not self.status.checksum_kind:
            self._log.info("checksum_in_use", checksum=str(checksum))
            self._becomes(checksum_kind=checksum)


def _error(diagnosis: Diagnosis) -> dict[str, object]:
    """A failure's fields, the same in every event: the line for people, and what programs look for."""
    return {"error": diagnosis.line(), "code": diagnosis.code, "request_id": diagnosis.request_id}
