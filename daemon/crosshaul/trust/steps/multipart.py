"""Step ``multipart``: a multipart upload, and the permissions around it."""

from __future__ import annotations

import time

from crosshaul.errors import Fault
from crosshaul.integrity.checksum import Payload
from crosshaul.model import Checksum, ChecksumKind, Multipart, Part
from crosshaul.trust.findings import Finding, Outcome
from crosshaul.trust.steps.context import CONTENT, DENIED, TOKEN, CheckContext

_NO_UPLOAD = frozenset({"NoSuchUpload", "404"})


async def multipart(context: CheckContext) -> list[Finding]:
    """Complete an upload of one part, which needs kms:Decrypt with KMS, and test AbortMultipartUpload and ListParts."""
    bucket, kind = context.bucket, context.checksum_kind
    upload_id = await bucket.create_multipart_upload(context.key, time.time_ns(), TOKEN, kind)
    payload = Payload.of(CONTENT, (kind,), hashed=await bucket.needs_hash())
    result = await bucket.upload_part(context.key, upload_id, 1, payload)
    part = Part(1, len(CONTENT), result.etag, payload.checksums[0])
    whole: Checksum | None = None if kind is ChecksumKind.MD5 else payload.checksums[0]
    completed = Multipart(upload_id, context.key, len(CONTENT), kind, (part,))
    await bucket.complete_multipart_upload(completed, whole, size=len(CONTENT), condition=None)
    passed = Finding("multipart", Outcome.PASS, "a multipart upload was created and completed")
    return [passed, await _abort(context, completed), await _list_parts(context, completed)]


async def _abort(context: CheckContext, completed: Multipart) -> Finding:
    """Test AbortMultipartUpload with a completed upload, so that the check leaves no upload behind."""
    try:
        await context.bucket.abort_multipart_upload(completed.key, completed.upload_id)
    except Fault as fault:
        if fault.diagnosis.code in DENIED:
            message = "AbortMultipartUpload is denied; add a lifecycle rule that removes incomplete multipart uploads"
            return Finding("multipart", Outcome.WARN, message, details={"abort_allowed": False})
        if fault.diagnosis.code not in _NO_UPLOAD:
            message = "the test of AbortMultipartUpload failed"
            return Finding("multipart", Outcome.WARN, message, fault.diagnosis)
    return Finding("multipart", Outcome.PASS, "AbortMultipartUpload is allowed", details={"abort_allowed": True})


async def _list_parts(context: CheckContext, completed: Multipart) -> Finding:
    allowed = await context.bucket.may("list_parts", completed.key, UploadId=completed.upload_id)
    message = f"ListParts is {'allowed' if allowed else 'denied'}; it is not needed"
    return Finding("multipart", Outcome.PASS, message, details={"list_parts_allowed": allowed})
