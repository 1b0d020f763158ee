"""The journal's calls about multipart uploads that are to be aborted."""

from __future__ import annotations

from crosshaul.journal.sqlite import abandoned
from crosshaul.journal.sqlite.store_base import StoreBase
from crosshaul.journal.sqlite.write_batch import one_by_one
from crosshaul.model import AbandonedUpload, Multipart, Place

_DUE = one_by_one(abandoned.due)
_MARK_ABORTED = one_by_one(abandoned.mark_aborted)
_RECORD_ABORT = one_by_one(abandoned.record_abort)


class AbandonedUploadStore(StoreBase):
    """The calls about uploads to abort."""

    async def abandoned_due(self, place: Place, limit: int) -> list[AbandonedUpload]:
        """Return uploads in ``place`` that are to be aborted now, without those that a claim may still use."""
        return await self._writer.execute(_DUE, abandoned.DueRequest(place, limit, self._clock.now()))

    async def mark_aborted(self, upload: Multipart) -> None:
        """Forget an upload that its own claim aborted."""
        await self._writer.execute(_MARK_ABORTED, upload)

    async def record_abort(self, upload: AbandonedUpload, due_at: float | None = None) -> None:
        """Record an attempt to abort: when the next one is due, or None if there will be none."""
        await self._writer.execute(_RECORD_ABORT, abandoned.AbortAttempt(upload, due_at))
