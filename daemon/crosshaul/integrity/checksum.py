"""Compute checksums in S3's notation, and combine those of parts. The only module that imports awscrt. Pure.

awscrt releases the interpreter lock, so compute checksums of large buffers in a thread.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterable
from typing import NamedTuple

from awscrt import checksums

from crosshaul.integrity.streamed_body import StreamedBody
from crosshaul.model import Checksum, ChecksumKind, Part

_Buffer = bytes | bytearray | memoryview

_WIDTH = {ChecksumKind.CRC64NVME: 8, ChecksumKind.CRC32: 4}
_COMPUTE: dict[ChecksumKind, Callable[..., int]] = {
    ChecksumKind.CRC64NVME: checksums.crc64nvme,
    ChecksumKind.CRC32: checksums.crc32,
}
_COMBINE: dict[ChecksumKind, Callable[[int, int, int], int]] = {
    ChecksumKind.CRC64NVME: checksums.combine_crc64nvme,
    ChecksumKind.CRC32: checksums.combine_crc32,
}


def compute(kind: ChecksumKind, data: _Buffer) -> Checksum:
    """Return the checksum of ``data``: base64 of the big-endian value (for MD5: RFC 1864)."""
    if kind is ChecksumKind.MD5:
        digest = hashlib.md5(data, usedforsecurity=False).digest()
    else:
        digest = _COMPUTE[kind](data).to_bytes(_WIDTH[kind], "big")
    return Checksum(kind, base64.b64encode(digest).decode())


def combine(parts: Iterable[Part]) -> Checksum | None:
    """Return the full-object checksum of parts in order; None for MD5 and for different kinds, which don't combine."""
    total: int | None = None
    kind: ChecksumKind | None = None
    for part in parts:
        if part.checksum.kind not in _COMBINE or kind not in {None, part.checksum.kind}:
            return None
        kind = part.checksum.kind
        value = int.from_bytes(base64.b64decode(part.checksum.value), "big")
        total = value if total is None else _COMBINE[kind](total, value, part.size)
    if total is None or kind is None:
        return None
    return Checksum(kind, base64.b64encode(total.to_bytes(_WIDTH[kind], "big")).decode())


class StreamingChecksum:
    """Computes checksums of bytes that arrive in chunks."""

    def __init__(self, kinds: tuple[ChecksumKind, ...], *, hashed: bool = False) -> None:
        self._kinds = kinds
        self._crcs = dict.fromkeys((kind for kind in kinds if kind in _COMPUTE), 0)
        self._md5 = hashlib.md5(usedforsecurity=False) if ChecksumKind.MD5 in kinds else None
        self._sha256 = hashlib.sha256() if hashed else None

    def update(self, chunk: _Buffer) -> None:
        """Add the next chunk."""
        for kind, value in self._crcs.items():
            self._crcs[kind] = _COMPUTE[kind](chunk, value)
        for digest in (self._md5, self._sha256):
            if digest is not None:
                digest.update(chunk)

    def checksums(self) -> tuple[Checksum, ...]:
        """Return the checksums of all chunks, in the order of the kinds."""
        return tuple(self._of(kind) for kind in self._kinds)

    def sha256(self) -> str | None:
        """Return the SHA-256 of all chunks in hex; None unless ``hashed``."""
        return self._sha256.hexdigest() if self._sha256 is not None else None

    def _of(self, kind: ChecksumKind) -> Checksum:
        value = self._md5.digest() if self._md5 is not None and kind is ChecksumKind.MD5 else b""
        return Checksum(kind, base64.b64encode(value or self._crcs[kind].to_bytes(_WIDTH[kind], "big")).decode())


def md5_hex(checksum: Checksum) -> str:
    """Return an MD5 checksum in hex, as in an ETag."""
    return base64.b64decode(checksum.value).hex()


def _sha256_hex(data: _Buffer) -> str:
    """Return the SHA-256 in hex, which SigV4 requires of a payload that is sent without TLS."""
    return hashlib.sha256(data).hexdigest()


class Payload(NamedTuple):
    """The body of one upload, with the values that its headers need."""

    data: bytes | bytearray | memoryview | StreamedBody
    checksums: tuple[Checksum, ...]
    sha256: str | None
    """In hex; None if the body is sent over TLS, where SigV4 allows an unsigned payload."""

    @classmethod
    def of(cls, data: bytes | bytearray | memoryview, kinds: tuple[ChecksumKind, ...], *, hashed: bool) -> Payload:
        """Compute the checksums of ``data``. Call this in a thread: 8 MiB take some milliseconds."""
        checksums = tuple(compute(kind, data) for kind in kinds)
        return cls(data, checksums, _sha256_hex(data) if hashed else None)

    @property
    def size(self) -> int:
        """The body's size in bytes."""
        return len(self.data)
