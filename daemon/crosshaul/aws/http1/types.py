"""What the client is told and what it tells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from crosshaul.errors import CrosshaulError
from crosshaul.integrity.streamed_body import StreamedBody

Body = bytes | bytearray | memoryview | StreamedBody


class BodyPacer(Protocol):
    """Who says when bytes may be sent; false where nothing limits them."""

    def __bool__(self) -> bool:
        """Whether there is any limit."""

    def piece(self) -> int:
        """The most that one turn may be asked for."""

    async def turn(self, size: int) -> None:
        """Come back when so many bytes may go."""

    def give_back(self, size: int) -> None:
        """A turn was had, and its bytes don't go."""


class Address(NamedTuple):
    """One address of a name, as getaddrinfo gives it."""

    family: int
    sockaddr: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Seconds. A request as a whole has none: a body that moves is never given up for being slow."""

    connect: float = 10.0
    """For the name, one TCP connection to any of its addresses, and a proxy's word, each."""
    tls: float = 10.0
    progress: float = 30.0
    """Without a byte that moved in either direction, while there are bytes to send; noticed up to a half later."""
    answer: float = 60.0
    """From the moment that the other side has taken the last byte to the last byte of its answer."""
    trickle: float = 600.0
    """In which a body has to move by more than a trickle, see ``connection.py``."""


class Response(NamedTuple):
    """A whole answer; header names are lower-case, repeated headers are joined by ``, ``.

    The body of an error (status 300 and above) may be cut.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    resent: bool = False
    """The request was sent twice, since a kept connection broke: the first one may have been acted upon, too."""
    waited: float = 0.0
    """Seconds for which the answer was waited for after the last byte was taken; 0 for a few seconds."""


class TransportError(CrosshaulError):
    """No whole answer came.

    ``code``: ConnectError, ConnectTimeout, DNSError, TLSError (certificate, host name, protocol), TLSTimeout,
    ProxyError, ProgressTimeout, ResponseTimeout, ConnectionReset, ProtocolError, ResponseTooLarge or ClientClosed.
    ``ambiguous``: a byte of the request was handed to a connection, so that it may have been acted upon; False means
    that it certainly was not. ``str(error)`` says what happened and where.
    """

    def __init__(self, code: str, message: str, *, ambiguous: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.ambiguous = ambiguous
