"""Abort multipart uploads that will not be completed. Until then S3 stores their parts at the partner's cost."""

from __future__ import annotations

import asyncio
from typing import Protocol

from crosshaul.concurrency.backoff import Backoff
from crosshaul.concurrency.clock import Clock
from crosshaul.concurrency.waiting import wait_event
from crosshaul.errors import Diagnosis, Fault, FaultKind
from crosshaul.model import AbandonedUpload, Place

_INTERVAL_SECONDS = 60.0
_BATCH_SIZE = 100
_BACKOFF = Backoff(initial=60.0, max=6 * 3600.0)
_MAX_ATTEMPTS = 30
"""Attempts over about a week; after that the bucket's lifecycle rule has to remove the parts."""
_MISSING_CODES = frozenset({"NoSuchUpload", "404", "NoSuchBucket"})
_DENIED_CODES = frozenset({"AccessDenied", "403"})
"""Final: s3:AbortMultipartUpload is a permission of its own."""


class AbandonedUploadJournal(Protocol):
    """The part of the journal that aborting uses."""

    async def abandoned_due(self, place: Place, limit: int) -> list[AbandonedUpload]: ...  # noqa: D102 - see journal/protocol.py
    async def record_abort(self, upload: AbandonedUpload, due_at: float | None = None) -> None: ...  # noqa: D102


class AbortBucket(Protocol):
    """The part of the bucket that aborting uses."""

    async def abort_multipart_upload(self, key: str, upload_id: str) -> None: ...  # noqa: D102 - see aws/bucket.py


class AbortObserver(Protocol):
    """Receives the numbers of aborted uploads. Its methods must not block."""

    def on_uploads_aborted(self, uploads: int) -> None:
        """Note that ``uploads`` uploads were aborted."""

    def on_uploads_left_open(self, uploads: int, diagnosis: Diagnosis) -> None:
        """Note that ``uploads`` uploads will not be aborted, the last of them because of ``diagnosis``."""


class UploadAborter:
    """Aborts the abandoned uploads of one destination."""

    def __init__(
        self,
        place: Place,
        journal: AbandonedUploadJournal,
        bucket: AbortBucket,
        clock: Clock,
        observer: AbortObserver,
        *,
        may_abort: bool,
    ) -> None:
        self._place = place
        self._journal = journal
        self._bucket = bucket
        self._clock = clock
        self._observer = observer
        self._may_abort = may_abort

    async def run(self, stop: asyncio.Event) -> None:
        """Abort due uploads once a minute until ``stop``. Raises StateDirError."""
        while not stop.is_set():
            await self.abort_due(stop)
            await wait_event(stop, _INTERVAL_SECONDS)

    async def abort_due(self, stop: asyncio.Event) -> None:
        """Abort the due uploads until one fails: the next one would fail too. Raises StateDirError."""
        aborted, given_up, last = 0, 0, None
        for upload in await self._journal.abandoned_due(self._place, _BATCH_SIZE):
            if stop.is_set():
                break
            last = await self._abort(upload)
            if last is None:
                aborted += 1
            elif last.code in _DENIED_CODES or upload.tries + 1 >= _MAX_ATTEMPTS:
                given_up += 1
            else:
                due_at = self._clock.now() + _BACKOFF.delay(upload.tries, jitter=1.0)
                await self._journal.record_abort(upload, due_at)
                break
            await self._journal.record_abort(upload)
        if aborted:
            self._observer.on_uploads_aborted(aborted)
        if given_up and last is not None:
            self._observer.on_uploads_left_open(given_up, last)

    async def _abort(self, upload: AbandonedUpload) -> Diagnosis | None:
        if not self._may_abort:
            return _ABORT_DENIED
        try:
            await self._bucket.abort_multipart_upload(upload.key, upload.upload_id)
        except Fault as fault:
            return None if fault.diagnosis.code in _MISSING_CODES else fault.diagnosis
        return None


_ABORT_DENIED = Diagnosis(
    FaultKind.DESTINATION,
    "AccessDenied",
    "the role may not abort multipart uploads, as the last `crosshaul check` found",
    "AbortMultipartUpload",
)
