"""Connections to the HTTP server: limited in number and time; their errors don't flood the log."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from contextlib import suppress

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from crosshaul.telemetry.failure_streak import is_power_of_two
from crosshaul.telemetry.logger import Logger

MAX_CONNECTIONS = 64
HEAD_SECONDS = 10.0
"""From the connection, or from the previous response, to the end of a request's head."""
RESPONSE_SECONDS = 30.0
"""From a request's first byte to the last of its response."""
_LISTEN_BACKLOG = 32
_ACCEPT_RETRY_SECONDS = 1.0


class ConnectionLimit:
    """The open connections. A connection beyond the limit closes the one that has been idle for longest."""

    def __init__(self, log: Logger) -> None:
        self._log = log
        self._open: dict[HttpConnection, None] = {}
        self._errors = 0

    def make_room(self) -> None:
        """Close connections until one more is within the limit."""
        while len(self._open) >= MAX_CONNECTIONS:
            idle = next((connection for connection in self._open if connection.is_idle()), None)
            closing = idle or next(iter(self._open))
            self.remove(closing)
            closing.abort()

    def add(self, connection: HttpConnection) -> None:
        """Add an open connection."""
        self._open[connection] = None

    def remove(self, connection: HttpConnection) -> None:
        """Remove a closed connection."""
        self._open.pop(connection, None)

    def log_error(self, error: str) -> None:
        """Log the 1st, 2nd, 4th, ... error of a request or a connection."""
        self._errors += 1
        if is_power_of_two(self._errors):
            self._log.warning("http_error", error=error, count=self._errors)


class HttpConnection(web.RequestHandler):
    """A connection with a deadline for each request's head and for each response."""

    __slots__ = ("_limit", "_response_deadline")

    def __init__(self, server: web.Server, limit: ConnectionLimit) -> None:
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            access_log=None,  # type: ignore[arg-type] # aiohttp's own way to have none
            keepalive_timeout=HEAD_SECONDS,
            lingering_time=1.0,
            auto_decompress=False,
        )
        self._limit = limit
        self._response_deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Register the connection."""
        super().connection_made(transport)
        self._limit.add(self)

    def connection_lost(self, error: BaseException | None) -> None:
        """Unregister the connection."""
        self._limit.remove(self)
        if self._response_deadline is not None:
            self._response_deadline.cancel()
        super().connection_lost(error)

    def data_received(self, data: bytes) -> None:
        """Start the response's deadline at a request's first byte."""
        if self._response_deadline is None:
            self._response_deadline = asyncio.get_running_loop().call_later(RESPONSE_SECONDS, self._expire)
        super().data_received(data)

    def is_idle(self) -> bool:
        """Return whether no request is being answered."""
        return self._waiter is not None

    def abort(self) -> None:
        """Close the connection now, without sending what is left."""
        transport = self.transport
        self.force_close()
        if isinstance(transport, asyncio.Transport):
            transport.abort()

    def log_exception(self, *arguments: object, **options: object) -> None:
        """Log an invalid request as one line, and not each of them; aiohttp would log tracebacks."""
        error = options.get("exc_info")
        if isinstance(error, HttpProcessingError):
            self._limit.log_error(f"not an HTTP/1.1 request: {' '.join(str(error.message).split())[:100]}")
        else:
            logging.getLogger("aiohttp.server").error(*arguments, **options)  # type: ignore[arg-type]

    def _expire(self) -> None:
        self._response_deadline = None
        if not self.is_idle():  # else it was answered, and later bytes belong to the next head with its own deadline
            self.abort()


async def accept(listening: socket.socket, connection: Callable[[], HttpConnection], limit: ConnectionLimit) -> None:
    """Accept connections until cancelled; after an error (no descriptors) retry a second later."""
    loop = asyncio.get_running_loop()
    while True:
        try:
            accepted, _ = await loop.sock_accept(listening)
        except ConnectionError:
            continue
        except OSError as error:
            limit.log_error(f"accept failed: {error.strerror}")
            await asyncio.sleep(_ACCEPT_RETRY_SECONDS)
            continue
        limit.make_room()
        with suppress(OSError):
            await loop.connect_accepted_socket(connection, accepted)


def listen(host: str, port: int) -> list[socket.socket]:
    """Return sockets that listen on every address of ``host``. Raises OSError, OverflowError."""
    listening: list[socket.socket] = []
    try:
        for family, _, _, _, address in socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        ):
            listener = socket.socket(family, socket.SOCK_STREAM)
            listening.append(listener)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listener.setblocking(False)  # noqa: FBT003
            listener.bind(address)
            listener.listen(_LISTEN_BACKLOG)
    except BaseException:
        for listener in listening:
            listener.close()
        raise
    return listening
