"""One claim's way into the bucket: what lies under its key is respected, then the file is sent and proven.

The file is read from one descriptor and held against its recorded fingerprint before, during and after: what is sent is
one state that the file really had. Bytes are in memory only while they are sent, under a budget.
"""

from __future__ import annotations

import re
from http import HTTPStatus

from crosshaul.aws.conditional_writes import NEVER_TRUE, NEW, Condition
from crosshaul.delivery.existing_object import (
    ExistingObject,
    ObjectOwner,
    find_existing_object,
    key_of_another_source,
    key_taken_unseen,
    receipt_of,
    taken,
)
from crosshaul.delivery.multipart import LARGEST_OBJECT, MultipartUpload
from crosshaul.delivery.single_put import SinglePut
from crosshaul.delivery.upload_context import UploadContext
from crosshaul.display import printable
from crosshaul.errors import Diagnosis, Fault, FaultKind, FileChangedError, FileGoneError, SourceError
from crosshaul.model import LARGE, Claim, Receipt

_ASK_FROM = LARGE
"""Bytes from which a HEAD costs less than a body that turns out to be in the bucket already."""
_TURNS = 4
"""How often a file is sent on another condition in one try, when others write to its key meanwhile."""
_SENDS = frozenset({"PutObject", "CompleteMultipartUpload"})
_OF_CONDITIONS = re.compile(r"if-(none-)?match|condition", re.IGNORECASE)
_NOT_THERE = frozenset({"NoSuchKey", "404", "AccessDenied", "403"})
_REFUSES_OPTIONS = frozenset({400, 501})
_SAYS_NO = frozenset({FaultKind.UNSUPPORTED, FaultKind.DESTINATION, FaultKind.FILE})
"""What a store without If-Match answers to it, or one that asks for a right which the role lacks."""


async def deliver(claim: Claim, context: UploadContext) -> Receipt:
    """Bring the claim's file into the bucket; raises Fault or SourceError."""
    if claim.fingerprint.size > LARGEST_OBJECT:
        raise _too_large(claim, context)
    delivery = _Attempt(claim, context)
    if claim.never_settled and context.rewritten.paused(claim, context.clock.monotonic()):
        raise FileChangedError("it is rewritten whenever it is read")
    try:
        receipt = await delivery.run()
    except (FileChangedError, FileGoneError):
        await delivery.upload.abandon()
        if claim.never_settled:
            context.observer.never_at_rest(claim, context.rewritten.failed(claim, context.clock.monotonic()))
        raise
    if claim.never_settled:
        context.rewritten.succeeded(claim)
    return receipt


