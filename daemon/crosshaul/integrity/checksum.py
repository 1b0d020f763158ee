"""Checksums as S3 writes them, and their combination over parts. The one owner of awscrt.

Pure computation; awscrt lets other threads run meanwhile, so big buffers belong in a thread.
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
    """The checksum of ``data``, base64 of the big-endian value (for MD5: RFC 1864)."""
    if kind is ChecksumKind.MD5:
        digest = hashlib.md5(data, usedforsecurity=False).digest()
    else:
        digest = _COMPUTE[kind](data).to_bytes(_WIDTH[kind], "big")
    return Checksum(kind, base64.b64encode(digest).decode())


def combine(parts: Iterable[Part]) -> Checksum | None:
    """The full-object checksum of parts in order, without reading them again; None where there is none.

    MD5s can't be combined, nor can checksums of different kinds.
    """
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
    """Checksums of bytes that come piece by piece: what does not fit into memory as a whole."""

    def __init__(self, kinds: tuple[ChecksumKind, ...], *, hashed: bool = False) -> None:
        self._kinds = kinds
        self._crcs = dict.fromkeys((kind for kind in kinds if kind in _COMPUTE), 0)
        self._md5 = hashlib.md5(usedforsecurity=False) if ChecksumKind.MD5 in kinds else None
        self._sha256 = hashlib.sha256() if hashed else None

    def update(self, piece: _Buffer) -> None:
        """Take in the next piece."""
        for kind, value in self._crcs.items():
            self._crcs[kind] = _COMPUTE[kind](piece, value)
        for digest in (self._md5, self._sha256):
            if digest is not None:
                digest.update(piece)

    def checksums(self) -> tuple[Checksum, ...]:
        """Of all that came, in the order in which they were asked for."""
        return tuple(self._of(kind) for kind in self._kinds)

    def sha256(self) -> str | None:
        """The SHA-256 of all that came, in hex, if it was asked for."""
        return self._sha256.hexdigest() if self._sha256 is not None else None

    def _of(self, kind: ChecksumKind) -> Checksum:
        value = self._md5.digest() if self._md5 is not None and kind is ChecksumKind.MD5 else b""
        return Checksum(kind, base64.b64encode(value or self._crcs[kind].to_bytes(_WIDTH[kind], "big")).decode())


def md5_hex(checksum: Checksum) -> str:
    """The MD5 as an ETag writes it."""
    return base64.b64decode(checksum.value).hex()


def _sha256_hex(data: _Buffer) -> str:
    """The SHA-256 that SigV4 wants of a payload sent without TLS."""
    return hashlib.sha256(data).hexdigest()


class Payload(NamedTuple):
    """The body of one upload with all that has to be computed of it before the first byte goes."""

    data: bytes | bytearray | memoryview | StreamedBody
    checksums: tuple[Checksum, ...]
    sha256: str | None
    """Hex; None where TLS guards the body and SigV4 may leave it unsigned."""

    @classmethod
    def of(cls, data: bytes | bytearray | memoryview, kinds: tuple[ChecksumKind, ...], *, hashed: bool) -> Payload:
        """Compute; 8 MiB take some milliseconds, so call it in a thread."""
        checksums = tuple(compute(kind, data) for kind in kinds)
        return cls(data, checksums, _sha256_hex(data) if hashed else None)

    @property
    def size(self) -> int:
        """Bytes."""
        return len(self.data)
