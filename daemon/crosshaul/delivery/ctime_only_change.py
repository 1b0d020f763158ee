"""Read a delivered file again instead of sending it, if only its ctime changed (chmod, hard links, attributes).

Its receipt stands if the bytes still have the receipt's checksum and no other object lies under its key. The journal
keeps such a receipt only until something is sent to the key (``kept_receipt_at``).
"""

from __future__ import annotations

from crosshaul.delivery.existing_object import read_checksums
from crosshaul.delivery.upload_context import UploadContext
from crosshaul.integrity.verify import matches_receipt, whole_checksum
from crosshaul.model import Claim, Receipt


async def receipt_stands(claim: Claim, receipt: Receipt, context: UploadContext) -> bool:
    """Return whether ``receipt`` still describes the file; if not, the journal drops it, and the file may be sent.

    Raises Fault and SourceError if that can't be determined; the receipt is kept then.
    """
    if await _is_delivered(claim, receipt, context):
        return True
    await context.journal.drop_kept_receipt(claim)
    return False


async def _is_delivered(claim: Claim, receipt: Receipt, context: UploadContext) -> bool:
    proof = whole_checksum(receipt)
    if proof is None or claim.never_settled or receipt.size != claim.fingerprint.size:
        return False
    with await context.slot(claim):
        head = await context.bucket.head_object(claim.key, expected=True)
    # A missing object is no contradiction: partners may remove objects, and the role may lack GetObject.
    if head is not None and not matches_receipt(receipt, head):
        return False
    return await read_checksums(claim, context, (proof.kind,)) == (proof,)
