"""What was sent against what S3 says. Pure: the proof behind the word "delivered"."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import NamedTuple

from crosshaul.errors import Diagnosis, Fault, FaultKind
from crosshaul.integrity.checksum import md5_hex
from crosshaul.model import AfterTask, Checksum, ChecksumKind, Claim, Receipt

_LADDER = (ChecksumKind.CRC64NVME, ChecksumKind.CRC32, ChecksumKind.MD5)
_LONGEST_SHOWN = 100
_PLAIN_MD5 = re.compile(r"[0-9a-f]{32}")


class UploadResult(NamedTuple):
    """What S3 answered to an upload of an object or part."""

    etag: str
    checksum: Checksum | None = None
    version_id: str | None = None
    request_id: str | None = None
    encrypted_by_kms: bool = False
    """Then the ETag is no MD5 (AWS: Common response headers, ETag)."""


@dataclass(frozen=True, slots=True)
class HeadResult:
    """What HEAD says lies under a key."""

    size: int
    token: str | None
    etag: str
    checksum: Checksum | None = None
    version_id: str | None = None
    encrypted_by_kms: bool = False
    source: str | None = None
    """Who put it, where its metadata say so."""

    @property
    def comparable(self) -> tuple[ChecksumKind, ...]:
        """The kinds of checksum that tell whether it holds given bytes; its ETag is an MD5 in most cases."""
        kinds = (self.checksum.kind,) if self.checksum is not None else ()
        plain = not self.encrypted_by_kms and _PLAIN_MD5.fullmatch(self.etag)
        return (*kinds, ChecksumKind.MD5) if plain else kinds

    def holds(self, whole: Checksum) -> bool:
        """Whether it holds the bytes that have this checksum, of a kind that is comparable."""
        if whole.kind is ChecksumKind.MD5:
            return md5_hex(whole) == self.etag
        return whole == self.checksum


def token_of(claim: Claim | AfterTask) -> str:
    """The mark that an upload of exactly this state of this file carries in its metadata.

    Made from the file and not drawn by lot, so that a daemon that lost its journal can still recognise its uploads.
    """
    print_ = claim.fingerprint
    facts = f"{print_.size}\0{print_.mtime_ns}\0{print_.ctime_ns}\0{print_.inode}\0{claim.key}\0"
    return hashlib.blake2b(facts.encode() + claim.path, digest_size=16).hexdigest()


def is_object_of(receipt: Receipt, held: HeadResult) -> bool:
    """Whether an object is the one of the receipt, or has its bytes."""
    if held.size != receipt.size:
        return False
    proof = receipt.checksum
    return held.etag == receipt.etag or (proof is not None and proof.kind in held.comparable and held.holds(proof))


def whole_checksum(receipt: Receipt) -> Checksum | None:
    """The receipt's checksum, if it is one of all bytes rather than of the parts' checksums."""
    proof = receipt.checksum
    return proof if proof is not None and proof.value and "-" not in proof.value else None


def receipt_for(size: int, answer: UploadResult, now: float) -> Receipt:
    """The receipt for an upload that was answered well."""
    return Receipt(answer.etag, size, now, answer.checksum, answer.version_id, answer.request_id)


def check(operation: str, sent: tuple[Checksum, ...], answer: UploadResult) -> None:
    """Hold the answer against what was sent; raises Fault(CORRUPT) where they contradict each other.

    An ETag is the MD5 in most cases only (API reference, Object, ETag), so it counts where there is nothing better.
    """
    told = answer.checksum
    if told is not None and (same := _of_kind(told.kind, sent)) is not None:
        _require(operation, same.value, told.value)
        return
    md5 = _of_kind(ChecksumKind.MD5, sent)
    if md5 is None and sent:
        # Only a store that was seen to echo its checksum is sent that alone: this answer may be another's.
        message = "the answer lacks the checksum that this store gives (is there a proxy?)"
        raise Fault(Diagnosis(FaultKind.NETWORK, "UnexpectedResponse", message, operation, status=200, ambiguous=True))
    if md5 is not None and not answer.encrypted_by_kms and _PLAIN_MD5.fullmatch(answer.etag):
        _require(operation, md5_hex(md5), answer.etag)


def proves(sent: tuple[Checksum, ...], answer: UploadResult) -> bool:
    """Whether an answer that passed ``check`` can only be that of a store which took the bytes.

    It echoes a checksum, or its ETag is their MD5, or it says in AWS's words why that is none. Any web server may put
    an ETag of its own into a 200.
    """
    if answer.checksum is not None and _of_kind(answer.checksum.kind, sent) is not None:
        return True
    digested = _of_kind(ChecksumKind.MD5, sent) is not None and _PLAIN_MD5.fullmatch(answer.etag) is not None
    return digested or answer.encrypted_by_kms


def _of_kind(kind: ChecksumKind, sent: tuple[Checksum, ...]) -> Checksum | None:
    for checksum in sent:
        if checksum.kind is kind:
            return checksum
    return None


def _require(operation: str, sent: str, told: str) -> None:
    if sent != told:
        message = f"S3 holds other bytes than were sent (checksum {told[:_LONGEST_SHOWN]}, sent {sent})"
        raise Fault(Diagnosis(FaultKind.CORRUPT, "ChecksumMismatch", message, operation, status=200))


class ChecksumNegotiator:
    """What checksum the store honours: the best first, one rung down whenever it ignores or refuses one.

    While unknown, Content-MD5 goes along, which every store checks. No extra call: the first uploads are the probe.
    """

    def __init__(self, known: ChecksumKind | None = None) -> None:
        self._rung = _LADDER.index(known) if known else 0
        self._known = known is not None

    @property
    def kind(self) -> ChecksumKind:
        """The checksum to use (or to try) now."""
        return _LADDER[self._rung]

    @property
    def known(self) -> ChecksumKind | None:
        """The checksum that the store has shown to honour; None until then."""
        return self.kind if self._known else None

    def kinds(self) -> tuple[ChecksumKind, ...]:
        """What to compute for the next upload."""
        if self._known or self.kind is ChecksumKind.MD5:
            return (self.kind,)
        return (self.kind, ChecksumKind.MD5)

    def learn(self, tried: ChecksumKind, echoed: ChecksumKind | None) -> bool:
        """Take in whether the store echoed what was tried; True if that settled the question anew.

        One that no longer echoes what it once did (another store behind the name) is in question again.
        """
        if tried is not self.kind or self._lowest():
            return False
        was_known, self._known = self._known, echoed is tried
        if not was_known and not self._known:
            self._descend()
        return self._known and not was_known

    def refuse(self, tried: ChecksumKind) -> bool:
        """Note that the store refused it; True if there is another one to try.

        One refusal of what it was seen to honour says more about that file: it only puts the question anew.
        """
        if tried is not self.kind:
            return True
        if self._known:
            self._known = self._lowest()
            return False
        self._descend()
        return True

    def _lowest(self) -> bool:
        return self._rung == len(_LADDER) - 1

    def _descend(self) -> None:
        self._rung += 1
        self._known = self._lowest()
