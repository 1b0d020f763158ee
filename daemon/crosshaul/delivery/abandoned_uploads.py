"""Abort the uploads in parts that nobody completes any more: S3 keeps their parts, at the partner's cost, till then."""

from __future__ import annotations

import asyncio
from typing import Protocol

from crosshaul.concurrency.clock import Clock
from crosshaul.concurrency.waiting import wait_event
from crosshaul.errors import Diagnosis, Fault, FaultKind
from crosshaul.model import AbandonedUpload, Place

_EVERY_SECONDS = 60.0
_AT_ONCE = 100
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 60.0, 6 * 3600.0
_TRIES = 30
"""A week, roughly; then the bucket's lifecycle rule has to do."""
_NOT_THERE = frozenset({"NoSuchUpload", "404", "NoSuchBucket"})


class Journal(Protocol):
    """What is needed of the journal."""

    async def abandoned_due(self, place: Place, limit: int) -> list[AbandonedUpload]: ...  # noqa: D102 - see journal/abandoned.py
    async def record_abort(self, upload: AbandonedUpload, due_at: float | None = None) -> None: ...  # noqa: D102


class Bucket(Protocol):
    """What is needed of the bucket."""

    async def abort_multipart_upload(self, key: str, upload_id: str) -> None: ...  # noqa: D102 - see aws/bucket.py


class Listener(Protocol):
    """Who is told."""

    def uploads_aborted(self, uploads: int) -> None:
        """So many were aborted."""

    def uploads_left_open(self, uploads: int, diagnosis: Diagnosis) -> None:
        """So many are given up, the last of them for this reason."""


class Aborter:
    """Works off one destination's list."""

    def __init__(
        self, place: Place, journal: Journal, bucket: Bucket, clock: Clock, listener: Listener, *, may_abort: bool
    ) -> None:
        self._place = place
        self._journal = journal
        self._bucket = bucket
        self._clock = clock
        self._listener = listener
        self._may_abort = may_abort

    async def run(self, stop: asyncio.Event) -> None:
        """Look once a minute, until ``stop``. Raises StateDirError."""
        while not stop.is_set():
            await self.work(stop)
            await wait_event(stop, _EVERY_SECONDS)

    async def work(self, stop: asyncio.Event) -> None:
        """Abort what is due; one that fails ends the turn, since the next would fail as well."""
        aborted, given_up, last = 0, 0, None
        for upload in await self._journal.abandoned_due(self._place, _AT_ONCE):
            if stop.is_set():
                break
            last = await self._abort(upload)
            if last is None:
                aborted += 1
            elif self._is_final(last) or upload.tries + 1 >= _TRIES:
                given_up += 1
            else:
                pause = min(_LONGEST_PAUSE_SECONDS, _FIRST_PAUSE_SECONDS * 2.0 ** min(upload.tries, 10))
                await self._journal.record_abort(upload, self._clock.now() + pause)
                break
            await self._journal.record_abort(upload)
        if aborted:
            self._listener.uploads_aborted(aborted)
        if given_up and last is not None:
            self._listener.uploads_left_open(given_up, last)

    async def _abort(self, upload: AbandonedUpload) -> Diagnosis | None:
        if not self._may_abort:
            return _NOT_ALLOWED
        try:
            await self._bucket.abort_multipart_upload(upload.key, upload.upload_id)
        except Fault as fault:
            return None if fault.diagnosis.code in _NOT_THERE else fault.diagnosis
        return None

    def _is_final(self, diagnosis: Diagnosis) -> bool:
        """Whether the role may not: Abort is a right of its own."""
        return diagnosis.code in {"AccessDenied", "403"}


_NOT_ALLOWED = Diagnosis(
    FaultKind.DESTINATION,
    "AccessDenied",
    "the last `crosshaul check` was not allowed to abort one",
    "AbortMultipartUpload",
)
