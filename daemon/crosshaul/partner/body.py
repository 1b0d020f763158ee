"""Stream the body of a request into the spool: decode, hash and check it."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus

from aiohttp import ClientError, web

from crosshaul.partner import checksums
from crosshaul.partner.authorization import UNSIGNED
from crosshaul.partner.checksums import Algorithm, Checksum, DeclaredChecksum
from crosshaul.partner.chunked import KINDS, ChunkSigning, Decoder
from crosshaul.partner.errors import ApiError, ConnectionGoneError
from crosshaul.partner.exchange import Exchange
from crosshaul.partner.store import Segment, SpoolFile

_BATCH_BYTES = 512 * 1024
_MD5_BYTES = 16
MAX_OBJECT_BYTES = 5 * 1024**3


@dataclass(frozen=True, slots=True)
class SpooledBody:
    """A body in the spool that passed every check."""

    segment: Segment
    md5: bytes
    checksum: Checksum | None

    @property
    def etag(self) -> str:
        """The ETag of an object with this body."""
        return self.md5.hex()


async def stream_body(exchange: Exchange) -> AsyncIterator[bytes]:
    """Yield the body as received; raises ApiError (RequestTimeout) and ConnectionGoneError."""
    await exchange.fault.before_body(exchange)
    await exchange.send_continue()
    content = exchange.request.content
    while True:
        try:
            async with asyncio.timeout(exchange.settings.body_timeout):
                data = await content.readany()
        except TimeoutError:
            raise _timed_out() from None
        except (ConnectionError, ClientError, web.RequestPayloadError):
            raise ConnectionGoneError from None
        if not data:
            return
        yield data


def _timed_out() -> ApiError:
    message = (
        "Your socket connection to the server was not read from or written to within the timeout period. "
        "Idle connections will be closed."
    )
    return ApiError(HTTPStatus.BAD_REQUEST, "RequestTimeout", message)


async def read_small_body(exchange: Exchange, limit: int) -> bytes:
    """Read a document; raises ApiError (MaxMessageLengthExceeded) above ``limit`` bytes."""
    body = bytearray()
    decoder = decoder_of(exchange)
    async for data in stream_body(exchange):
        body += b"".join(decoder.feed(data)) if decoder else data
        if len(body) > limit:
            raise ApiError(HTTPStatus.BAD_REQUEST, "MaxMessageLengthExceeded", "Your request was too big.")
    if decoder:
        decoder.finish()
    exchange.payload_bytes = len(body)
    payload = exchange.authorization.payload if exchange.authorization else UNSIGNED
    if payload != UNSIGNED and payload not in KINDS and exchange.target.service == "s3":
        _check_payload(payload, hashlib.sha256(body).hexdigest())
    return bytes(body)


def _check_payload(claimed: str, computed: str) -> None:
    if claimed != computed:
        raise ApiError(
            HTTPStatus.BAD_REQUEST,
            "XAmzContentSHA256Mismatch",
            "The provided 'x-amz-content-sha256' header does not match what was computed.",
            {"ClientComputedContentSHA256": claimed, "S3ComputedContentSHA256": computed},
        )


def decoder_of(exchange: Exchange) -> Decoder | None:
    """Build the decoder for an aws-chunked payload; None for any other."""
    signed, caller = exchange.authorization, exchange.caller
    if signed is None or caller is None or signed.payload not in KINDS:
        return None
    key = exchange.state.verifier.signing_key(caller.secret, signed)
    return Decoder(signed.payload, ChunkSigning(key, signed.stamp, signed.scope, signed.signature))


def expected_length(headers: Mapping[str, str]) -> int:
    """Read the payload size from the headers, in bytes; raises ApiError (MissingContentLength, EntityTooLarge)."""
    length = headers.get("x-amz-decoded-content-length", headers.get("content-length", ""))
    if not length.isdigit():
        raise ApiError(
            HTTPStatus.LENGTH_REQUIRED, "MissingContentLength", "You must provide the Content-Length HTTP header."
        )
    if int(length) > MAX_OBJECT_BYTES:
        message = "Your proposed upload exceeds the maximum allowed size"
        details = {"ProposedSize": length, "MaxSizeAllowed": str(MAX_OBJECT_BYTES)}
        raise ApiError(HTTPStatus.BAD_REQUEST, "EntityTooLarge", message, details)
    return int(length)


class BodyReader:
    """Read one body: MD5, the SHA-256 of a signed payload, and one checksum, in one pass."""

    def __init__(self, exchange: Exchange, declared: DeclaredChecksum | None, algorithm: Algorithm | None) -> None:
        self._exchange = exchange
        self._declared = declared
        self._algorithm = declared.algorithm if declared else algorithm
        self._checksum = self._algorithm.start() if self._algorithm else None
        self._md5 = hashlib.md5(usedforsecurity=False)
        authorization = exchange.authorization
        self._payload = authorization.payload if authorization else UNSIGNED
        self._sha256 = None if self._payload == UNSIGNED or self._payload in KINDS else hashlib.sha256()
        self._decoder = decoder_of(exchange)
        self._size = 0

    async def read(self) -> SpooledBody:
        """Read, hash and spool the body, then check it; raises ApiError, and then keeps nothing."""
        announced = expected_length(self._exchange.headers)
        try:
            segment = await self._drain()
        finally:
            self._exchange.payload_bytes = self._size
        return SpooledBody(segment, self._md5.digest(), self._verify(announced))

    async def _drain(self) -> Segment:
        spool = self._exchange.state.spool
        file: SpoolFile | None = None
        batch: list[bytes] = []
        unwritten = 0
        async for data in stream_body(self._exchange):
            batch.append(data)
            unwritten += len(data)
            if unwritten >= _BATCH_BYTES:
                file = file or spool.create()
                await asyncio.to_thread(self._absorb, batch, file)
                batch, unwritten = [], 0
        if file is None:
            return spool.add_small(b"".join(self._hashed(batch)))
        self._absorb(batch, file)
        file.seal()
        return Segment(file, 0, file.size)

    def _absorb(self, batch: list[bytes], file: SpoolFile) -> None:
        for piece in self._hashed(batch):
            file.append(piece)

    def _hashed(self, batch: list[bytes]) -> Iterator[bytes]:
        for data in batch:
            for piece in self._decoder.feed(data) if self._decoder else (data,):
                yield self._hash(piece)

    def _hash(self, piece: bytes) -> bytes:
        seen, stored = self._exchange.fault.filter_body(piece)
        self._size += len(piece)
        self._md5.update(seen)
        if self._checksum:
            self._checksum.update(seen)
        if self._sha256:
            self._sha256.update(seen)
        return stored

    def _verify(self, announced: int) -> Checksum | None:
        if self._decoder:
            self._decoder.finish()
        if self._size != announced:
            message = "You did not provide the number of bytes specified by the Content-Length HTTP header"
            raise ApiError(HTTPStatus.BAD_REQUEST, "IncompleteBody", message)
        if self._sha256:
            _check_payload(self._payload, self._sha256.hexdigest())
        self._verify_md5()
        return self._verify_checksum()

    def _verify_md5(self) -> None:
        value = self._exchange.headers.get("content-md5")
        if value is None:
            return
        if content_md5(value) != self._md5.digest():
            message = "The Content-MD5 you specified did not match what we received."
            details = {"ExpectedDigest": value, "CalculatedDigest": checksums.text(self._md5.digest())}
            raise ApiError(HTTPStatus.BAD_REQUEST, "BadDigest", message, details)

    def _verify_checksum(self) -> Checksum | None:
        if self._algorithm is None or self._checksum is None:
            return None
        computed = checksums.text(self._checksum.digest())
        if self._declared and self._declared_value(self._declared) != computed:
            raise checksums.mismatch(self._algorithm)
        return Checksum(self._algorithm, computed)

    def _declared_value(self, declared: DeclaredChecksum) -> str:
        if declared.value is not None:
            return declared.value
        trailers = self._decoder.trailers if self._decoder else {}
        if declared.algorithm.header not in trailers:
            message = "The request contained trailing data that was not well-formed or did not conform to our schema."
            raise ApiError(HTTPStatus.BAD_REQUEST, "MalformedTrailerError", message)
        return checksums.valid(declared.algorithm, trailers[declared.algorithm.header])


def content_md5(value: str) -> bytes:
    """Decode a Content-MD5 header; raises ApiError (InvalidDigest)."""
    try:
        digest = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        digest = b""
    if len(digest) != _MD5_BYTES:
        message = "The Content-MD5 you specified was invalid."
        raise ApiError(HTTPStatus.BAD_REQUEST, "InvalidDigest", message)
    return digest
