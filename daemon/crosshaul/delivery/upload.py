"""Deliver one file: check its key for existing objects, upload the file, and prove that it arrived.

The file is read through one descriptor and compared with its recorded fingerprint before, during and after the upload,
so that the object is one state that the file really had. Memory for its bytes is reserved only during the upload.
"""

from __future__ import annotations

import re
from http import HTTPStatus

from crosshaul.aws.conditional_writes import NEW, Condition
from crosshaul.delivery.condition_probe import MIN_HEAD_BYTES, probe_conditions
from crosshaul.delivery.existing_object import (
    ExistingObject,
    ObjectOwner,
    find_existing_object,
    key_of_another_source,
    key_taken,
    key_taken_unseen,
    receipt_from_head,
)
from crosshaul.delivery.multipart import MultipartUpload
from crosshaul.delivery.single_put import SinglePut
from crosshaul.delivery.upload_context import UploadContext
from crosshaul.display import printable
from crosshaul.errors import Diagnosis, Fault, FaultKind, FileChangedError, FileGoneError, SourceError
from crosshaul.model import MAX_OBJECT_BYTES, Claim, Receipt

_MAX_SENDS = 4
"""Uploads with changing conditions in one attempt, while others write to the same key."""
_CONDITIONAL_OPERATIONS = frozenset({"PutObject", "CompleteMultipartUpload"})
_CONDITION_WORDS = re.compile(r"if-(none-)?match|condition", re.IGNORECASE)
_MISSING_CODES = frozenset({"NoSuchKey", "404", "AccessDenied", "403"})
_UNSUPPORTED_STATUSES = frozenset({400, 501})


async def upload_file(claim: Claim, context: UploadContext) -> Receipt:
    """Upload the claim's file. Raises Fault or SourceError."""
    if claim.fingerprint.size > MAX_OBJECT_BYTES:
        raise _too_large(claim, context)
    upload = _Upload(claim, context)
    if claim.never_settled and context.rewritten.paused(claim, context.clock.monotonic()):
        raise FileChangedError("it is rewritten each time it is read")
    try:
        receipt = await upload.run()
    except (FileChangedError, FileGoneError):
        await upload.request.abandon()
        if claim.never_settled:
            context.observer.on_never_settled(claim, context.rewritten.failed(claim, context.clock.monotonic()))
        raise
    if claim.never_settled:
        context.rewritten.succeeded(claim)
    return receipt


