"""Checksums in S3's notation."""

from __future__ import annotations

import hashlib

import pytest

from crosshaul.integrity.checksum import Payload, combine, compute, md5_hex
from crosshaul.model import Checksum, ChecksumKind, Part

DIGITS = b"123456789"


@pytest.mark.parametrize(
    ("kind", "data", "value"),
    [
        # The check values of the catalogue of CRC algorithms: 0xAE8B14860A799888 and 0xCBF43926.
        (ChecksumKind.CRC64NVME, DIGITS, "rosUhgp5mIg="),
        (ChecksumKind.CRC32, DIGITS, "y/Q5Jg=="),
        (ChecksumKind.MD5, DIGITS, "JfnnlDI7RTiF9RgfG2JNCw=="),
        (ChecksumKind.CRC64NVME, b"", "AAAAAAAAAAA="),
        (ChecksumKind.CRC32, b"", "AAAAAA=="),
    ],
)
def test_known_values(kind, data, value):
    """Each kind gives its published check value, base64 of the big-endian number, for every type of buffer."""
    for buffer in (data, bytearray(data), memoryview(data)):
        assert compute(kind, buffer) == Checksum(kind, value)


def test_md5_as_an_etag_writes_it():
    """Content-MD5 is base64 and an ETag hex of the same digest."""
    assert md5_hex(compute(ChecksumKind.MD5, DIGITS)) == hashlib.md5(DIGITS).hexdigest()


def test_a_payload_computes_what_is_asked_for():
    """A payload has its checksums in the requested order, and a SHA-256 only if it is signed."""
    payload = Payload.of(DIGITS, (ChecksumKind.CRC64NVME, ChecksumKind.MD5), hashed=True)
    assert [checksum.kind for checksum in payload.checksums] == [ChecksumKind.CRC64NVME, ChecksumKind.MD5]
    assert payload.sha256 == hashlib.sha256(DIGITS).hexdigest()
    assert payload.size == 9
    assert Payload.of(DIGITS, (), hashed=False).sha256 is None


def part(number: int, kind: ChecksumKind) -> Part:
    return Part(number, len(DIGITS), "etag", compute(kind, DIGITS))


def test_what_cannot_be_combined():
    """No parts, MD5s and parts of different kinds have no combined checksum."""
    assert combine([]) is None
    assert combine([part(1, ChecksumKind.MD5)]) is None
    assert combine([part(1, ChecksumKind.CRC64NVME), part(2, ChecksumKind.CRC32)]) is None
    assert combine([part(1, ChecksumKind.CRC32), part(2, ChecksumKind.MD5)]) is None
