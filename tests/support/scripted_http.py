"""A server that executes the test's script on each connection."""

from __future__ import annotations

import asyncio
import contextlib
import math
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, cast

from crosshaul.aws.http1 import Client, Deadlines, Origin, Proxy

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


class Peer:
    """One accepted connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def head(self) -> bytes:
        return await self.reader.readuntil(b"\r\n\r\n")

    async def request(self) -> tuple[bytes, bytes]:
        """Return head and body."""
        head = await self.head()
        lines = head.lower().split(b"\r\n")
        length = next((int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length:")), 0)
        return head, await self.reader.readexactly(length)

    async def say(self, *pieces: bytes, pause: float = 0) -> None:
        for piece in pieces:
            self.writer.write(piece)
            await self.writer.drain()
            await asyncio.sleep(pause)

    def reset(self) -> None:
        """Close with a RST."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.writer.transport.abort()

    def pause_reading(self) -> None:
        """Read no more bytes from the client."""
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Read bytes from the client again."""
        self._transport.resume_reading()

    @property
    def _transport(self) -> asyncio.Transport:
        return cast("asyncio.Transport", self.writer.transport)

    async def gone(self) -> bool:
        """Read until the client has closed the connection."""
        with contextlib.suppress(ConnectionError):
            while await self.reader.read(1 << 20):
                pass
        return True


Script = Callable[[Peer], Awaitable[object]]


class Scripted:
    """A record of what the server received."""

    def __init__(self) -> None:
        self.port = 0
        self.accepted = 0
        self.open = 0
        self.most_open = 0
        self.failures: list[BaseException] = []

    async def until_open(self, count: int) -> None:
        """Wait, for at most a second, until this many connections are open."""
        async with asyncio.timeout(60):
            while self.open != count:
                await asyncio.sleep(0.005)


@contextlib.asynccontextmanager
async def scripted(
    *scripts: Script, tls: ssl.SSLContext | None = None, buffer: int | None = None
) -> AsyncIterator[Scripted]:
    """Serve the n-th connection by the n-th script, all later ones by the last; close each when its script ends.

    ``buffer``: bytes that a connection takes before its script asks for them.
    """
    state, serving = Scripted(), dict[asyncio.Task[None], asyncio.StreamWriter]()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        script = scripts[min(state.accepted, len(scripts) - 1)]
        state.accepted += 1
        state.open += 1
        state.most_open = max(state.most_open, state.open)
        serving[asyncio.create_task(serve(script, Peer(reader, writer)))] = writer

    async def serve(script: Script, peer: Peer) -> None:
        try:
            await script(peer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        except AssertionError as error:
            state.failures.append(error)
        finally:
            state.open -= 1
            peer.writer.close()

    sock = socket.create_server(("127.0.0.1", 0))
    if buffer is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    server = await asyncio.start_server(accept, sock=sock, ssl=tls, limit=buffer or 65_536)
    state.port = sock.getsockname()[1]
    try:
        yield state
    finally:
        server.close()
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)
        for writer in serving.values():
            writer.transport.abort()  # what the client never read keeps a connection open that is only closed
        await asyncio.sleep(0 if tls is None else 0.01)  # a failed handshake closes its transport a few turns later
        assert not state.failures


async def polite(peer: Peer) -> None:
    """Respond to each request."""
    while True:
        await peer.request()
        await peer.say(OK)


def says(*pieces: bytes, pause: float = 0) -> Script:
    """Read a request, send this, and close when the client does."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.say(*pieces, pause=pause)
        await peer.gone()

    return script


@contextlib.asynccontextmanager
async def client_of(
    port: int,
    *,
    host: str = "127.0.0.1",
    tls: ssl.SSLContext | None = None,
    progress: float = 60.0,
    response: float = 60.0,
    trickle: float = 600.0,
    setup: float = 60.0,
    most: int = 4,
    proxy: Proxy | None = None,
    **more: Any,
) -> AsyncIterator[Client]:
    """Yield a client that is closed at the end; ``setup``: the deadlines of connect and TLS."""
    origin = Origin("https" if tls else "http", host, port)
    deadlines = Deadlines(connect=setup, tls=setup, progress=progress, response=response, trickle=trickle)
    client = Client(origin, tls=tls, max_connections=most, deadlines=deadlines, proxy=proxy, **more)
    try:
        yield client
    finally:
        await client.close()


def never() -> asyncio.Future[None]:
    """Return an awaitable that never completes."""
    return asyncio.get_running_loop().create_future()


class Meter:
    """A pacer that counts bytes, and grants what the test permits, in pieces of this size."""

    def __init__(self, allowed: float = math.inf, most: int = 256 * 1024) -> None:
        self.asked: list[int] = []
        self.given_back: list[int] = []
        self.allowed = allowed
        self.most = most

    def __bool__(self) -> bool:
        return True

    def piece(self) -> int:
        return self.most

    async def turn(self, size: int) -> None:
        assert size <= self.most
        self.asked.append(size)
        if sum(self.asked) > self.allowed:
            await never()

    def give_back(self, size: int) -> None:
        self.given_back.append(size)
