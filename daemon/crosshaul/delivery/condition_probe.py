"""Find out, once per store, which conditions of writes it honours: If-None-Match and If-Match."""

from __future__ import annotations

from crosshaul.aws.conditional_writes import NEVER_TRUE, NEW, Condition
from crosshaul.delivery.multipart import MultipartUpload
from crosshaul.delivery.single_put import SinglePut
from crosshaul.delivery.upload_context import UploadContext
from crosshaul.errors import Fault, FaultKind
from crosshaul.model import LARGE, Claim, Receipt

MIN_HEAD_BYTES = LARGE
"""From this size on a HEAD costs less than a body that turns out to be in the bucket already."""
_REFUSAL_KINDS = frozenset({FaultKind.UNSUPPORTED, FaultKind.DESTINATION, FaultKind.FILE})
"""Faults of a store that does not support If-Match, or requires a permission for it that the role lacks."""


async def probe_conditions(
    request: SinglePut | MultipartUpload, claim: Claim, context: UploadContext, receipt: Receipt
) -> Receipt:
    """Once per store, send a small new file again with conditions that are false; return the receipt that holds now."""
    conditions = context.conditions
    if claim.fingerprint.size >= MIN_HEAD_BYTES or conditions.proving:
        return receipt
    conditions.proving = True
    try:
        if conditions.new_honoured is None:
            conditions.new_honoured, receipt = await _is_refused(request, context, NEW, receipt)
            if conditions.new_honoured is False:
                context.observer.on_conditions_ignored(context.destination.bucket)
        if conditions.match_honoured is None:
            conditions.match_honoured, receipt = await _is_refused(request, context, NEVER_TRUE, receipt)
    finally:
        conditions.proving = False
    return receipt


async def _is_refused(
    request: SinglePut | MultipartUpload, context: UploadContext, condition: Condition, receipt: Receipt
) -> tuple[bool | None, Receipt]:
    """Send the file with a false condition; return whether the store refused it, and the receipt that holds now."""
    if context.conditions.usable(condition) is None:
        return False, receipt
    try:
        return False, await request.send(condition)
    except Fault as fault:
        if fault.kind is FaultKind.EXISTS:
            return True, receipt
        return (False if condition != NEW and fault.kind in _REFUSAL_KINDS else None), receipt
