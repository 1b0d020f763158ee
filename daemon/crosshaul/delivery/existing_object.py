"""Find the object under a file's key, and decide whose it is: the file itself, damaged bytes, or another object.

The same decision is made before a large file is sent, after a lost response, and when a conditional write fails.
"""

from __future__ import annotations

from enum import Enum, auto
from functools import partial
from typing import NamedTuple

from crosshaul.delivery.part_body import feed_checksums
from crosshaul.delivery.upload_context import UploadContext
from crosshaul.display import printable
from crosshaul.errors import Diagnosis, Fault, FaultKind
from crosshaul.files.claimed_file import open_claimed
from crosshaul.integrity.checksum import StreamingChecksum, combine
from crosshaul.integrity.verify import HeadResult, token_of
from crosshaul.model import Checksum, ChecksumKind, Claim, Receipt


class ObjectOwner(Enum):
    """The owner of the object under the key."""

    UNKNOWN = auto()
    """There is no object, or S3 doesn't say: without ListBucket it responds with 403 in both cases."""
    OURS = auto()
    """An upload of exactly this state of the file, and nothing says that its bytes differ."""
    DAMAGED = auto()
    """An upload with our token and other bytes: the store corrupted them, and the file has to be sent again."""
    OTHER = auto()
    """An older state of the file, or an object of another sender."""


class ExistingObject(NamedTuple):
    """The object under a key; ``head`` is None if S3 showed none."""

    owner: ObjectOwner
    head: HeadResult | None = None


async def find_existing_object(
    claim: Claim, context: UploadContext, *, expected: bool = False, sent: Checksum | None = None
) -> ExistingObject:
    """Send HEAD for the claim's key. Raises Fault, and SourceError if the file has to be read to decide.

    ``expected``: an object exists or may exist. ``sent``: the checksum of the whole file, if all parts were just sent.
    """
    with await context.slot(claim):
        head = await context.bucket.head_object(claim.key, expected=expected)
    if head is None:
        return ExistingObject(ObjectOwner.UNKNOWN)
    same_size = head.size == claim.fingerprint.size
    if head.token == token_of(claim):
        damaged = not same_size or not await _may_be_equal(claim, head, context, sent)
        return ExistingObject(ObjectOwner.DAMAGED if damaged else ObjectOwner.OURS, head)
    if same_size and _is_key_a_hash(claim, context) and await _is_equal(claim, context, head):
        return ExistingObject(ObjectOwner.OURS, head)  # any sender's upload of these bytes is this file's
    return ExistingObject(ObjectOwner.OTHER, head)


def receipt_from_head(head: HeadResult, context: UploadContext) -> Receipt:
    """Return the receipt for an existing object that is the file."""
    now = context.clock.now()
    return Receipt(head.etag, head.size, now, head.checksum, version_id=head.version_id, proven_by="head")


async def _may_be_equal(claim: Claim, head: HeadResult, context: UploadContext, sent: Checksum | None) -> bool:
    """Return False if the checksum or MD5 of an object with our token contradicts the file's bytes."""
    upload = claim.multipart
    finished = upload is not None and upload.sent == claim.fingerprint.size
    if sent is None and upload is not None and finished:
        sent = combine(upload.parts)
    if sent is not None:
        return sent.kind not in head.comparable_kinds or head.has_checksum(sent)
    if context.in_parts(claim) and claim.generation > 1 and not finished:
        return await _is_equal(claim, context, head)  # perhaps only its bytes have changed since the last upload
    if context.in_parts(claim) or not head.comparable_kinds:
        return True  # too much to read for a comparison, and each part was verified when it was sent
    with await context.memory_for(claim).hold(claim.fingerprint.size) as memory:
        payload = await context.files.for_route(claim.route).read_file(
            claim, context.routes[claim.route], head.comparable_kinds, hashed=False, on_stuck=memory.end
        )
    return all(head.has_checksum(checksum) for checksum in payload.checksums)


def _is_key_a_hash(claim: Claim, context: UploadContext) -> bool:
    return "{sha256}" in context.routes[claim.route].key


async def _is_equal(claim: Claim, context: UploadContext, head: HeadResult) -> bool:
    """Return whether checksums prove that the object has the file's bytes."""
    if not head.comparable_kinds:
        return False
    checksums = await read_checksums(claim, context, head.comparable_kinds)
    return all(head.has_checksum(checksum) for checksum in checksums)


async def read_checksums(claim: Claim, context: UploadContext, kinds: tuple[ChecksumKind, ...]) -> tuple[Checksum, ...]:
    """Read the file in its recorded state, chunk by chunk, and return its checksums. Raises SourceError."""
    running, reader = StreamingChecksum(kinds), context.files.for_route(claim.route)
    source = await reader.threads.run(claim, partial(open_claimed, claim, context.routes[claim.route]))
    try:
        await feed_checksums(reader, claim, source, range(claim.fingerprint.size), (running,))
        await reader.threads.run(claim, source.unchanged)
    finally:
        reader.close_later(source)
    return running.checksums()


def key_taken(claim: Claim, context: UploadContext) -> Fault:
    """Return the fault of a file whose key has another object, on a route with ``overwrite: never``."""
    message = f"{printable(claim.path)}: {_object_url(claim, context)} exists already and is not this file"
    advice = "The route says `overwrite: never`: delete the object or rename the file, then run `crosshaul retry`."
    return Fault(Diagnosis(FaultKind.EXISTS, "PreconditionFailed", message, "HeadObject", status=200, advice=advice))


def key_taken_unseen(claim: Claim, context: UploadContext) -> Fault:
    """Return the same fault for a role that may not read the object: it may be this file, whose response was lost."""
    message = f"{printable(claim.path)}: {_object_url(claim, context)} exists already, and the role may not read it"
    advice = (
        "The route says `overwrite: never`: allow the role `s3:GetObject`, so that Crosshaul can compare the object "
        "with the file, or rename the file; then run `crosshaul retry`."
    )
    return Fault(Diagnosis(FaultKind.EXISTS, "PreconditionFailed", message, status=412, advice=advice))


def key_of_another_source(claim: Claim, context: UploadContext, source: str) -> Fault:
    """Return the fault of a file that is to be deleted or moved here and whose key another sender writes to."""
    ours = context.bucket.source
    message = f"{printable(claim.path)}: {_object_url(claim, context)} was uploaded by source {source}, not by {ours}"
    advice = (
        "Two senders share this key, and this route does not keep its files: give one of them another `key_prefix`, "
        f"or set `source: {source}` if this sender replaces that one; then run `crosshaul retry`."
    )
    return Fault(Diagnosis(FaultKind.FILE, "KeyOfAnotherSource", message, "HeadObject", status=200, advice=advice))


def _object_url(claim: Claim, context: UploadContext) -> str:
    return f"s3://{context.destination.bucket}/{printable(claim.key.encode())}"
