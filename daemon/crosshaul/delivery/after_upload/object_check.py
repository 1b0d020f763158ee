"""Ask, before a source goes, whether the bucket still holds what its receipt says.

A store that keeps If-Match lets no older request of ours replace a newer object. Where that is not known, a front end
may have passed one on after the receipt, so HEAD asks about each object whose source is to be deleted or moved.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

from crosshaul.aws.conditional_writes import Conditions
from crosshaul.delivery.after_upload.finishing import FinishResult
from crosshaul.display import printable
from crosshaul.errors import Diagnosis, Fault, FaultKind
from crosshaul.integrity.verify import HeadResult, matches_receipt, token_of
from crosshaul.model import AfterAction, AfterTask

_AT_ONCE = 16


class Bucket(Protocol):
    """What is asked of the bucket."""

    source: str

    async def head_object(self, key: str, *, expected: bool = False) -> HeadResult | None: ...  # noqa: D102 - see aws/bucket.py


class ObjectCheck:
    """Asks one destination about delivered files."""

    def __init__(self, name: str, bucket: Bucket, conditions: Conditions) -> None:
        self.unseen = False
        """S3 has never shown an object, although some were asked for: the role may not look, or all are taken away."""
        self._name = name
        self._bucket = bucket
        self._conditions = conditions
        self._seen = False

    async def replaced(self, tasks: Sequence[AfterTask]) -> dict[int, FinishResult]:
        """Those of ``tasks`` whose sources have to stay, by id: the object is another one, or S3 could not be asked."""
        if self._conditions.holds_older_off:
            return {}
        slots = asyncio.Semaphore(_AT_ONCE)
        results = await asyncio.gather(*[self._judge(task, slots) for task in tasks])
        return {result.task.id: result for result in results if result is not None}

    async def _judge(self, task: AfterTask, slots: asyncio.Semaphore) -> FinishResult | None:
        try:
            async with slots:
                held = await self._bucket.head_object(task.key, expected=True)
        except Fault as fault:
            return _stays(task, "SourceKept", f"whether {self._place(task)} is still it can't be asked: {fault}")
        if held is None:
            # It was taken away, or S3 does not say; what it took it had proven.
            self.unseen = not self._seen
            return None
        self._seen, self.unseen = True, False
        if _is_delivered(task, held):
            return None
        return self._is_replaced(task, held)

    def _is_replaced(self, task: AfterTask, held: HeadResult) -> FinishResult:
        ours = held.source == self._bucket.source
        if ours:
            message = f"{self._place(task)} holds another state of it by now: an older request came late"
            return _stays(task, "ObjectReplaced", message, again=True)
        who = "something else than Crosshaul" if held.source is None else f"source {held.source}"
        message = f"{self._place(task)} was replaced by {who} after it was delivered"
        return _stays(task, "ObjectReplaced", f"{message}; `crosshaul resend` puts it there again")

    def _place(self, task: AfterTask) -> str:
        return f"s3://{self._name}/{printable(task.key.encode())}"


def _is_delivered(task: AfterTask, held: HeadResult) -> bool:
    """Whether it is the object of the receipt, has its bytes, or was put for this very state."""
    return matches_receipt(task.receipt, held) or (held.size == task.receipt.size and held.token == token_of(task))


def _stays(task: AfterTask, code: str, message: str, *, again: bool = False) -> FinishResult:
    action = AfterAction.CHANGED if again else AfterAction.FAILED
    return FinishResult(
        task, action, Diagnosis(FaultKind.FILE, code, f"{printable(task.path)}: {message}"), again=again
    )
