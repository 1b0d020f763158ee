"""Recognise what lies under a file's key: the file itself, other bytes under its token, or another object.

One answer for every place that asks: before a large file is sent, after a lost answer, and when a write was held off.
"""

from __future__ import annotations

from enum import Enum, auto
from functools import partial
from typing import NamedTuple

from crosshaul.delivery.part_body import work_through
from crosshaul.delivery.upload_context import UploadContext
from crosshaul.display import printable
from crosshaul.errors import Diagnosis, Fault, FaultKind
from crosshaul.files.claimed_file import open_claimed
from crosshaul.integrity.checksum import StreamingChecksum, combine
from crosshaul.integrity.verify import HeadResult, token_of
from crosshaul.model import Checksum, ChecksumKind, Claim, Receipt


class ObjectOwner(Enum):
    """Whose object it is that lies under the key."""

    UNKNOWN = auto()
    """Nothing is there, or S3 doesn't say: without ListBucket it says 403 to both."""
    OURS = auto()
    """An upload of exactly this state of the file, and nothing says that its bytes are others."""
    DAMAGED = auto()
    """It has our token and other bytes: the store garbled them, and they have to be sent again."""
    OTHER = auto()
    """An older state of the file, or something that is not ours at all."""


class ExistingObject(NamedTuple):
    """What HEAD showed."""

    whose: ObjectOwner
    held: HeadResult | None = None


async def find_existing_object(
    claim: Claim, context: UploadContext, *, expected: bool = False, sent: Checksum | None = None
) -> ExistingObject:
    """Ask what lies under the claim's key. Raises Fault, and SourceError where the file has to be read to tell.

    ``expected``: something is there, or may well be. ``sent``: the checksum of the whole, if it was just sent in parts.
    """
    with await context.slot(claim):
        held = await context.bucket.head_object(claim.key, expected=expected)
    if held is None:
        return ExistingObject(ObjectOwner.UNKNOWN)
    same_size = held.size == claim.fingerprint.size
    if held.token == token_of(claim):
        damaged = not same_size or not await _may_be(claim, held, context, sent)
        return ExistingObject(ObjectOwner.DAMAGED if damaged else ObjectOwner.OURS, held)
    if same_size and _named_by_content(claim, context) and await _equals(claim, context, held):
        return ExistingObject(
            ObjectOwner.OURS, held
        )  # the key is the hash of the bytes: whoever put them, they are this file's
    return ExistingObject(ObjectOwner.OTHER, held)


def receipt_of(held: HeadResult, context: UploadContext) -> Receipt:
    """The receipt for an object that was recognised as the file."""
    return Receipt(
        held.etag, held.size, context.clock.now(), held.checksum, version_id=held.version_id, proven_by="head"
    )


async def _may_be(claim: Claim, held: HeadResult, context: UploadContext, sent: Checksum | None) -> bool:
    """Whether nothing says that an object with our token holds other bytes: neither its checksum nor its MD5."""
    upload = claim.multipart
    finished = upload is not None and upload.sent == claim.fingerprint.size
    if sent is None and upload is not None and finished:
        sent = combine(upload.parts)
    if sent is not None:
        return sent.kind not in held.comparable_kinds or held.has_checksum(sent)
    if context.in_parts(claim) and claim.generation > 1 and not finished:
        return await _equals(claim, context, held)  # it goes again, perhaps since its bytes alone have changed
    if context.in_parts(claim) or not held.comparable_kinds:
        return True  # too much to read for an answer, and each part was checked when it was sent
    with await context.memory_for(claim).hold(claim.fingerprint.size) as memory:
        payload = await context.files.for_route(claim.route).read_file(
            claim, context.routes[claim.route], held.comparable_kinds, hashed=False, on_stuck=memory.end
        )
    return all(held.has_checksum(checksum) for checksum in payload.checksums)


def _named_by_content(claim: Claim, context: UploadContext) -> bool:
    return "{sha256}" in context.routes[claim.route].key


async def _equals(claim: Claim, context: UploadContext, held: HeadResult) -> bool:
    """Whether the object is proven to hold the file's bytes, which are read piece by piece."""
    if not held.comparable_kinds:
        return False
    return all(held.has_checksum(checksum) for checksum in await read_checksums(claim, context, held.comparable_kinds))


async def read_checksums(claim: Claim, context: UploadContext, kinds: tuple[ChecksumKind, ...]) -> tuple[Checksum, ...]:
    """Read the file piece by piece in its recorded state, and return its checksums. Raises SourceError."""
    running, reader = StreamingChecksum(kinds), context.files.for_route(claim.route)
    source = await reader.threads.run(claim, partial(open_claimed, claim, context.routes[claim.route]))
    try:
        await work_through(reader, claim, source, range(claim.fingerprint.size), (running,))
        await reader.threads.run(claim, source.unchanged)
    finally:
        reader.close_later(source)
    return running.checksums()


def taken(claim: Claim, context: UploadContext) -> Fault:
    """The fault of a file whose key is taken, on a route that overwrites nothing."""
    message = f"{printable(claim.path)}: {_place(claim, context)} is there already and is not this file"
    advice = "The route says `overwrite: never`: take the object away or rename the file, then `crosshaul retry`."
    return Fault(Diagnosis(FaultKind.EXISTS, "PreconditionFailed", message, "HeadObject", status=200, advice=advice))


def key_taken_unseen(claim: Claim, context: UploadContext) -> Fault:
    """The same where the role may not look: it may well be this file, whose answer was lost."""
    message = f"{printable(claim.path)}: {_place(claim, context)} is there already, and the role may not see what it is"
    advice = (
        "The route says `overwrite: never`: have the role allowed `s3:GetObject`, which tells whether it is this file, "
        "or rename the file; then `crosshaul retry`."
    )
    return Fault(Diagnosis(FaultKind.EXISTS, "PreconditionFailed", message, status=412, advice=advice))


def key_of_another_source(claim: Claim, context: UploadContext, source: str) -> Fault:
    """The fault of a file that would be deleted or moved here, and whose key another source writes to."""
    message = (
        f"{printable(claim.path)}: {_place(claim, context)} was put by source {source}, not by {context.bucket.source}"
    )
    advice = (
        "Two senders share this key, and this route does not keep its files: give one of them another `key_prefix`, "
        f"or set `source: {source}` if this one takes the other's place; then `crosshaul retry`."
    )
    return Fault(Diagnosis(FaultKind.FILE, "KeyOfAnotherSource", message, "HeadObject", status=200, advice=advice))


def _place(claim: Claim, context: UploadContext) -> str:
    return f"s3://{context.destination.bucket}/{printable(claim.key.encode())}"
