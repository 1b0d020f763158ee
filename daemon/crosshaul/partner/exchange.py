"""One request, its response, and the hooks at which a scripted fault strikes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import ClassVar

from aiohttp import web

from crosshaul.partner.authorization import Authorization
from crosshaul.partner.errors import ApiError, ConnectionGoneError, new_request_id, s3_body, sts_body
from crosshaul.partner.identity import Caller
from crosshaul.partner.raw_request import RawRequest
from crosshaul.partner.routing import Target
from crosshaul.partner.settings import Settings
from crosshaul.partner.state import AccountState
from crosshaul.partner.store import StoredObject


@dataclass(slots=True)
class Response:
    """A response, whose body is bytes or a range of a stored object."""

    status: int = HTTPStatus.OK
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    source: tuple[StoredObject, int, int] | None = None
    """The object, the first byte and the number of bytes."""
    code: str = ""
    """The error code, for the call log."""
    close: bool = False

    @property
    def length(self) -> int:
        """Bytes of the body."""
        return self.source[2] if self.source else len(self.body)


def xml(root: str, inner: str, headers: Mapping[str, str] | None = None) -> Response:
    """Build a response of 200 with an XML document in S3's namespace."""
    body = f'<?xml version="1.0" encoding="UTF-8"?>\n<{root} xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{inner}</{root}>'
    return Response(headers={"Content-Type": "application/xml", **(headers or {})}, body=body.encode())


class FaultAction:
    """The points at which a scripted fault can strike; at none of them does this base class do anything."""

    kind: ClassVar[str] = "none"

    async def on_request(self, exchange: Exchange) -> None:
        """Run when the head of the request is known (STS: the body too), before any check."""

    async def before_body(self, exchange: Exchange) -> None:
        """Run after the checks, before the body is asked for and read."""

    def filter_body(self, data: bytes) -> tuple[bytes, bytes]:
        """Return the two versions of a piece of the body: for the checksums, and for the store."""
        return data, data

    async def before_commit(self, exchange: Exchange) -> None:
        """Run when the body is complete, before the operation takes effect."""

    async def on_response(self, exchange: Exchange, response: Response) -> Response:
        """Return the response to send, after the operation took effect or failed."""
        del exchange
        return response

    async def mid_response(self, exchange: Exchange) -> None:
        """Run after the first half of the response body was sent."""


NO_FAULT = FaultAction()


@dataclass(slots=True)
class Exchange:
    """A request in progress.

    ``now`` is the account's clock in seconds since the epoch; ``payload_bytes`` is for the call log.
    """

    state: AccountState
    request: web.BaseRequest
    raw: RawRequest
    target: Target
    now: float
    fault: FaultAction = NO_FAULT
    request_id: str = field(default_factory=new_request_id)
    authorization: Authorization | None = None
    caller: Caller | None = None
    payload_bytes: int = 0
    continued: bool = False

    @property
    def settings(self) -> Settings:
        """The account's settings."""
        return self.state.settings

    @property
    def headers(self) -> Mapping[str, str]:
        """The request's headers, by name in lower case."""
        return self.raw.headers

    @property
    def secure(self) -> bool:
        """True if the request came over TLS."""
        return self.request.secure

    @property
    def authenticated_caller(self) -> Caller:
        """The caller; raises RuntimeError before authentication."""
        if self.caller is None:
            raise RuntimeError("the request has not been authenticated")
        return self.caller

    async def send_continue(self) -> None:
        """Send 100 Continue, once, to a client that expects it."""
        if self.continued or not self._expects_continue():
            return
        self.continued = True
        self.write_raw(b"HTTP/1.1 100 Continue\r\n\r\n")

    def write_raw(self, data: bytes) -> None:
        """Write bytes to the connection as they are; raises ConnectionGoneError."""
        transport = self.request.transport
        if transport is None:
            raise ConnectionGoneError
        transport.write(data)

    def _expects_continue(self) -> bool:
        return self.headers.get("expect", "").lower() == "100-continue"

    def has_unread_body(self) -> bool:
        """True if the client has not sent its whole body, or still waits for 100 Continue."""
        if self._expects_continue() and not self.continued:
            return True
        return self.request.body_exists and not self.request.content.at_eof()


def error_response(exchange: Exchange, error: ApiError) -> Response:
    """Build the response for an error, in the XML of the service that was called."""
    sts = exchange.target.service == "sts"
    if error.status == HTTPStatus.NOT_MODIFIED:
        return Response(error.status, error.headers, code=error.code)
    headers = {"Content-Type": "text/xml" if sts else "application/xml", **error.headers}
    body = (sts_body if sts else s3_body)(error, exchange.request_id)
    return Response(error.status, headers, body, code=error.code)
