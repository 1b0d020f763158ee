"""Steps ``upload`` and ``download``: one small object, written and read back."""

from __future__ import annotations

import time

from crosshaul.aws.conditional_writes import NEW, Condition
from crosshaul.errors import Diagnosis, Fault, FaultKind
from crosshaul.integrity.checksum import Payload
from crosshaul.integrity.negotiation import ChecksumNegotiator
from crosshaul.integrity.verify import HeadResult, UploadResult
from crosshaul.trust.findings import Finding, Outcome
from crosshaul.trust.steps.context import CONTENT, TOKEN, CheckContext

_MAX_KEYS = 8


async def upload(context: CheckContext) -> list[Finding]:
    """Put the object under a key that is free or a check's, with the best checksum that the store supports."""
    for context.key_number in range(_MAX_KEYS):
        head = await _head(context)
        if head is not None and head.token != TOKEN:
            continue
        try:
            result = context.upload_result = await _put(context, NEW if head is None else None)
            break
        except Fault as fault:
            if fault.kind is not FaultKind.EXISTS:
                raise  # otherwise the key has an object that the role may not read
    else:
        message = f"{context.key} and {_MAX_KEYS - 1} similar keys have objects of other programs; delete one of them"
        raise Fault(Diagnosis(FaultKind.EXISTS, "PreconditionFailed", message, "PutObject"))
    details = {"key": context.key, "etag": result.etag, "request_id": result.request_id}
    return [Finding("upload", Outcome.PASS, "validated Upload : true", details=details)]


async def _head(context: CheckContext) -> HeadResult | None:
    """Return the object under the key if it is visible. An error is left to the upload, which describes it better."""
    try:
        return await context.bucket.head_object(context.key)
    except Fault:
        return None


async def _put(context: CheckContext, condition: Condition | None) -> UploadResult:
    negotiator = ChecksumNegotiator()
    while True:
        kind = negotiator.preferred
        payload = Payload.of(CONTENT, negotiator.kinds(), hashed=await context.bucket.needs_hash())
        try:
            return await context.bucket.put_object(context.key, payload, time.time_ns(), TOKEN, condition=condition)
        except Fault as fault:
            if fault.kind is not FaultKind.UNSUPPORTED:
                raise
            if condition is not None:
                condition = None  # try without the condition first, then with other checksums
            elif not negotiator.record_refusal(kind):
                raise


async def download(context: CheckContext) -> list[Finding]:
    """Read the object back, and compare its bytes."""
    content = await context.bucket.get_range(context.key, 0, len(CONTENT) - 1)
    if content != CONTENT:
        message = f"bytes 0-{len(CONTENT) - 1} came back as {content!r}"
        raise Fault(Diagnosis(FaultKind.CORRUPT, "ContentMismatch", message, "GetObject", status=206))
    return [Finding("download", Outcome.PASS, "validated Download : true", details={"content": content.decode()})]
