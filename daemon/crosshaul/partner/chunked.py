"""Decode the ``aws-chunked`` content encoding piece by piece, and verify chunk signatures and trailers.

Source: Amazon S3 API Reference, "Signature calculations: transferring payload in multiple chunks", and the same "with
trailing headers".
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus

from crosshaul.partner.errors import ApiError, invalid_request
from crosshaul.partner.signature import sign

SIGNED = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
SIGNED_TRAILER = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
UNSIGNED_TRAILER = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
KINDS = {SIGNED, SIGNED_TRAILER, UNSIGNED_TRAILER}

_EMPTY = hashlib.sha256(b"").hexdigest()
_MIN_CHUNK_BYTES = 8192
_MAX_LINE_BYTES = 4096


@dataclass(frozen=True, slots=True)
class ChunkSigning:
    """The start of the chain of chunk signatures; ``seed`` is the signature of the headers."""

    key: bytes
    stamp: str
    scope: str
    seed: str


def _mismatch() -> ApiError:
    return ApiError(
        HTTPStatus.FORBIDDEN,
        "SignatureDoesNotMatch",
        "The request signature we calculated does not match the signature you provided. "
        "Check your key and signing method.",
    )


def _bad_trailer() -> ApiError:
    return ApiError(
        HTTPStatus.BAD_REQUEST,
        "MalformedTrailerError",
        "The request contained trailing data that was not well-formed or did not conform to our published schema.",
    )


class Decoder:
    """Decode a body: ``feed`` takes its bytes and yields payload; ``finish`` checks its end."""

    def __init__(self, kind: str, signing: ChunkSigning | None) -> None:
        self._kind = kind
        self._signing = signing if kind != UNSIGNED_TRAILER else None
        self._previous = signing.seed if signing else ""
        self._buffer = bytearray()
        self._chunk_left = 0
        self._state = self._read_size
        self._claimed = ""
        self._hash = hashlib.sha256()
        self._last_size: int | None = None
        self._signature: str | None = None
        self._signed_lines = b""
        self.trailers: dict[str, str] = {}
        self.done = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield the payload in ``data``; raises ApiError for a malformed chunk or a wrong signature."""
        self._buffer += data
        while not self.done and (piece := self._state()) is not None:
            if piece:
                yield piece

    def finish(self) -> None:
        """Raise ApiError (IncompleteBody) when the last chunk or the trailer is missing."""
        if not self.done:
            raise ApiError(HTTPStatus.BAD_REQUEST, "IncompleteBody", "The request body terminated unexpectedly")

    def _line(self) -> bytes | None:
        end = self._buffer.find(b"\n")
        if end < 0:
            if len(self._buffer) > _MAX_LINE_BYTES:
                raise invalid_request("The chunk header is too long.")
            return None
        line = bytes(self._buffer[:end]).removesuffix(b"\r")
        del self._buffer[: end + 1]
        return line

    def _read_size(self) -> bytes | None:
        line = self._line()
        if line is None:
            return None
        size, _, extension = line.decode("latin-1").partition(";")
        self._claimed = extension.removeprefix("chunk-signature=")
        try:
            self._chunk_left = int(size, 16)
        except ValueError:
            raise invalid_request("The chunk size is not a hexadecimal number.") from None
        self._check_size()
        self._state = self._read_data if self._chunk_left else self._finish_chunks
        return b""

    def _check_size(self) -> None:
        if self._last_size is not None and self._last_size < _MIN_CHUNK_BYTES and self._chunk_left:
            message = "Only the last chunk is allowed to have a size less than 8192 bytes"
            raise ApiError(HTTPStatus.FORBIDDEN, "InvalidChunkSizeError", message)
        self._last_size = self._chunk_left

    def _read_data(self) -> bytes | None:
        if not self._buffer:
            return None
        piece = bytes(self._buffer[: self._chunk_left])
        del self._buffer[: len(piece)]
        self._chunk_left -= len(piece)
        if self._signing:
            self._hash.update(piece)
        if not self._chunk_left:
            self._state = self._after_data
        return piece

    def _after_data(self) -> bytes | None:
        line = self._line()
        if line is None:
            return None
        if line:
            raise invalid_request("The chunk is longer than its size says.")
        self._check_chunk()
        self._state = self._read_size
        return b""

    def _finish_chunks(self) -> bytes | None:
        self._check_chunk()
        self._state = self._read_trailer
        return b""

    def _check_chunk(self) -> None:
        if self._signing is None:
            return
        self._advance("AWS4-HMAC-SHA256-PAYLOAD", [_EMPTY, self._hash.hexdigest()], self._claimed)
        self._hash = hashlib.sha256()

    def _advance(self, word: str, hashes: list[str], claimed: str) -> None:
        signing = self._signing
        if signing is None:
            return
        to_sign = "\n".join((word, signing.stamp, signing.scope, self._previous, *hashes))
        self._previous = sign(signing.key, to_sign).hex()
        if not hmac.compare_digest(self._previous, claimed):
            raise _mismatch()

    def _read_trailer(self) -> bytes | None:
        line = self._line()
        if line is None:
            return None
        if line:
            self._take_trailer(line)
        elif not self._separator():
            self._check_trailer()
            self.done = True
        return b""

    def _separator(self) -> bool:
        """True if a blank line separates the trailers from their signature, as in AWS's example."""
        return self._kind == SIGNED_TRAILER and self._signature is None

    def _take_trailer(self, line: bytes) -> None:
        name, colon, value = line.decode("latin-1").partition(":")
        if not colon:
            raise _bad_trailer()
        if name.lower() == "x-amz-trailer-signature":
            self._signature = value.strip()
            return
        self.trailers[name.lower()] = value.strip()
        self._signed_lines += f"{name.lower()}:{value.strip()}\n".encode("latin-1")

    def _check_trailer(self) -> None:
        if self._kind != SIGNED_TRAILER:
            return
        if self._signature is None:
            raise _bad_trailer()
        self._advance("AWS4-HMAC-SHA256-TRAILER", [hashlib.sha256(self._signed_lines).hexdigest()], self._signature)
