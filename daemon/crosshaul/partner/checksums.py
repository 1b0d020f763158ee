"""The checksums of S3: of an object, of parts, and of an object made of parts.

Source: Amazon S3 User Guide, "Checking object integrity" (full-object and composite types, per algorithm).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Protocol

from awscrt import checksums as crt

from crosshaul.partner.errors import ApiError, invalid_request
from crosshaul.partner.settings import Checksums

FULL_OBJECT = "FULL_OBJECT"
COMPOSITE = "COMPOSITE"
PREFIX = "x-amz-checksum-"
DEFAULT = "crc64nvme"
"""The algorithm that S3 uses when the client declares none."""


class StreamingChecksum(Protocol):
    """A checksum in progress."""

    def update(self, data: bytes, /) -> object:
        """Add bytes."""

    def digest(self) -> bytes:
        """Return the value, big-endian."""


class _Crc:
    def __init__(self, step: Callable[[bytes, int], int], width: int) -> None:
        self._step = step
        self._width = width
        self._value = 0

    def update(self, data: bytes, /) -> None:
        self._value = self._step(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(self._width, "big")


@dataclass(frozen=True, slots=True)
class Algorithm:
    """A checksum algorithm; ``combine(crc1, crc2, length2)`` when it has a full-object type over parts."""

    name: str
    width: int
    start: Callable[[], StreamingChecksum]
    combine: Callable[[int, int, int], int] | None
    types: tuple[str, ...]
    """The checksum types over parts, the default first."""

    @property
    def element(self) -> str:
        """The XML element, such as ``ChecksumCRC64NVME``."""
        return f"Checksum{self.name.upper()}"

    @property
    def header(self) -> str:
        """The header, such as ``x-amz-checksum-crc64nvme``."""
        return PREFIX + self.name


ALGORITHMS = {
    algorithm.name: algorithm
    for algorithm in (
        Algorithm("crc32", 4, lambda: _Crc(crt.crc32, 4), crt.combine_crc32, (COMPOSITE, FULL_OBJECT)),
        Algorithm("crc32c", 4, lambda: _Crc(crt.crc32c, 4), crt.combine_crc32c, (COMPOSITE, FULL_OBJECT)),
        Algorithm("crc64nvme", 8, lambda: _Crc(crt.crc64nvme, 8), crt.combine_crc64nvme, (FULL_OBJECT,)),
        Algorithm("sha1", 20, lambda: hashlib.sha1(usedforsecurity=False), None, (COMPOSITE,)),
        Algorithm("sha256", 32, hashlib.sha256, None, (COMPOSITE,)),
    )
}
_HEADERS = {algorithm.header: algorithm for algorithm in ALGORITHMS.values()}


@dataclass(frozen=True, slots=True)
class Checksum:
    """A checksum in S3's format: base64, with a suffix ``-N`` on a composite one."""

    algorithm: Algorithm
    value: str
    type: str = FULL_OBJECT

    def headers(self) -> dict[str, str]:
        """Build the response headers."""
        return {self.algorithm.header: self.value, "x-amz-checksum-type": self.type}


@dataclass(frozen=True, slots=True)
class DeclaredChecksum:
    """A checksum that a request declares; ``value`` is None when it comes in the trailer."""

    algorithm: Algorithm
    value: str | None


def declared(headers: Mapping[str, str], support: Checksums) -> DeclaredChecksum | None:
    """Read the checksum that a request declares in a header or for its trailer; raises ApiError (InvalidRequest)."""
    if support == "ignored":
        return None
    given = [(name, headers[name]) for name in _HEADERS if name in headers]
    trailer = headers.get("x-amz-trailer", "").strip().lower()
    unknown = [name for name in headers if name.startswith(PREFIX) and name not in _allowed_headers(support)]
    if unknown or (trailer.startswith(PREFIX) and trailer not in _allowed_headers(support)):
        raise invalid_request("The algorithm type you specified in x-amz-checksum- header is invalid.")
    if len(given) + bool(trailer) > 1:
        raise invalid_request("Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.")
    if trailer:
        return DeclaredChecksum(_HEADERS[trailer], None) if trailer in _HEADERS else None
    if not given:
        _check_sdk_header(headers)
        return None
    return DeclaredChecksum(_HEADERS[given[0][0]], valid(_HEADERS[given[0][0]], given[0][1]))


def _allowed_headers(support: Checksums) -> set[str]:
    names = {PREFIX + "crc32"} if support == "crc32 only" else set(_HEADERS)
    return names | {PREFIX + "mode", PREFIX + "algorithm", PREFIX + "type"}


def _check_sdk_header(headers: Mapping[str, str]) -> None:
    if "x-amz-sdk-checksum-algorithm" in headers and "content-md5" not in headers:
        raise invalid_request(
            "x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or x-amz-trailer headers "
            "were found."
        )


def valid(algorithm: Algorithm, value: str) -> str:
    """Return a value of the right length; raises ApiError (InvalidRequest)."""
    try:
        decoded = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        decoded = b""
    if len(decoded) != algorithm.width:
        raise invalid_request(f"Value for {algorithm.header} header is invalid.")
    return value


def mismatch(algorithm: Algorithm) -> ApiError:
    """Build a 400 BadDigest."""
    message = f"The {algorithm.name.upper()} you specified did not match the calculated checksum."
    return ApiError(HTTPStatus.BAD_REQUEST, "BadDigest", message)


def text(digest: bytes) -> str:
    """Encode a digest in base64."""
    return base64.b64encode(digest).decode()


def of_parts(algorithm: Algorithm, kind: str, parts: Sequence[tuple[str, int]]) -> Checksum:
    """Combine the checksums of parts, each given as (base64, size in bytes)."""
    digests = [base64.b64decode(value) for value, _ in parts]
    if kind == COMPOSITE or algorithm.combine is None:
        running = algorithm.start()
        running.update(b"".join(digests))
        return Checksum(algorithm, f"{text(running.digest())}-{len(parts)}", COMPOSITE)
    total = int.from_bytes(digests[0], "big")
    for digest, (_, size) in zip(digests[1:], parts[1:], strict=True):
        total = algorithm.combine(total, int.from_bytes(digest, "big"), size)
    return Checksum(algorithm, text(total.to_bytes(algorithm.width, "big")))


def declared_whole(headers: Mapping[str, str], support: Checksums) -> DeclaredChecksum | None:
    """Read the checksum of the whole object that CompleteMultipartUpload declares; raises ApiError (InvalidRequest)."""
    plain = {name: value.partition("-")[0] if name in _HEADERS else value for name, value in headers.items()}
    plain.pop("x-amz-sdk-checksum-algorithm", None)
    return declared(plain, support)
