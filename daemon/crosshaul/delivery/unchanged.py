"""Read a delivered file again instead of sending it, where only its ctime changed (chmod, hard links, attributes).

Its receipt stands if its bytes are still those of the receipt's checksum and nothing else lies under its key. The
journal keeps such a receipt only while nothing was sent to the key since (``kept_receipt_at``).
"""

from __future__ import annotations

from crosshaul.delivery.existing_object import read_checksums
from crosshaul.delivery.upload_context import UploadContext
from crosshaul.integrity.verify import matches_receipt, whole_checksum
from crosshaul.model import Claim, Receipt


async def receipt_stands(claim: Claim, receipt: Receipt, context: UploadContext) -> bool:
    """Return whether ``receipt`` is the file's still; if not, the journal has forgotten it, and the file may be sent.

    Raises Fault and SourceError: then nothing is known, and the receipt is kept.
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
        held = await context.bucket.head_object(claim.key, expected=True)
    # Nothing to be seen is no objection: partners may take objects away, and the role may lack GetObject.
    if held is not None and not matches_receipt(receipt, held):
        return False
    return await read_checksums(claim, context, (proof.kind,)) == (proof,)
