"""Step ``store``: which requested features the store supports."""

from __future__ import annotations

import secrets
import time

from crosshaul.aws.conditional_writes import NEW
from crosshaul.config import Destination
from crosshaul.errors import Fault, FaultKind
from crosshaul.integrity.checksum import Payload
from crosshaul.trust.findings import Finding, Outcome
from crosshaul.trust.steps.context import CONTENT, TOKEN, CheckContext

_NOT_FOUND = 404


async def store(context: CheckContext) -> list[Finding]:
    """Test checksums, encryption, conditional writes, owner and ACL, and the response to a missing key."""
    assert context.upload_result is not None  # noqa: S101 - the upload passed
    checksum = context.upload_result.checksum
    message = f"the store verifies {checksum.kind}" if checksum else "the store verifies no checksum but Content-MD5"
    details = {"checksum": str(checksum.kind) if checksum else None}
    return [
        Finding("store", Outcome.PASS, message, details=details),
        await _encryption(context),
        await _conditional_write(context),
        *_owner_and_acl(context.destination),
        await _missing_key(context),
    ]


async def _encryption(context: CheckContext) -> Finding:
    requested = context.destination
    mode, key = await context.bucket.encryption_of(context.key)
    details = {"encryption": mode, "kms_key": key}
    if requested.server_side_encryption not in {None, mode} or requested.ssekms_key_id not in {None, key}:
        wanted = " with ".join(filter(None, (requested.server_side_encryption, requested.ssekms_key_id)))
        message = f"{wanted} was requested, but the object is encrypted with {mode or 'nothing'} {key or ''}"
        return Finding("store", Outcome.WARN, message.rstrip(), details=details)
    message = f"encrypted with {mode}" if mode else "the store reports no encryption"
    return Finding("store", Outcome.PASS, message + (f" and {key}" if key else ""), details=details)


async def _conditional_write(context: CheckContext) -> Finding:
    """Test whether If-None-Match prevents a write to the existing object of the check."""
    payload = Payload.of(CONTENT, (context.checksum_kind,), hashed=await context.bucket.needs_hash())
    try:
        await context.bucket.put_object(context.key, payload, time.time_ns(), TOKEN, condition=NEW)
    except Fault as fault:
        if fault.kind is FaultKind.EXISTS:
            message = "If-None-Match is supported: `overwrite: never` is safe with concurrent writers"
            return Finding("store", Outcome.PASS, message, details={"conditions": True})
        if fault.kind is not FaultKind.UNSUPPORTED:
            return Finding("store", Outcome.WARN, "the test of If-None-Match failed", fault.diagnosis)
    message = (
        "If-None-Match is not supported: `overwrite: never`, `delete` and `move` send a HEAD before each file, and "
        "do not detect a concurrent writer"
    )
    return Finding("store", Outcome.WARN, message, details={"conditions": False})


def _owner_and_acl(destination: Destination) -> list[Finding]:
    owner = destination.expected_bucket_owner
    if owner is None:
        message = "the owner of the bucket is not verified; set `expected_bucket_owner`"
        findings = [Finding("store", Outcome.WARN, message)]
    else:
        message = f"the bucket belongs to account {owner}, as expected"
        findings = [Finding("store", Outcome.PASS, message, details={"expected_bucket_owner": owner})]
    acl = destination.acl
    return [*findings, *([Finding("store", Outcome.PASS, f"the ACL {acl} was accepted")] if acl else [])]


async def _missing_key(context: CheckContext) -> Finding:
    status = await context.bucket.status_of(f"{context.key}-{secrets.token_hex(8)}")
    message = "a missing key is reported as missing (s3:ListBucket)"
    if status != _NOT_FOUND:
        message = "a missing key is reported as forbidden, as without s3:ListBucket; uploads are identified by a token"
    return Finding("store", Outcome.PASS, message, details={"missing_key_status": status})
