"""Report a push: its progress several times a second, and its summary."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Protocol

from crosshaul.display import text
from crosshaul.errors import Diagnosis
from crosshaul.journal import Reader
from crosshaul.model import UNFINISHED, Claim, PushProgress, PushSummary, Record, RouteCounts, State
from crosshaul.service.push_counter import PushCounter
from crosshaul.service.runtime import Runtime

_SHOWN_FILES = 5
_MAX_OVERDUE = 1000
"""Overdue sources per route in the summary, at most."""
_MAX_UPLOADING = 1000
"""Files being sent whose finished parts are counted, at most."""


class PushObserver(Protocol):
    """Shows the progress of a push."""

    def tick(self, progress: PushProgress) -> None:
        """Show ``progress``. Called about five times a second."""


class PushReport:
    """Reads progress and summary of a push from the journal and from ``counter``."""

    def __init__(self, runtime: Runtime, counter: PushCounter) -> None:
        self._runtime = runtime
        self._counter = counter
        self._began = runtime.clock.monotonic()

    async def counts(self) -> list[RouteCounts]:
        """Return the journal's counts of the routes of this push."""
        counts = await self._runtime.journal.route_counts()
        return [count for count in counts if count.route in self._runtime.routes]

    async def progress(self) -> PushProgress:
        """Return the progress so far. Parts of large files that are in the bucket count as delivered bytes."""
        counts, counter, uploading = await self.counts(), self._counter, self._uploading()
        unfinished = sum(count.count(*UNFINISHED) for count in counts)
        unfinished_bytes = sum(count.pending_bytes for count in counts)
        unfinished_bytes += sum(claim.fingerprint.size for claim in uploading)
        sent_bytes = await self._bytes_in_parts(uploading)
        return PushProgress(
            total_files=counter.delivered + unfinished,
            delivered=counter.delivered,
            failed=sum(map(len, counter.given_up.values())) + sum(count.count(State.QUARANTINED) for count in counts),
            delivered_bytes=counter.delivered_bytes + min(sent_bytes, unfinished_bytes),
            total_bytes=counter.delivered_bytes + unfinished_bytes,
            current=tuple(text(claim.path) for claim in uploading[:_SHOWN_FILES]),
            settling=sum(route.intake.settling for route in self._runtime.routes.values()),
        )

    def _uploading(self) -> list[Claim]:
        pipelines = self._runtime.destinations.values()
        return [claim for pipeline in pipelines for claim in pipeline.reporter.uploading.values()]

    async def _bytes_in_parts(self, uploading: list[Claim]) -> int:
        threshold = self._runtime.config.transfer.multipart_threshold
        if all(claim.fingerprint.size < threshold for claim in uploading):
            return 0
        return await asyncio.to_thread(self._read_bytes_in_parts)

    def _read_bytes_in_parts(self) -> int:
        with Reader.open(self._runtime.config.state_dir) as reader:
            records = reader.uploading(_MAX_UPLOADING)
            return sum(record.multipart.sent for record in records if record.multipart)

    async def summary(self) -> PushSummary:
        """Return the result, with the record of each file that is not delivered."""
        counter = self._counter
        failed = await asyncio.to_thread(self._read_unfinished)
        delivered = sum(count.count(State.DELIVERED) for count in await self.counts())
        return PushSummary(
            delivered=counter.delivered,
            unchanged=max(0, delivered - counter.delivered),
            failed=failed,
            delivered_bytes=counter.delivered_bytes,
            seconds=self._runtime.clock.monotonic() - self._began,
            staying=await asyncio.to_thread(self._read_overdue),
            left_out=tuple(line for route in self._runtime.routes.values() for line in route.intake.unreadable),
        )

    def _read_overdue(self) -> tuple[Record, ...]:
        with Reader.open(self._runtime.config.state_dir) as reader:
            return tuple(
                record for route in self._runtime.routes for record in reader.first_overdue(route, _MAX_OVERDUE)
            )

    def _read_unfinished(self) -> tuple[Record, ...]:
        """Read the records of unfinished files; one with no error of its own gets its destination's last error."""
        with Reader.open(self._runtime.config.state_dir) as reader:
            return tuple(
                replace(record, diagnosis=record.diagnosis or self._last_error(route))
                for route in self._runtime.routes
                for state in (*UNFINISHED, State.QUARANTINED)
                for record in reader.records(state, route, None)
            )

    def _last_error(self, route: str) -> Diagnosis | None:
        return self._runtime.destination_of(route).reporter.status.last_error
