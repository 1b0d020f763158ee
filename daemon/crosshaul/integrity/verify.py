"""Prove uploads: compare the checksums that were sent with what S3 returned. Pure."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import NamedTuple

from crosshaul.errors import Diagnosis, Fault, FaultKind
from crosshaul.integrity.checksum import md5_hex
from crosshaul.model import AfterTask, Checksum, ChecksumKind, Claim, Receipt

_MAX_SHOWN_CHARS = 100
_PLAIN_MD5 = re.compile(r"[0-9a-f]{32}")


class UploadResult(NamedTuple):
    """S3's response to the upload of an object or a part."""

    etag: str
    checksum: Checksum | None = None
    version_id: str | None = None
    request_id: str | None = None
    encrypted_by_kms: bool = False
    """If so, the ETag is not an MD5 (S3 API Reference, common response headers, ETag)."""


@dataclass(frozen=True, slots=True)
class HeadResult:
    """The object under a key, as HEAD describes it."""

    size: int
    token: str | None
    etag: str
    checksum: Checksum | None = None
    version_id: str | None = None
    encrypted_by_kms: bool = False
    source: str | None = None
    """The sender's ``source_name``, if the object's metadata contain one."""

    @property
    def comparable_kinds(self) -> tuple[ChecksumKind, ...]:
        """The kinds of checksum that can be compared with the object; MD5 if its ETag is one."""
        kinds = (self.checksum.kind,) if self.checksum is not None else ()
        plain = not self.encrypted_by_kms and _PLAIN_MD5.fullmatch(self.etag)
        return (*kinds, ChecksumKind.MD5) if plain else kinds

    def has_checksum(self, whole: Checksum) -> bool:
        """Return whether the object's bytes have this checksum, whose kind is one of ``comparable_kinds``."""
        if whole.kind is ChecksumKind.MD5:
            return md5_hex(whole) == self.etag
        return whole == self.checksum


def token_of(claim: Claim | AfterTask) -> str:
    """Return the token that an upload of this file in this state carries in its object's metadata.

    The token is derived from the file, not random: a daemon that lost its journal still recognizes its uploads.
    """
    print_ = claim.fingerprint
    state = f"{print_.size}\0{print_.mtime_ns}\0{print_.ctime_ns}\0{print_.inode}\0{claim.key}\0"
    return hashlib.blake2b(state.encode() + claim.path, digest_size=16).hexdigest()


def matches_receipt(receipt: Receipt, head: HeadResult) -> bool:
    """Return whether an object is the one that the receipt describes, or has the same bytes."""
    if head.size != receipt.size:
        return False
    proof = receipt.checksum
    if head.etag == receipt.etag:
        return True
    return proof is not None and proof.kind in head.comparable_kinds and head.has_checksum(proof)


def whole_checksum(receipt: Receipt) -> Checksum | None:
    """Return the receipt's checksum if it covers all bytes; None if it is made of the parts' checksums."""
    proof = receipt.checksum
    return proof if proof is not None and proof.value and "-" not in proof.value else None


def receipt_for(size: int, result: UploadResult, now: float) -> Receipt:
    """Return the receipt for a successful upload of ``size`` bytes."""
    return Receipt(result.etag, size, now, result.checksum, result.version_id, result.request_id)


def verify_upload(operation: str, sent: tuple[Checksum, ...], result: UploadResult) -> None:
    """Compare an upload's result with the checksums that were sent. Raises Fault(CORRUPT) if they contradict.

    The ETag counts only if the result has no checksum: it is the MD5 in most cases, not in all (S3 API Reference,
    Object, ETag).
    """
    returned = result.checksum
    if returned is not None and (same := _of_kind(returned.kind, sent)) is not None:
        _require_equal(operation, same.value, returned.value)
        return
    md5 = _of_kind(ChecksumKind.MD5, sent)
    if md5 is None and sent:
        # Without MD5, the store is known to echo the checksum: this response may come from something else.
        message = "the response lacks the checksum that this store returns (is there a proxy?)"
        raise Fault(Diagnosis(FaultKind.NETWORK, "UnexpectedResponse", message, operation, status=200, ambiguous=True))
    if md5 is not None and not result.encrypted_by_kms and _PLAIN_MD5.fullmatch(result.etag):
        _require_equal(operation, md5_hex(md5), result.etag)


def proves_storage(sent: tuple[Checksum, ...], result: UploadResult) -> bool:
    """Return whether a verified result can only come from a store that has the bytes.

    Such a result echoes a checksum, has their MD5 as its ETag, or says in AWS's headers why it does not. Any web server
    can send a 200 with an ETag of its own.
    """
    if result.checksum is not None and _of_kind(result.checksum.kind, sent) is not None:
        return True
    is_md5 = _of_kind(ChecksumKind.MD5, sent) is not None and _PLAIN_MD5.fullmatch(result.etag) is not None
    return is_md5 or result.encrypted_by_kms


def _of_kind(kind: ChecksumKind, sent: tuple[Checksum, ...]) -> Checksum | None:
    for checksum in sent:
        if checksum.kind is kind:
            return checksum
    return None


def _require_equal(operation: str, sent: str, returned: str) -> None:
    if sent != returned:
        message = f"S3 holds other bytes than were sent (checksum {returned[:_MAX_SHOWN_CHARS]}, sent {sent})"
        raise Fault(Diagnosis(FaultKind.CORRUPT, "ChecksumMismatch", message, operation, status=200))
