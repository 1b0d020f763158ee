"""Keep a destination's status: credentials, parked or ready, reachable or not. Log its changes; save it in the journal.

A streak of failures is logged at the first one and at each doubling, then its end: an outage of an hour is a few lines.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from crosshaul.concurrency.clock import Clock
from crosshaul.concurrency.waiting import wait_event
from crosshaul.errors import Diagnosis
from crosshaul.model import ChecksumKind, DestinationState, DestinationStatus
from crosshaul.telemetry.failure_streak import FailureStreak
from crosshaul.telemetry.health import Liveness
from crosshaul.telemetry.logger import Logger
from crosshaul.telemetry.metrics import Metrics

_FLUSH_SECONDS = 1.0


class DestinationJournal(Protocol):
    """The part of the journal that keeps a destination's status, for ``status`` while the daemon is down."""

    async def save_destination(self, status: DestinationStatus) -> None: ...  # noqa: D102 - described in journal/protocol.py


class StatusReporter:
    """Observes one destination. Its methods never block; ``run`` is the service that writes to the journal."""

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
        self.status = status
        self._journal = journal
        self._clock = clock
        self._metrics = metrics
        self._liveness = liveness
        self._add_advice = add_advice
        self._log = log.bind(destination=status.name)
        self._refused_canaries = FailureStreak()
        self._failed_renewals = FailureStreak()
        self._failed_uploads = FailureStreak()
        self._unreachable_since: float | None = None
        self._next_canary_at: float | None = None
        self._changed = asyncio.Event()

    @property
    def refused_canaries(self) -> int:
        """Number of canaries that were refused since the destination was parked."""
        return self._refused_canaries.length

    @property
    def unreachable_seconds(self) -> float:
        """Seconds since the destination became unreachable; 0.0 if it is reachable."""
        return 0.0 if self._unreachable_since is None else self._clock.monotonic() - self._unreachable_since

    async def run(self, stop: asyncio.Event) -> None:
        """Save the status in the journal whenever it has changed, until ``stop``. Raises StateDirError."""
        while not stop.is_set():
            if not await wait_event(stop, _FLUSH_SECONDS):
                await self.flush()
        await self.flush()

    async def flush(self) -> None:
        """Save the status if it has changed. Raises StateDirError; the next flush tries again then."""
        if self._changed.is_set():
            self._changed.clear()
            try:
                await self._journal.save_destination(self.status)
            except BaseException:
                self._changed.set()
                raise

    def _update(self, **changes: object) -> None:
        changed = replace(self.status, **changes)  # type: ignore[arg-type] # replace itself checks the names
        if changed != self.status:
            self.status = changed
            self._changed.set()

    # Credentials

    def renewed(self, destination: str, expires_in: float | None, external_id: str | None) -> None:
        """Log new credentials; ``expires_in``: seconds, or None if they don't expire."""
        self._metrics.sts(destination, "ok")
        self._metrics.credentials(destination, expires_in)
        self._log.info(
            "credentials_renewed",
            expire_in_seconds=expires_in and round(expires_in, 1),
            external_id_index=external_id,
            failures=self._failed_renewals.ended(),
        )
        if self.status.state is DestinationState.STARTING:
            self._update(state=DestinationState.READY, last_error=None)
        self._update(credentials_expire_at=None if expires_in is None else self._clock.now() + expires_in)

    def refused(self, destination: str, diagnosis: Diagnosis, expires_in: float | None) -> None:
        """Log a failed renewal; ``expires_in``: seconds until the present credentials expire."""
        diagnosis = self._add_advice(diagnosis)
        self._metrics.sts(destination, diagnosis.code)
        self._update(last_error=diagnosis)
        if self._failed_renewals.failed():
            failures, expires_in = self._failed_renewals.length, expires_in and round(expires_in, 1)
            self._log.error(
                "credentials_not_renewed",
                failures=failures,
                credentials_expire_in_seconds=expires_in,
                **error_fields(diagnosis),
            )

    # Breaker

    def on_parked(self, diagnosis: Diagnosis, retry_in: float) -> None:
        """Log that the account or bucket refuses all files."""
        diagnosis = self._add_advice(diagnosis)
        self._update(state=DestinationState.PARKED, last_error=diagnosis, retry_at=self._clock.now() + retry_in)
        self._metrics.destination_parked(self.status.name, parked=True)
        self._log.error("destination_parked", retry_in_seconds=round(retry_in, 1), **error_fields(diagnosis))

    def on_still_parked(self, diagnosis: Diagnosis, retry_in: float) -> None:
        """Log a refused canary, at each doubling."""
        diagnosis = self._add_advice(diagnosis)
        should_log = self._refused_canaries.failed()
        self._update(last_error=diagnosis, retry_at=self._clock.now() + retry_in)
        if should_log:
            self._log.error("destination_still_parked", refusals=self.refused_canaries, **error_fields(diagnosis))

    def on_resumed(self) -> None:
        """Log that a parked destination accepts files again."""
        self._log.info("destination_resumed", refusals=self._refused_canaries.ended())
        self._update(state=DestinationState.READY, last_error=None, retry_at=None, failing=False)
        self._metrics.destination_parked(self.status.name, parked=False)

    def on_unreachable(self, diagnosis: Diagnosis, retry_in: float) -> None:
        """Record that the store can't be reached, and when the next canary is sent."""
        if self._unreachable_since is None:
            self._unreachable_since = self._clock.monotonic()
        self._next_canary_at = self._clock.now() + retry_in
        self._update(failing=True, last_error=diagnosis)

    def on_reachable(self) -> None:
        """Log the end of an outage, if there was one."""
        failures, self._unreachable_since, self._next_canary_at = self._failed_uploads.ended(), None, None
        if self.status.failing:
            self._log.info("uploads_recovered", failures=failures)
            self._update(failing=False, last_error=None)

    def on_checksum_negotiated(self, checksum: ChecksumKind | None) -> None:
        """Record the checksum that the store has confirmed."""
        if checksum is not None and checksum is not self.status.checksum_kind:
            self._log.info("checksum_in_use", checksum=str(checksum))
            self._update(checksum_kind=checksum)


def error_fields(diagnosis: Diagnosis) -> dict[str, object]:
    """Return a failure's log fields, the same in every event: a line for people, and what programs look for."""
    return {"error": diagnosis.line(), "code": diagnosis.code, "request_id": diagnosis.request_id}
