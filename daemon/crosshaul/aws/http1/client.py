"""HTTP client for one origin: sends requests over a pool of kept connections."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Sequence

from crosshaul.aws.http1.connection import Connection
from crosshaul.aws.http1.connector import Connector
from crosshaul.aws.http1.pool import ConnectionPool
from crosshaul.aws.http1.reader import ResponseReader
from crosshaul.aws.http1.request import Request
from crosshaul.aws.http1.tls import TlsStream
from crosshaul.aws.http1.types import Body, BodyPacer, Deadlines, Response, TransportError
from crosshaul.aws.http1.watchdog import Traffic
from crosshaul.aws.net import Origin, Proxy

_MAX_IDLE_SECONDS = 60.0
"""Routers forget idle connections without notice, so an older one is not used again."""


class Client:
    """Sends requests to one origin. Belongs to the event loop in which it is created; needs ``close``."""

    def __init__(
        self,
        origin: Origin,
        *,
        tls: ssl.SSLContext | None,
        max_connections: int,
        deadlines: Deadlines,
        proxy: Proxy | None,
        pace: BodyPacer | None = None,
        max_head: int = 64 * 1024,
        max_body: int = 1024 * 1024,
        max_idle: float = _MAX_IDLE_SECONDS,
    ) -> None:
        """Raise ValueError unless ``tls`` (a context that checks) is given for https, and only for it.

        ``pace`` grants the bytes of each write. ``max_head`` and ``max_body`` limit the response, in bytes. A
        connection that is idle for ``max_idle`` seconds is not used again.
        """
        self._origin = origin
        self._authority = origin.authority
        self.deadlines = deadlines
        """Default deadlines of a request."""
        self._pacer = pace
        self._traffic = Traffic()
        self._response_limits = (max_head, max_body)
        connector = Connector(origin, tls, deadlines, proxy)
        self.pool = ConnectionPool(connector, self._make_connection, max_connections, max_idle)
        # A plain http request goes to the proxy unchanged, with the whole URL; https goes through a tunnel.
        forwarded = proxy is not None and tls is None
        self._target_prefix = f"http://{self._authority}" if forwarded else ""
        authorization = proxy.authorization if proxy is not None and forwarded else None
        self._proxy_headers = [("proxy-authorization", authorization)] if authorization else []

    async def send(
        self,
        method: str,
        target: str,
        headers: Sequence[tuple[str, str]],
        body: Body,
        *,
        deadlines: Deadlines | None = None,
    ) -> Response:
        """Send a request and return the response, whatever its status.

        ``target``: path and query, percent-encoded. ``headers``: names in lower case; Host and Content-Length are added
        if missing; text outside ASCII is sent as UTF-8. ``body`` must not change until this returns. ``deadlines``
        replace the default ones. A request that breaks on a kept connection before a byte of a response is sent once
        more on a new connection, if the method is idempotent (PUT is).

        Raises TransportError; ValueError for a header with a line break, a capital letter in its name, or a wrong
        length. A cancelled send closes its connection.
        """
        request = Request(method, self._target_prefix + target, self._authority, [*self._proxy_headers, *headers], body)
        deadlines = deadlines or self.deadlines
        granted = await self._first_turn(request) if self._pacer else 0
        try:
            connection = self.pool.take_idle() or await self.pool.acquire()
        except BaseException:
            self._return_turn(granted)
            raise
        try:
            return await connection.exchange(request, deadlines, granted)
        except TransportError as error:
            if not (request.idempotent and connection.broke_while_idle(error)) or self.pool.closed:
                raise
            connection, response = await self._resend(request, deadlines, error)
            return response
        finally:
            self.pool.release(connection)

    async def close(self) -> None:
        """Close all connections; pending requests fail with TransportError."""
        await self.pool.close()

    async def _resend(
        self, request: Request, deadlines: Deadlines, first: TransportError
    ) -> tuple[Connection, Response]:
        """Send again on a new connection, in the place of the broken one. A failure is ambiguous if the first was."""
        try:
            granted = await self._first_turn(request) if self._pacer else 0
            try:
                connection = await self.pool.connect()
            except BaseException:
                self._return_turn(granted)
                raise
            try:
                response = await connection.exchange(request, deadlines, granted)
            except BaseException:
                connection.abort()
                raise
        except TransportError as error:
            raise TransportError(error.code, error.message, ambiguous=error.ambiguous or first.ambiguous) from error
        return connection, response._replace(resent=first.ambiguous)

    async def _first_turn(self, request: Request) -> int:
        """Wait for the first bytes' turn before connecting: servers close connections that stay silent."""
        assert self._pacer is not None  # noqa: S101 - the caller has checked
        size = request.first_size(self._pacer.piece())
        await self._pacer.turn(size)
        return size

    def _return_turn(self, granted: int) -> None:
        if self._pacer is not None and granted:
            self._pacer.give_back(granted)

    def _make_connection(self, sock: socket.socket, tls: TlsStream | None) -> Connection:
        reader = ResponseReader(*self._response_limits)
        return Connection(sock, tls, self._origin.host, reader, self._pacer, self._traffic)
