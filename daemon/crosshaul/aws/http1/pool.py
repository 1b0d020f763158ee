"""The client: a bounded pool of kept connections to one origin."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import deque
from collections.abc import Sequence

from crosshaul.aws.http1.connection import Connection, Traffic
from crosshaul.aws.http1.connector import Connector
from crosshaul.aws.http1.reader import ResponseReader
from crosshaul.aws.http1.request import Request
from crosshaul.aws.http1.tls import TlsStream
from crosshaul.aws.http1.types import Body, BodyPacer, Deadlines, Response, TransportError
from crosshaul.aws.net import Origin, Proxy

_MAX_IDLE_SECONDS = 60.0
"""After which a kept connection is not trusted any more: routers forget idle ones and say nothing."""


class Client:
    """Sends requests to one origin. Belongs to the event loop that it is made in; ``close`` it.

    A place in the pool is held by whoever dials, sends or waits with a connection; ``_open`` counts places.
    """

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

        ``pace`` grants the bytes of each write. ``max_head`` and ``max_body`` bound the answer,
        in bytes. A connection that was not used for ``max_idle`` seconds is not used again.
        """
        self._max_idle = max_idle
        self._origin = origin
        self._authority = origin.authority
        self._dialer = Connector(origin, tls, deadlines, proxy)
        self.deadlines = deadlines
        """Those of a request that brings none."""
        self._pace = pace
        self._traffic = Traffic()
        self._bounds = (max_head, max_body)
        self._max = max_connections
        self._open = 0
        self._idle: dict[Connection, None] = {}
        self._live: set[Connection] = set()
        self._waiters: deque[asyncio.Future[Connection | None]] = deque()
        self._closed = False
        # A plain http request goes to the proxy as it is, with the whole URL; https goes through a tunnel.
        forwarded = proxy is not None and tls is None
        self._prefix = f"http://{self._authority}" if forwarded else ""
        authorization = proxy.authorization if proxy is not None and forwarded else None
        self._extra = [("proxy-authorization", authorization)] if authorization else []

    async def send(
        self,
        method: str,
        target: str,
        headers: Sequence[tuple[str, str]],
        body: Body,
        *,
        deadlines: Deadlines | None = None,
    ) -> Response:
        """Send a request and return the answer, whatever its status.

        ``target``: path and query, percent-encoded. ``headers``: names in lower case; Host and Content-Length are added
        if they are not there; text that is not ASCII goes as UTF-8. ``body`` must not change until this returns.
        ``deadlines``: those of this request, instead of the usual. A request that breaks on a kept connection before a
        byte of an answer came is sent once more on a new one, if the method is idempotent (PUT is).

        Raises WireError; ValueError for a header with a line break, a capital letter in its name, or a wrong length. A
        cancelled send closes its connection.
        """
        request = Request(method, self._prefix + target, self._authority, [*self._extra, *headers], body)
        deadlines = deadlines or self.deadlines
        granted = await self._first_turn(request) if self._pace else 0
        try:
            connection = self._take_idle() or await self._check_out()
        except BaseException:
            self._return_turn(granted)
            raise
        try:
            return await connection.exchange(request, deadlines, granted)
        except TransportError as error:
            if not (request.idempotent and connection.broke_while_kept(error)) or self._closed:
                raise
            connection, answer = await self._send_again(request, deadlines, error)
            return answer
        finally:
            self._give_back(connection)

    async def close(self) -> None:
        """Close all connections; senders and those who wait for their turn get a WireError."""
        self._closed = True
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_exception(_closed_error())
        self._waiters.clear()
        live = list(self._live)
        for connection in live:
            connection.shut()
        await asyncio.gather(*(connection.closed for connection in live))

    async def _send_again(
        self, request: Request, deadlines: Deadlines, first: TransportError
    ) -> tuple[Connection, Response]:
        """Use the place of the broken connection for a new one. Each failure now is at least as ambiguous as before."""
        try:
            granted = await self._first_turn(request) if self._pace else 0
            try:
                connection = await self._dial()
            except BaseException:
                self._return_turn(granted)
                raise
            try:
                return connection, (await connection.exchange(request, deadlines, granted))._replace(
                    resent=first.ambiguous
                )
            except BaseException:
                connection.abort()
                raise
        except TransportError as error:
            raise TransportError(error.code, error.message, ambiguous=error.ambiguous or first.ambiguous) from error

    async def _first_turn(self, request: Request) -> int:
        """Wait for the first bytes' turn before there is a connection: servers close those that say nothing."""
        assert self._pace is not None  # noqa: S101 - its caller has looked
        size = request.first(self._pace.piece())
        await self._pace.turn(size)
        return size

    def _return_turn(self, granted: int) -> None:
        if self._pace is not None and granted:
            self._pace.give_back(granted)

    def _take_idle(self) -> Connection | None:
        """Return the connection that was used last; close those that are broken or old."""
        while self._idle:
            connection, _ = self._idle.popitem()
            if connection.usable and asyncio.get_running_loop().time() - connection.idle_since < self._max_idle:
                return connection
            connection.abort()
            self._free_place()
        return None

    async def _check_out(self) -> Connection:
        """Wait for a place, and dial unless it comes with a connection."""
        if self._closed:
            raise _closed_error()
        if self._open < self._max:
            self._open += 1
        else:
            connection = await self._wait_for_place()
            if connection is not None and connection.usable:
                return connection
        try:
            return await self._dial()
        except BaseException:
            self._free_place()
            raise

    async def _wait_for_place(self) -> Connection | None:
        waiter: asyncio.Future[Connection | None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            return await waiter
        except asyncio.CancelledError:
            self._leave_queue(waiter)
            raise

    def _leave_queue(self, waiter: asyncio.Future[Connection | None]) -> None:
        """Forget a waiter; what it was given in the same moment goes to the next."""
        if waiter.cancelled():
            if waiter in self._waiters:
                self._waiters.remove(waiter)
        elif waiter.exception() is None:
            connection = waiter.result()
            if connection is None:
                self._free_place()
            else:
                self._give_back(connection)

    async def _dial(self) -> Connection:
        """Return a new connection; the caller holds the place for it."""
        connection = await self._dialer.dial(self._make_connection)
        if not connection.closed.done():
            connection.lost = self._on_lost
            self._live.add(connection)
        if self._closed:
            connection.abort()
            raise _closed_error()
        return connection

    def _make_connection(self, sock: socket.socket, tls: TlsStream | None) -> Connection:
        reader = ResponseReader(*self._bounds)
        return Connection(sock, tls, self._origin.host, reader, self._pace, self._traffic)

    def _give_back(self, connection: Connection) -> None:
        """Hand the connection on, keep it, or, if it is of no more use, free its place."""
        if self._closed or not connection.usable:
            connection.abort()
            self._free_place()
            return
        waiter = self._next_waiter()
        if waiter is not None:
            waiter.set_result(connection)
        else:
            connection.idle_since = asyncio.get_running_loop().time()
            self._idle[connection] = None

    def _free_place(self) -> None:
        waiter = self._next_waiter()
        if waiter is not None:
            waiter.set_result(None)
        else:
            self._open -= 1

    def _next_waiter(self) -> asyncio.Future[Connection | None] | None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                return waiter
        return None

    def _on_lost(self, connection: Connection) -> None:
        """Forget a closed connection; one that was kept held a place of its own."""
        self._live.discard(connection)
        if connection in self._idle:
            del self._idle[connection]
            self._free_place()


def _closed_error() -> TransportError:
    return TransportError("ClientClosed", "the client was closed")
