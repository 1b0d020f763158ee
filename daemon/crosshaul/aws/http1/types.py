"""Types of the HTTP client's interface: body, pacer, deadlines, response, error."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from crosshaul.errors import CrosshaulError
from crosshaul.integrity.streamed_body import StreamedBody

Body = bytes | bytearray | memoryview | StreamedBody


class BodyPacer(Protocol):
    """Bandwidth limit of request bodies; false while there is no limit."""

    def __bool__(self) -> bool:
        """Return whether there is a limit."""

    def piece(self) -> int:
        """Return the largest size in bytes of one turn."""

    async def turn(self, size: int) -> None:
        """Wait until ``size`` bytes may be sent."""

    def give_back(self, size: int) -> None:
        """Return a granted turn whose bytes will not be sent."""


class Address(NamedTuple):
    """One address of a host name, from getaddrinfo."""

    family: int
    sockaddr: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Deadlines of a request's phases, in seconds. There is no total: a slow body that moves is not given up."""

    connect: float = 10.0
    """For name lookup, TCP connection (all addresses together) and the proxy's response, each."""
    tls: float = 10.0
    progress: float = 30.0
    """Without a byte moving in either direction while the body is sent; checked with up to half as much delay."""
    response: float = 60.0
    """From the peer's receipt of the last byte of the request to the last byte of its response."""
    trickle: float = 600.0
    """Window in which a body has to move by more than a trickle, see ``watchdog.py``."""


class Response(NamedTuple):
    """A complete response; header names are lower-case, repeated headers are joined by ``, ``.

    The body of an error (status 300 and above) may be truncated.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    resent: bool = False
    """The request was sent twice, since a kept connection broke: the first copy may have been executed, too."""
    wait_seconds: float = 0.0
    """Seconds from the peer's receipt of the whole request to the response; 0 if less than a few."""


class TransportError(CrosshaulError):
    """A request got no complete response.

    ``code``: ConnectError, ConnectTimeout, DNSError, TLSError (certificate, host name, protocol), TLSTimeout,
    ProxyError, ProgressTimeout, ResponseTimeout, ConnectionReset, ProtocolError, ResponseTooLarge or ClientClosed.
    ``ambiguous``: a byte of the request was given to a connection, so the request may have been executed; False: it
    was not. ``str(error)`` says what happened and names the peer.
    """

    def __init__(self, code: str, message: str, *, ambiguous: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.ambiguous = ambiguous