class _Attempt:
    """One try of one file."""

    __slots__ = ("_careful", "_claim", "_context", "_denied", "_in_parts", "_last", "_never", "upload")

    def __init__(self, claim: Claim, context: UploadContext) -> None:
        route = context.routes[claim.route]
        self._claim = claim
        self._context = context
        self._never = route.overwrite == "never"
        self._careful = self._never or route.after_upload.action != "keep"
        """Whether an object that is there has to be seen before it is replaced."""
        previous = claim.previous
        self._last = Condition(previous.etag) if previous is not None and previous.etag else None
        """That the object is still the one that we put there last, if we did."""
        self._denied: Condition | None = None
        """What the role was refused: it may lack GetObject, or there is nothing."""
        self._in_parts = context.in_parts(claim)
        self.upload = MultipartUpload(claim, context) if self._in_parts else SinglePut(claim, context)

    async def run(self) -> Receipt:
        """Ask if need be, send, and take another way where the bucket holds something else than was thought."""
        condition: Condition | None = self._expected()
        unheld = self._careful and not self._context.conditions.holds(in_parts=self._in_parts)
        if unheld or self._asks():
            found = await self._look(condition, expected=self._claim.ambiguous)
            if isinstance(found, Receipt):
                return found
            condition = found
        if unheld and self._in_parts:
            await self.upload.prepare()  # it may have taken hours, and nothing but HEAD tells
            found = await self._look(condition)
            if isinstance(found, Receipt):
                return found
            condition = found
        return await self._send(condition)

    def _expected(self) -> Condition:
        """What should be true of the key: then an older request of ours that comes late fails by itself."""
        if self._never or self._last is None or self._context.conditions.taken_away:
            return NEW
        return self._last

    def _asks(self) -> bool:
        """Whether an object is likely enough to be there, or a body long enough, to ask first."""
        claim = self._claim
        if claim.ambiguous:
            return True
        return claim.fingerprint.size >= _ASK_FROM and (self._never or _is_first(claim))

    async def _send(self, condition: Condition | None) -> Receipt:
        for turn in range(1, _TURNS + 1):
            condition = self._context.conditions.usable(condition)
            try:
                receipt = await self.upload.send(condition)
            except Fault as fault:
                if condition is None or fault.diagnosis.operation not in _SENDS:
                    raise
                found = await self._otherwise(fault, condition)
            else:
                if condition == NEW and self._last is not None:
                    self._context.conditions.taken_away = True
                return await self._tested(receipt) if self._careful and condition == NEW else receipt
            if isinstance(found, Receipt):
                return found
            # Who shares a key with others for good, and is told to overwrite, gets through in the end.
            condition = found if self._never or turn < _TURNS - 1 else None
        raise taken(self._claim, self._context)

    async def _otherwise(self, fault: Fault, condition: Condition) -> Receipt | Condition | None:
        """On what condition to send it again, if that is what stood in the way; or the receipt, if it is there."""
        conditions = self._context.conditions
        if fault.kind is FaultKind.EXISTS:
            if condition == NEW:
                conditions.seen(fault.diagnosis.operation)
                if conditions.taken_away and self._last is not None and not self._never:
                    conditions.taken_away = False  # not this one
                    return self._last
                if self._denied:
                    conditions.refuse(self._denied)  # it is there, and the role may not say which one it is to be
            return await self._look(None, expected=True, there=True)
        if condition != NEW and fault.diagnosis.code in _NOT_THERE:
            self._denied = condition if fault.diagnosis.status == HTTPStatus.FORBIDDEN else None
            return NEW  # the partner takes objects away; or, without ListBucket or GetObject, S3 does not say
        if _refuses_conditions(fault):
            conditions.refuse(condition)
            return await self._look(None) if self._never else None
        raise fault

    async def _look(
        self, otherwise: Condition | None, *, expected: bool = False, there: bool = False
    ) -> Receipt | Condition | None:
        """Ask for what lies under the key. Gives the receipt, if it is the file; or on what condition to send it.

        Raises Fault where it has to be left alone. ``there``: something is, whatever HEAD says.
        """
        claim, context = self._claim, self._context
        seen = await find_existing_object(claim, context, expected=expected, sent=self.upload.whole)
        if seen.held is None and not (there and self._never):
            return otherwise
        if seen.whose is ObjectOwner.OURS and seen.held is not None:
            if not _may_be_completed(claim):
                await self.upload.abandon()
            return receipt_of(seen.held, context)
        if seen.whose is not ObjectOwner.DAMAGED:
            await self._respect(seen)
        return Condition(seen.held.etag) if seen.held is not None and seen.held.etag else None

    async def _respect(self, seen: ExistingObject) -> None:
        """Leave another's object alone, where we are to; else tell that it is replaced."""
        claim, context = self._claim, self._context
        other = None if seen.held is None or seen.held.token is None else seen.held.source
        fault = None
        if self._never:
            fault = key_taken_unseen(claim, context) if seen.held is None else taken(claim, context)
        elif other is not None and other != context.bucket.source:
            if self._careful:
                fault = key_of_another_source(claim, context, other)
            else:
                context.observer.overwrites_another(claim, context.destination.bucket, other)
        if fault is not None:
            await self.upload.abandon()
            raise fault

    async def _tested(self, receipt: Receipt) -> Receipt:
        """The receipt; once for a store, send a new small file again to see which conditions are kept."""
        conditions = self._context.conditions
        if self._claim.fingerprint.size >= _ASK_FROM or conditions.proving:
            return receipt
        conditions.proving = True
        try:
            if conditions.new_honoured is None:
                conditions.new_honoured, receipt = await self._try_against(NEW, receipt)
                if conditions.new_honoured is False:
                    self._context.observer.conditions_ignored(self._context.destination.bucket)
            if conditions.match_honoured is None:
                conditions.match_honoured, receipt = await self._try_against(NEVER_TRUE, receipt)
        finally:
            conditions.proving = False
        return receipt

    async def _try_against(self, condition: Condition, receipt: Receipt) -> tuple[bool | None, Receipt]:
        """Send it on a condition that is not true: whether that was held off, and the receipt that holds now."""
        if self._context.conditions.usable(condition) is None:
            return False, receipt
        try:
            return False, await self.upload.send(condition)
        except Fault as fault:
            if fault.kind is FaultKind.EXISTS:
                return True, receipt
            return (False if condition != NEW and fault.kind in _SAYS_NO else None), receipt


def _is_first(claim: Claim) -> bool:
    """Whether nothing is known of an earlier try: then the file is new, or the journal is, and must not send all again.

    ``If-None-Match: *`` tells the two apart at no cost for a new file, and needs no right but PutObject.
    """
    return claim.generation == 1 and claim.attempts == 0 and claim.multipart is None


def _may_be_completed(claim: Claim) -> bool:
    """Whether the answer that was lost may have been that of completing the upload: then there is nothing to abort."""
    multipart = claim.multipart
    return claim.ambiguous and multipart is not None and multipart.sent == claim.fingerprint.size


def _too_large(claim: Claim, context: UploadContext) -> Fault:
    place = f"s3://{context.destination.bucket}/{printable(claim.key.encode())}"
    message = f"{printable(claim.path)}: {claim.fingerprint.size:,} bytes for {place}, and S3 takes {LARGEST_OBJECT:,}"
    return Fault(
        Diagnosis(FaultKind.FILE, "EntityTooLarge", message, advice="Split the file; if it is sparse, pack it.")
    )


def _refuses_conditions(fault: Fault) -> bool:
    """Whether the store may have refused the request for its condition alone."""
    said = fault.diagnosis
    if said.kind is FaultKind.UNSUPPORTED:
        return True
    return said.status in _REFUSES_OPTIONS and _OF_CONDITIONS.search(said.message) is not None


def of_source(error: SourceError, path: bytes) -> Diagnosis:
    """A local trouble in the words of a diagnosis, which is shown beside its file's path."""
    message = str(error).removeprefix(f"{printable(path)}: ")
    return Diagnosis(FaultKind.LOCAL, type(error).__name__.removesuffix("Error"), message)