class _Upload:
    """The upload of one file in one attempt."""

    __slots__ = (
        "_claim",
        "_context",
        "_denied",
        "_in_parts",
        "_must_check",
        "_never_overwrite",
        "_previous",
        "request",
    )

    def __init__(self, claim: Claim, context: UploadContext) -> None:
        route = context.routes[claim.route]
        self._claim = claim
        self._context = context
        self._never_overwrite = route.overwrite == "never"
        self._must_check = self._never_overwrite or route.after_upload.action != "keep"
        """True if an existing object has to be looked at before it is replaced."""
        previous = claim.previous
        self._previous = Condition(previous.etag) if previous is not None and previous.etag else None
        """The condition that the object is still the one that this daemon uploaded last, if it did."""
        self._denied: Condition | None = None
        """The condition that was denied: the role may lack GetObject, or there is no object."""
        self._in_parts = context.in_parts(claim)
        self.request = MultipartUpload(claim, context) if self._in_parts else SinglePut(claim, context)

    async def run(self) -> Receipt:
        """Look for an existing object if necessary, upload, and adapt the condition if another object turns up."""
        condition: Condition | None = self._first_condition()
        unprotected = self._must_check and not self._context.conditions.holds(in_parts=self._in_parts)
        if unprotected or self._should_look_first():
            outcome = await self._look(condition, expected=self._claim.ambiguous)
            if isinstance(outcome, Receipt):
                return outcome
            condition = outcome
        if unprotected and self._in_parts:
            await self.request.prepare()  # this may take hours: look again afterwards
            outcome = await self._look(condition)
            if isinstance(outcome, Receipt):
                return outcome
            condition = outcome
        return await self._send(condition)

    def _first_condition(self) -> Condition:
        """Return the expected state of the key; it also makes an older request of ours fail if it arrives late."""
        if self._never_overwrite or self._previous is None or self._context.conditions.taken_away:
            return NEW
        return self._previous

    def _should_look_first(self) -> bool:
        """Return whether an object is likely enough to exist, or the body large enough, to send HEAD first."""
        claim = self._claim
        if claim.ambiguous:
            return True
        return claim.fingerprint.size >= MIN_HEAD_BYTES and (self._never_overwrite or _is_first(claim))

    async def _send(self, condition: Condition | None) -> Receipt:
        for turn in range(1, _MAX_SENDS + 1):
            condition = self._context.conditions.usable(condition)
            try:
                receipt = await self.request.send(condition)
            except Fault as fault:
                if condition is None or fault.diagnosis.operation not in _CONDITIONAL_OPERATIONS:
                    raise
                outcome = await self._next_condition(fault, condition)
            else:
                if condition == NEW and self._previous is not None:
                    self._context.conditions.taken_away = True
                if self._must_check and condition == NEW:
                    return await probe_conditions(self.request, self._claim, self._context, receipt)
                return receipt
            if isinstance(outcome, Receipt):
                return outcome
            # On a route that overwrites, a key that others keep writing to must not block the file for ever.
            condition = outcome if self._never_overwrite or turn < _MAX_SENDS - 1 else None
        raise key_taken(self._claim, self._context)

    async def _next_condition(self, fault: Fault, condition: Condition) -> Receipt | Condition | None:
        """Return the condition to send the file with after ``condition`` failed, or the receipt if it is delivered.

        Raises ``fault`` if the condition was not its cause.
        """
        conditions = self._context.conditions
        if fault.kind is FaultKind.EXISTS:
            if condition == NEW:
                conditions.seen(fault.diagnosis.operation)
                if conditions.taken_away and self._previous is not None and not self._never_overwrite:
                    conditions.taken_away = False  # the object was not removed
                    return self._previous
                if self._denied:
                    conditions.refuse(self._denied)  # an object exists, and the role may not name it in If-Match
            return await self._look(None, expected=True, exists=True)
        if condition != NEW and fault.diagnosis.code in _MISSING_CODES:
            self._denied = condition if fault.diagnosis.status == HTTPStatus.FORBIDDEN else None
            return NEW  # removed by the partner; or S3 does not say, without ListBucket or GetObject
        if _refuses_conditions(fault):
            conditions.refuse(condition)
            return await self._look(None) if self._never_overwrite else None
        raise fault

    async def _look(
        self, default: Condition | None, *, expected: bool = False, exists: bool = False
    ) -> Receipt | Condition | None:
        """Look for an existing object; return the receipt if it is the file, else the condition to send the file with.

        ``default``: the condition if there is no object. ``exists``: there is one, even if HEAD shows none.
        Raises Fault if the object must not be replaced.
        """
        claim, context = self._claim, self._context
        existing = await find_existing_object(claim, context, expected=expected, sent=self.request.whole)
        if existing.head is None and not (exists and self._never_overwrite):
            return default
        if existing.owner is ObjectOwner.OURS and existing.head is not None:
            if not _may_be_completed(claim):
                await self.request.abandon()
            return receipt_from_head(existing.head, context)
        if existing.owner is not ObjectOwner.DAMAGED:
            await self._check_replaceable(existing)
        return Condition(existing.head.etag) if existing.head is not None and existing.head.etag else None

    async def _check_replaceable(self, existing: ExistingObject) -> None:
        """Raise Fault if another sender's object must not be replaced; else report that it is replaced."""
        claim, context = self._claim, self._context
        other = None if existing.head is None or existing.head.token is None else existing.head.source
        fault = None
        if self._never_overwrite:
            fault = key_taken_unseen(claim, context) if existing.head is None else key_taken(claim, context)
        elif other is not None and other != context.bucket.source:
            if self._must_check:
                fault = key_of_another_source(claim, context, other)
            else:
                context.observer.on_foreign_overwrite(claim, context.destination.bucket, other)
        if fault is not None:
            await self.request.abandon()
            raise fault


def _is_first(claim: Claim) -> bool:
    """Return whether no earlier attempt is known: either the file is new, or the journal was lost.

    ``If-None-Match: *`` tells the two apart at no cost for a new file, and needs no permission but PutObject.
    """
    return claim.generation == 1 and claim.attempts == 0 and claim.multipart is None


def _may_be_completed(claim: Claim) -> bool:
    """Return whether the lost response may be that of CompleteMultipartUpload: then there is nothing to abort."""
    multipart = claim.multipart
    return claim.ambiguous and multipart is not None and multipart.sent == claim.fingerprint.size


def _too_large(claim: Claim, context: UploadContext) -> Fault:
    place = f"s3://{context.destination.bucket}/{printable(claim.key.encode())}"
    size = claim.fingerprint.size
    message = f"{printable(claim.path)}: {size:,} bytes for {place}; S3 accepts at most {MAX_OBJECT_BYTES:,}"
    return Fault(
        Diagnosis(FaultKind.FILE, "EntityTooLarge", message, advice="Split the file; if it is sparse, pack it.")
    )


def _refuses_conditions(fault: Fault) -> bool:
    """Return whether the store may have refused the request because of its condition."""
    diagnosis = fault.diagnosis
    if diagnosis.kind is FaultKind.UNSUPPORTED:
        return True
    return diagnosis.status in _UNSUPPORTED_STATUSES and _CONDITION_WORDS.search(diagnosis.message) is not None


def diagnosis_of(error: SourceError, path: bytes) -> Diagnosis:
    """Return the diagnosis of a local error, without the file's path, which is shown beside it."""
    message = str(error).removeprefix(f"{printable(path)}: ")
    return Diagnosis(FaultKind.LOCAL, type(error).__name__.removesuffix("Error"), message)
