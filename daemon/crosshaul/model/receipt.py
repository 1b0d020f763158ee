"""Values that S3 confirmed: checksums, parts and receipts."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

MAX_OBJECT_BYTES = 10_000 * (5 << 30)
"""Bytes of the largest object that S3 takes: 10,000 parts of 5 GiB."""


class ChecksumKind(StrEnum):
    """Checksum by which the store proves that it has the bytes that were sent, best first."""

    CRC64NVME = "CRC64NVME"
    CRC32 = "CRC32"
    MD5 = "MD5"
    """Content-MD5: every S3 store refuses a mismatch, but does not keep the checksum with the object."""


class Checksum(NamedTuple):
    """A checksum as S3 writes it: base64 of the big-endian value."""

    kind: ChecksumKind
    value: str


@dataclass(frozen=True, slots=True)
class Part:
    """One uploaded part, as CompleteMultipartUpload needs it."""

    number: int
    size: int
    etag: str
    checksum: Checksum


@dataclass(frozen=True, slots=True)
class Multipart:
    """An unfinished multipart upload, with all that is needed to resume it without ListParts."""

    upload_id: str
    key: str
    part_size: int
    checksum_kind: ChecksumKind
    parts: tuple[Part, ...] = ()

    @property
    def sent(self) -> int:
        """Bytes that S3 has confirmed."""
        return sum(part.size for part in self.parts)


class Receipt(NamedTuple):
    """S3's confirmation of an object."""

    etag: str
    size: int
    delivered_at: float
    """Seconds since the epoch."""
    checksum: Checksum | None = None
    version_id: str | None = None
    request_id: str | None = None
    proven_by: str = "answer"
    """``answer`` (the upload's own response) or ``head`` (the response was lost; HEAD found the object's token)."""


class AbandonedUpload(NamedTuple):
    """A multipart upload that is to be aborted."""

    place: int
    key: str
    upload_id: str
    tries: int
