"""Pool of the connections to one origin: a bounded number of places, and a queue for them."""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import Callable

from crosshaul.aws.http1.connection import Connection
from crosshaul.aws.http1.connector import Connector
from crosshaul.aws.http1.tls import TlsStream
from crosshaul.aws.http1.types import TransportError


class ConnectionPool:
    """Hands out connections. A connection holds a place while it is opened, used or kept idle."""

    def __init__(
        self,
        connector: Connector,
        make: Callable[[socket.socket, TlsStream | None], Connection],
        max_connections: int,
        max_idle: float,
    ) -> None:
        """Take ``make`` to wrap a new socket; ``max_idle``: seconds after which an idle connection is closed."""
        self.connector = connector
        self._make = make
        self._max_connections = max_connections
        self._max_idle = max_idle
        self.places = 0
        """Places that are held."""
        self.idle: dict[Connection, None] = {}
        """Idle connections, the one used last at the end."""
        self.connections: set[Connection] = set()
        """Open connections, idle ones included."""
        self.waiters: deque[asyncio.Future[Connection | None]] = deque()
        """Futures of the callers that wait for a place; a result of None is a place without a connection."""
        self.closed = False

    async def close(self) -> None:
        """Close all connections; their requests and all waiting callers get a TransportError."""
        self.closed = True
        for waiter in self.waiters:
            if not waiter.done():
                waiter.set_exception(_closed_error())
        self.waiters.clear()
        connections = list(self.connections)
        for connection in connections:
            connection.close_with_client()
        await asyncio.gather(*(connection.closed for connection in connections))

    def take_idle(self) -> Connection | None:
        """Return the idle connection that was used last; close those that are broken or too old."""
        while self.idle:
            connection, _ = self.idle.popitem()
            if connection.usable and asyncio.get_running_loop().time() - connection.idle_since < self._max_idle:
                return connection
            connection.abort()
            self._free_place()
        return None

    async def acquire(self) -> Connection:
        """Wait for a place, and open a connection unless the place comes with one. Raises TransportError."""
        if self.closed:
            raise _closed_error()
        if self.places < self._max_connections:
            self.places += 1
        else:
            connection = await self._wait_for_place()
            if connection is not None and connection.usable:
                return connection
        try:
            return await self.connect()
        except BaseException:
            self._free_place()
            raise

    async def connect(self) -> Connection:
        """Open a connection in a place that the caller holds. Raises TransportError."""
        connection = await self.connector.connect(self._make)
        if not connection.closed.done():
            connection.on_closed = self._on_closed
            self.connections.add(connection)
        if self.closed:
            connection.abort()
            raise _closed_error()
        return connection

    def release(self, connection: Connection) -> None:
        """Pass the connection to a waiting caller, keep it, or, if it is not usable, free its place."""
        if self.closed or not connection.usable:
            connection.abort()
            self._free_place()
            return
        waiter = self._next_waiter()
        if waiter is not None:
            waiter.set_result(connection)
        else:
            connection.idle_since = asyncio.get_running_loop().time()
            self.idle[connection] = None

    async def _wait_for_place(self) -> Connection | None:
        waiter: asyncio.Future[Connection | None] = asyncio.get_running_loop().create_future()
        self.waiters.append(waiter)
        try:
            return await waiter
        except asyncio.CancelledError:
            self._leave_queue(waiter)
            raise

    def _leave_queue(self, waiter: asyncio.Future[Connection | None]) -> None:
        """Remove a cancelled waiter; a place that it got at the same time goes to the next one."""
        if waiter.cancelled():
            if waiter in self.waiters:
                self.waiters.remove(waiter)
        elif waiter.exception() is None:
            connection = waiter.result()
            if connection is None:
                self._free_place()
            else:
                self.release(connection)

    def _free_place(self) -> None:
        waiter = self._next_waiter()
        if waiter is not None:
            waiter.set_result(None)
        else:
            self.places -= 1

    def _next_waiter(self) -> asyncio.Future[Connection | None] | None:
        while self.waiters:
            waiter = self.waiters.popleft()
            if not waiter.done():
                return waiter
        return None

    def _on_closed(self, connection: Connection) -> None:
        """Forget a closed connection, and free the place of an idle one."""
        self.connections.discard(connection)
        if connection in self.idle:
            del self.idle[connection]
            self._free_place()


def _closed_error() -> TransportError:
    return TransportError("ClientClosed", "the client was closed")
