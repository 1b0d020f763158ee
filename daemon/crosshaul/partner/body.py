"""A request's body on its way into the spool: decoded, hashed and checked while it streams."""

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
from crosshaul.partner.checksums import Algorithm, Checksum, Declared
from crosshaul.partner.chunked import KINDS, Chain, Decoder
from crosshaul.partner.errors import ConnectionGoneError, Refusal
from crosshaul.partner.exchange import Exchange
from crosshaul.partner.signature import UNSIGNED
from crosshaul.partner.store import Segment, SpoolFile

_BATCH = 512 * 1024
_MD5_LENGTH = 16
MAX_OBJECT = 5 * 1024**3


@dataclass(frozen=True, slots=True)
class Taken:
    """A body that is in the spool and passed every check."""

    segment: Segment
    md5: bytes
    checksum: Checksum | None

    @property
    def etag(self) -> str:
        """The ETag of a body that was put in one piece."""
        return self.md5.hex()


async def wire(exchange: Exchange) -> AsyncIterator[bytes]:
    """The body as it comes; raises Refusal (RequestTimeout) and ConnectionGoneError."""
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


def _timed_out() -> Refusal:
    message = (
        "Your socket connection to the server was not read from or written to within the timeout period. "
        "Idle connections will be closed."
    )
    return Refusal(HTTPStatus.BAD_REQUEST, "RequestTimeout", message)


async def small(exchange: Exchange, limit: int) -> bytes:
    """A whole body, for documents; raises Refusal (MaxMessageLengthExceeded) above ``limit`` bytes."""
    body = bytearray()
    decoder = decoder_of(exchange)
    async for data in wire(exchange):
        body += b"".join(decoder.feed(data)) if decoder else data
        if len(body) > limit:
            raise Refusal(HTTPStatus.BAD_REQUEST, "MaxMessageLengthExceeded", "Your request was too big.")
    if decoder:
        decoder.finish()
    exchange.moved = len(body)
    payload = exchange.claimed.payload if exchange.claimed else UNSIGNED
    if payload != UNSIGNED and payload not in KINDS and exchange.target.service == "s3":
        _check_payload(payload, hashlib.sha256(body).hexdigest())
    return bytes(body)


def _check_payload(claimed: str, computed: str) -> None:
    if claimed != computed:
        raise Refusal(
            HTTPStatus.BAD_REQUEST,
            "XAmzContentSHA256Mismatch",
            "The provided 'x-amz-content-sha256' header does not match what was computed.",
            {"ClientComputedContentSHA256": claimed, "S3ComputedContentSHA256": computed},
        )


def decoder_of(exchange: Exchange) -> Decoder | None:
    """The decoder that the payload's kind asks for."""
    claimed, caller = exchange.claimed, exchange.caller
    if claimed is None or caller is None or claimed.payload not in KINDS:
        return None
    key = exchange.state.verifier.signing_key(caller.secret, claimed)
    return Decoder(claimed.payload, Chain(key, claimed.stamp, claimed.scope, claimed.signature))


def expected_length(headers: Mapping[str, str]) -> int:
    """Bytes of payload that the headers announce; raises Refusal (MissingContentLength, EntityTooLarge)."""
    length = headers.get("x-amz-decoded-content-length", headers.get("content-length", ""))
    if not length.isdigit():
        raise Refusal(
            HTTPStatus.LENGTH_REQUIRED, "MissingContentLength", "You must provide the Content-Length HTTP header."
        )
    if int(length) > MAX_OBJECT:
        message = "Your proposed upload exceeds the maximum allowed size"
        details = {"ProposedSize": length, "MaxSizeAllowed": str(MAX_OBJECT)}
        raise Refusal(HTTPStatus.BAD_REQUEST, "EntityTooLarge", message, details)
    return int(length)


class Intake:
    """Takes one body in: MD5, the payload's SHA-256 if it is signed, and one checksum, in one pass."""

    def __init__(self, exchange: Exchange, said: Declared | None, algorithm: Algorithm | None) -> None:
        self._exchange = exchange
        self._said = said
        self._algorithm = said.algorithm if said else algorithm
        self._checksum = self._algorithm.start() if self._algorithm else None
        self._md5 = hashlib.md5(usedforsecurity=False)
        claimed = exchange.claimed
        self._payload = claimed.payload if claimed else UNSIGNED
        self._sha256 = None if self._payload == UNSIGNED or self._payload in KINDS else hashlib.sha256()
        self._decoder = decoder_of(exchange)
        self._size = 0

    async def take(self) -> Taken:
        """Read, hash and spool the body, then check it; raises Refusal, and leaves nothing behind then."""
        announced = expected_length(self._exchange.headers)
        try:
            segment = await self._drain()
        finally:
            self._exchange.moved = self._size
        return Taken(segment, self._md5.digest(), self._verify(announced))

    async def _drain(self) -> Segment:
        spool = self._exchange.state.spool
        file: SpoolFile | None = None
        batch: list[bytes] = []
        waiting = 0
        async for data in wire(self._exchange):
            batch.append(data)
            waiting += len(data)
            if waiting >= _BATCH:
                file = file or spool.create()
                await asyncio.to_thread(self._absorb, batch, file)
                batch, waiting = [], 0
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
        seen, stored = self._exchange.fault.store(piece)
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
            raise Refusal(HTTPStatus.BAD_REQUEST, "IncompleteBody", message)
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
            raise Refusal(HTTPStatus.BAD_REQUEST, "BadDigest", message, details)

    def _verify_checksum(self) -> Checksum | None:
        if self._algorithm is None or self._checksum is None:
            return None
        computed = checksums.text(self._checksum.digest())
        if self._said and self._stated(self._said) != computed:
            raise checksums.mismatch(self._algorithm)
        return Checksum(self._algorithm, computed)

    def _stated(self, said: Declared) -> str:
        if said.value is not None:
            return said.value
        trailers = self._decoder.trailers if self._decoder else {}
        if said.algorithm.header not in trailers:
            message = "The request contained trailing data that was not well-formed or did not conform to our schema."
            raise Refusal(HTTPStatus.BAD_REQUEST, "MalformedTrailerError", message)
        return checksums.valid(said.algorithm, trailers[said.algorithm.header])


def content_md5(value: str) -> bytes:
    """The digest in a Content-MD5 header; raises Refusal (InvalidDigest)."""
    try:
        digest = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        digest = b""
    if len(digest) != _MD5_LENGTH:
        message = "The Content-MD5 you specified was invalid."
        raise Refusal(HTTPStatus.BAD_REQUEST, "InvalidDigest", message)
    return digest
