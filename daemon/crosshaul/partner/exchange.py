"""One request and its answer, as they pass through the account."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING

from aiohttp import web

from crosshaul.partner.errors import ConnectionGoneError, new_request_id
from crosshaul.partner.identity import Caller
from crosshaul.partner.routing import Target
from crosshaul.partner.settings import Settings
from crosshaul.partner.signature import Claimed, Received
from crosshaul.partner.store import StoredObject

if TYPE_CHECKING:
    from crosshaul.partner.faults import Action
    from crosshaul.partner.state import State


@dataclass(slots=True)
class Answer:
    """What goes back: a body of bytes, or a stretch of a stored object."""

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


def xml(root: str, inner: str, headers: Mapping[str, str] | None = None) -> Answer:
    """200 with an XML document in S3's namespace."""
    body = f'<?xml version="1.0" encoding="UTF-8"?>\n<{root} xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{inner}</{root}>'
    return Answer(headers={"Content-Type": "application/xml", **(headers or {})}, body=body.encode())


@dataclass(slots=True)
class Exchange:
    """A request being answered.

    ``now`` is the account's clock in seconds since the epoch; ``moved`` counts the payload's bytes for the call log.
    """

    state: State
    request: web.BaseRequest
    received: Received
    target: Target
    now: float
    fault: Action
    request_id: str = field(default_factory=new_request_id)
    claimed: Claimed | None = None
    caller: Caller | None = None
    moved: int = 0
    continued: bool = False

    @property
    def settings(self) -> Settings:
        """The account's settings."""
        return self.state.settings

    @property
    def headers(self) -> Mapping[str, str]:
        """The request's headers, by name in lower case."""
        return self.received.headers

    @property
    def secure(self) -> bool:
        """Whether it came over TLS."""
        return self.request.secure

    @property
    def who(self) -> Caller:
        """The caller, once it is known."""
        if self.caller is None:
            raise RuntimeError("the request has not been authenticated")
        return self.caller

    async def send_continue(self) -> None:
        """Say 100 Continue, once, to a client that waits for it."""
        if self.continued or not self._waits():
            return
        self.continued = True
        self.write_raw(b"HTTP/1.1 100 Continue\r\n\r\n")

    def write_raw(self, data: bytes) -> None:
        """Write to the connection past HTTP; raises ConnectionGoneError."""
        transport = self.request.transport
        if transport is None:
            raise ConnectionGoneError
        transport.write(data)

    def _waits(self) -> bool:
        return self.headers.get("expect", "").lower() == "100-continue"

    def owes_body(self) -> bool:
        """Whether the client still has a part of its body to send, or still waits to be told to."""
        if self._waits() and not self.continued:
            return True
        return self.request.body_exists and not self.request.content.at_eof()
