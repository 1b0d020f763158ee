"""Check before a source is removed that the bucket still has the delivered object.

A store that honours If-Match lets no older request replace a newer object. If that is not known, a proxy may have
delivered an older request late, so HEAD checks each object whose source is to be deleted or moved.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

from crosshaul.aws.conditional_writes import Conditions
from crosshaul.delivery.after_upload.batch_finisher import FinishResult
from crosshaul.display import printable
from crosshaul.errors import Diagnosis, Fault, FaultKind
from crosshaul.integrity.verify import HeadResult, matches_receipt, token_of
from crosshaul.model import AfterAction, AfterTask

_MAX_CONCURRENT_HEADS = 16


class HeadBucket(Protocol):
    """The part of the bucket that the check uses."""

    source: str

    async def head_object(self, key: str, *, expected: bool = False) -> HeadResult | None: ...  # noqa: D102 - see aws/bucket.py


class ObjectCheck:
    """Checks the delivered objects of one destination."""

    def __init__(self, name: str, bucket: HeadBucket, conditions: Conditions) -> None:
        self.unseen = False
        """True if S3 has shown none of the objects so far: the role may not read them, or the partner removes them."""
        self._name = name
        self._bucket = bucket
        self._conditions = conditions
        self._seen = False

    async def replaced(self, tasks: Sequence[AfterTask]) -> dict[int, FinishResult]:
        """Return the tasks whose sources must be kept, by id: their object is another one, or the check failed."""
        if self._conditions.holds_older_off:
            return {}
        slots = asyncio.Semaphore(_MAX_CONCURRENT_HEADS)
        results = await asyncio.gather(*[self._judge(task, slots) for task in tasks])
        return {result.task.id: result for result in results if result is not None}

    async def _judge(self, task: AfterTask, slots: asyncio.Semaphore) -> FinishResult | None:
        try:
            async with slots:
                head = await self._bucket.head_object(task.key, expected=True)
        except Fault as fault:
            return _kept(task, "SourceKept", f"{self._place(task)} can't be checked: {fault}")
        if head is None:
            # Removed by the partner, or S3 does not say. Its delivery was proven.
            self.unseen = not self._seen
            return None
        self._seen, self.unseen = True, False
        if _is_delivered(task, head):
            return None
        return self._replaced(task, head)

    def _replaced(self, task: AfterTask, head: HeadResult) -> FinishResult:
        ours = head.source == self._bucket.source
        if ours:
            message = f"{self._place(task)} has another state of the file now: an older request arrived late"
            return _kept(task, "ObjectReplaced", message, send_again=True)
        who = "a program other than Crosshaul" if head.source is None else f"source {head.source}"
        message = f"{self._place(task)} was replaced by {who} after it was delivered"
        return _kept(task, "ObjectReplaced", f"{message}; run `crosshaul resend` to upload it again")

    def _place(self, task: AfterTask) -> str:
        return f"s3://{self._name}/{printable(task.key.encode())}"


def _is_delivered(task: AfterTask, head: HeadResult) -> bool:
    """Return whether the object matches the receipt, or was uploaded for the same state of the file."""
    return matches_receipt(task.receipt, head) or (head.size == task.receipt.size and head.token == token_of(task))


def _kept(task: AfterTask, code: str, message: str, *, send_again: bool = False) -> FinishResult:
    action = AfterAction.CHANGED if send_again else AfterAction.FAILED
    return FinishResult(
        task, action, Diagnosis(FaultKind.FILE, code, f"{printable(task.path)}: {message}"), send_again=send_again
    )
