"""The page's connections: few, none for long, and no complaint of theirs floods the log."""

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

MOST_CONNECTIONS = 64
HEAD_SECONDS = 10.0
"""From the connection, or from the answer before, to the end of a request's head."""
ANSWER_SECONDS = 30.0
"""From a request's first byte to the last of its answer, whoever is slow."""
_BACKLOG = 32
_ACCEPT_AGAIN_SECONDS = 1.0


class ConnectionLimit:
    """All connections at this moment. When there are too many, the one that has been idle for longest goes."""

    def __init__(self, log: Logger) -> None:
        self._log = log
        self._open: dict[PageConnection, None] = {}
        self._complaints = 0

    def make_room(self) -> None:
        """See that one more connection may come."""
        while len(self._open) >= MOST_CONNECTIONS:
            idle = next((each for each in self._open if each.is_idle()), None)
            self.left(leaving := idle or next(iter(self._open)))
            leaving.abort()

    def entered(self, connection: PageConnection) -> None:
        """One more."""
        self._open[connection] = None

    def left(self, connection: PageConnection) -> None:
        """One less."""
        self._open.pop(connection, None)

    def complain(self, error: str) -> None:
        """Log what is wrong with a request or a connection; of many alike only the 1st, 2nd, 4th, 8th, ..."""
        self._complaints += 1
        if is_power_of_two(self._complaints):
            self._log.warning("http_trouble", error=error, count=self._complaints)


class PageConnection(web.RequestHandler):
    """aiohttp's side of a connection, with an end to each of its phases."""

    __slots__ = ("_busy_since", "_crowd")

    def __init__(self, server: web.Server, crowd: ConnectionLimit) -> None:
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            access_log=None,  # type: ignore[arg-type] # aiohttp's own way to have none
            keepalive_timeout=HEAD_SECONDS,
            lingering_time=1.0,
            auto_decompress=False,
        )
        self._crowd = crowd
        self._busy_since: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is there."""
        super().connection_made(transport)
        self._crowd.entered(self)

    def connection_lost(self, error: BaseException | None) -> None:
        """It has gone."""
        self._crowd.left(self)
        if self._busy_since is not None:
            self._busy_since.cancel()
        super().connection_lost(error)

    def data_received(self, data: bytes) -> None:
        """Part of a request came: from now on its answer has a deadline."""
        if self._busy_since is None:
            self._busy_since = asyncio.get_running_loop().call_later(ANSWER_SECONDS, self._expire)
        super().data_received(data)

    def is_idle(self) -> bool:
        """Whether no request is being answered."""
        return self._waiter is not None

    def abort(self) -> None:
        """End it now, whatever is left to be sent."""
        transport = self.transport
        self.force_close()
        if isinstance(transport, asyncio.Transport):
            transport.abort()

    def log_exception(self, *told: object, **more: object) -> None:
        """Log what aiohttp would with a traceback: a request that makes no sense is one line, and not for each."""
        error = more.get("exc_info")
        if isinstance(error, HttpProcessingError):
            self._crowd.complain(f"a request that is no HTTP/1.1: {' '.join(str(error.message).split())[:100]}")
        else:
            logging.getLogger("aiohttp.server").error(*told, **more)  # type: ignore[arg-type]

    def _expire(self) -> None:
        self._busy_since = None
        if self.is_idle():  # it was answered; what came since has the deadline of a head
            return
        self.abort()


async def accept(listening: socket.socket, connection: Callable[[], PageConnection], crowd: ConnectionLimit) -> None:
    """Take connections until cancelled; where none can be taken (no descriptors) try again a second later."""
    loop = asyncio.get_running_loop()
    while True:
        try:
            taken, _ = await loop.sock_accept(listening)
        except ConnectionError:
            continue
        except OSError as error:
            crowd.complain(f"no connection can be taken: {error.strerror}")
            await asyncio.sleep(_ACCEPT_AGAIN_SECONDS)
            continue
        crowd.make_room()
        with suppress(OSError):
            await loop.connect_accepted_socket(connection, taken)


def listen(host: str, port: int) -> list[socket.socket]:
    """Sockets that listen on every address of ``host``. Raises OSError, OverflowError."""
    listening: list[socket.socket] = []
    try:
        for family, _, _, _, address in socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        ):
            made = socket.socket(family, socket.SOCK_STREAM)
            listening.append(made)
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            made.setblocking(False)  # noqa: FBT003
            made.bind(address)
            made.listen(_BACKLOG)
    except BaseException:
        for each in listening:
            each.close()
        raise
    return listening
