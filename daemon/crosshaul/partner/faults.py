"""The faults that a script can inject into a request, at the points where a real service or network fails.

The operation of an STS request is in its body, so the faults of STS strike after the body was read.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Literal, NoReturn

from aiohttp import ClientError, web

from crosshaul.partner.errors import ApiError, ConnectionGoneError, element
from crosshaul.partner.exchange import Exchange, FaultAction, Response, error_response

When = Literal["before_body", "mid_body", "after_body", "after_commit"]


async def _discard_body(exchange: Exchange) -> None:
    await exchange.send_continue()
    try:
        while await exchange.request.content.readany():
            pass
    except (ConnectionError, ClientError, web.RequestPayloadError):
        raise ConnectionGoneError from None


def abort(exchange: Exchange) -> NoReturn:
    """Reset the connection (RST)."""
    transport = exchange.request.transport
    if transport is not None:
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    raise ConnectionGoneError


@dataclass
class Error(FaultAction):
    """An error response: before the body is read (the connection then closes), after it, or after the commit."""

    kind = "error"
    status: int = HTTPStatus.SERVICE_UNAVAILABLE
    code: str = "SlowDown"
    message: str = "Please reduce your request rate."
    headers: dict[str, str] = field(default_factory=dict)
    when: When = "after_body"

    def _error(self) -> ApiError:
        return ApiError(self.status, self.code, self.message, headers=self.headers)

    async def on_request(self, exchange: Exchange) -> None:
        """Fail at once, or after the body was read."""
        if self.when == "after_commit":
            return
        if self.when == "after_body":
            await _discard_body(exchange)
        raise self._error()

    async def on_response(self, exchange: Exchange, response: Response) -> Response:
        """Replace the response of an operation that took effect."""
        return error_response(exchange, self._error()) if self.when == "after_commit" else response


@dataclass
class Reset(FaultAction):
    """A connection reset; ``after_commit`` loses the response of an operation that took effect."""

    kind = "reset"
    when: When = "before_body"

    async def on_request(self, exchange: Exchange) -> None:
        """Reset before, within or after the body."""
        if self.when == "before_body":
            abort(exchange)
        if self.when == "mid_body":
            await exchange.send_continue()
            await exchange.request.content.readany()
            abort(exchange)
        if self.when == "after_body":
            await _discard_body(exchange)
            abort(exchange)

    async def on_response(self, exchange: Exchange, response: Response) -> Response:
        """Reset instead of sending the response."""
        if self.when == "after_commit":
            abort(exchange)
        return response


@dataclass
class TruncatedResponse(FaultAction):
    """Half a response (half the head when there is no body) after the commit, then the end of the connection."""

    kind = "truncated_response"

    async def on_response(self, exchange: Exchange, response: Response) -> Response:
        """Cut the head of a response without a body."""
        if not response.length or exchange.raw.method == "HEAD":
            self._cut_head(exchange, response)
        return response

    def _cut_head(self, exchange: Exchange, response: Response) -> NoReturn:
        exchange.write_raw(f"HTTP/1.1 {response.status} OK\r\nx-amz-request-id: {exchange.request_id}\r\nETa".encode())
        self._hang_up(exchange)

    async def mid_response(self, exchange: Exchange) -> None:
        """Cut the body."""
        self._hang_up(exchange)

    @staticmethod
    def _hang_up(exchange: Exchange) -> NoReturn:
        if exchange.request.transport is not None:
            exchange.request.transport.close()
        raise ConnectionGoneError


@dataclass
class Stall(FaultAction):
    """Silence for some seconds: before 100 Continue, with the body unread, or before or within the response."""

    kind = "stall"
    seconds: float = 60.0
    where: Literal["continue", "unread", "head", "body"] = "head"

    async def before_body(self, exchange: Exchange) -> None:
        """Wait before asking for the body, or after asking for it and before reading it."""
        if self.where == "unread":
            await exchange.send_continue()
        if self.where in {"continue", "unread"}:
            await asyncio.sleep(self.seconds)

    async def on_response(self, exchange: Exchange, response: Response) -> Response:
        """Wait after the commit, before the response."""
        del exchange
        if self.where == "head":
            await asyncio.sleep(self.seconds)
        return response

    async def mid_response(self, exchange: Exchange) -> None:
        """Wait within the response body."""
        del exchange
        if self.where == "body":
            await asyncio.sleep(self.seconds)


@dataclass
class Delay(FaultAction):
    """A slow call that succeeds."""

    kind = "delay"
    seconds: float = 1.0

    async def on_request(self, exchange: Exchange) -> None:
        """Wait."""
        del exchange
        await asyncio.sleep(self.seconds)


@dataclass
class DelayedCommit(FaultAction):
    """A commit after a delay, whether or not the client is still connected, as behind a proxy that buffers."""

    kind = "delayed_commit"
    seconds: float = 60.0

    async def before_commit(self, exchange: Exchange) -> None:
        """Wait before the commit."""
        del exchange
        await asyncio.sleep(self.seconds)


@dataclass
class Corrupt(FaultAction):
    """A flipped bit in the body: in transit, where checksums detect it, or on the disk, where none does."""

    kind = "corrupt"
    seen: bool = True

    def filter_body(self, data: bytes) -> tuple[bytes, bytes]:
        """Flip the lowest bit of the first byte."""
        damaged = bytes([data[0] ^ 1]) + data[1:]
        return (damaged if self.seen else data), damaged


@dataclass
class WrongETag(FaultAction):
    """A response with an ETag that does not match the body."""

    kind = "wrong_etag"
    etag: str = "00000000000000000000000000000000"

    async def on_response(self, exchange: Exchange, response: Response) -> Response:
        """Replace the header."""
        del exchange
        return replace(response, headers={**response.headers, "ETag": f'"{self.etag}"'})


@dataclass
class ErrorInBody(FaultAction):
    """200 with an ``<Error>`` body after white space, as S3 sends when CompleteMultipartUpload fails; no commit."""

    kind = "error_in_body"
    code: str = "InternalError"
    message: str = "We encountered an internal error. Please try again."

    async def on_request(self, exchange: Exchange) -> None:
        """Read the body and fail."""
        await _discard_body(exchange)
        raise ApiError(HTTPStatus.OK, self.code, self.message)

    async def on_response(self, exchange: Exchange, response: Response) -> Response:
        """Replace the body of the error."""
        inner = element("Code", self.code) + element("Message", self.message)
        inner += element("RequestId", exchange.request_id)
        body = f'<?xml version="1.0" encoding="UTF-8"?>\n     \n<Error>{inner}</Error>'.encode()
        return replace(response, body=body)


@dataclass
class Close(FaultAction):
    """A good response, after which the connection closes."""

    kind = "close"

    async def on_response(self, exchange: Exchange, response: Response) -> Response:
        """Ask for ``Connection: close``."""
        del exchange
        return replace(response, close=True)
