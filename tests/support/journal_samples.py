"""Values and a clock for the tests of the journal."""

from __future__ import annotations

from crosshaul.errors import Diagnosis, FaultKind
from crosshaul.model import (
    Checksum,
    ChecksumKind,
    Delivered,
    Fingerprint,
    Multipart,
    Part,
    Receipt,
    Refusal,
    Settled,
    Sighting,
)
from support.virtual_time import ManualClock

ROUTE = "exports"
PARTNER = "partner"
START = ManualClock.START
LOST = Diagnosis(
    FaultKind.NETWORK, "ReadTimeout", "no answer", "PutObject", advice="wait", retry_after=2.5, ambiguous=True
)
SLOW = Diagnosis(FaultKind.THROTTLED, "SlowDown", "please slow down", "PutObject", 503, "request-7")
TOO_LONG = Refusal("KeyTooLongError", "the key has 2,000 bytes: shorten the path")
RECEIPT = Receipt(
    '"etag"', 11, START + 5, Checksum(ChecksumKind.CRC64NVME, "AAAAAAAAAAA="), "version-1", "request-1", "head"
)
DONE = Delivered(RECEIPT)


def fingerprint(state: int = 1, size: int = 11) -> Fingerprint:
    return Fingerprint(size, state, state, 2**64 - 1)


def sighting(path: bytes, state: int = 1, route: str = ROUTE, size: int = 11) -> Sighting:
    return Sighting(route, path, fingerprint(state, size))


def settled(
    path: bytes, state: int = 1, *, route: str = ROUTE, key: str | None = None, refusal: Refusal | None = None
) -> Settled:
    name = path.decode("utf-8", "backslashreplace") if key is None else key
    return Settled(sighting(path, state, route), PARTNER, name, refusal)


def part(number: int, size: int = 8) -> Part:
    return Part(number, size, f'"etag-{number}"', Checksum(ChecksumKind.CRC64NVME, f"sum-{number}"))


def multipart(*numbers: int, upload_id: str = "upload-1", key: str = "a") -> Multipart:
    return Multipart(upload_id, key, 8, ChecksumKind.CRC64NVME, tuple(part(number) for number in numbers))
