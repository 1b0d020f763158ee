"""A connection's socket: events are delivered, writes queue, and the peer's bytes are read to the end."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from crosshaul.aws.http1 import Deadlines, TransportError
from crosshaul.aws.http1.connection import Connection
from crosshaul.aws.http1.link import Link
from crosshaul.aws.http1.reader import ResponseReader
from crosshaul.aws.http1.request import Request
from crosshaul.aws.http1.watchdog import Traffic

LINE = b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\n\r\n"


class RecordingProtocol:
    """Records the events of a link."""

    def __init__(self) -> None:
        self.bytes = b""
        self.events: list[str] = []
        self.closed = asyncio.Event()

    def data_received(self, data: bytes) -> None:
        self.bytes += data

    def eof_received(self) -> None:
        self.events.append("eof")

    def resume_writing(self) -> None:
        self.events.append("writable")

    def connection_lost(self) -> None:
        self.events.append("lost")
        self.closed.set()


@asynccontextmanager
async def pair() -> AsyncIterator[tuple[Link, RecordingProtocol, socket.socket]]:
    """Return a link, its listener, and the other end."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)
    protocol = RecordingProtocol()
    link = Link(ours, None, protocol)
    try:
        yield link, protocol, theirs
    finally:
        link.close()
        theirs.close()


async def test_what_does_not_fit_waits_and_arrives_whole():
    """Bytes beyond what the system accepts count as unsent, and are sent as the peer reads."""
    data = bytes(range(256)) * 16_384
    async with pair() as (link, protocol, theirs):
        link.write(data)
        assert 0 < link.unsent < len(data)
        arrived = b""
        while len(arrived) < len(data):
            arrived += await asyncio.get_running_loop().sock_recv(theirs, 1 << 20)
        assert arrived == data
        assert (link.unsent, protocol.events) == (0, ["writable"])


async def test_an_end_is_reported_and_closes_the_link():
    """The owner gets the bytes, then the end, then the closing, each once."""
    async with pair() as (link, protocol, theirs):
        theirs.sendall(b"last words")
        theirs.close()
        async with asyncio.timeout(60):
            await protocol.closed.wait()
        assert (protocol.bytes, protocol.events, link.open) == (b"last words", ["eof", "lost"], False)
        link.close()
        link.write(b"nothing happens")
        await asyncio.sleep(0)
        assert protocol.events == ["eof", "lost"]


async def test_what_was_said_before_a_reset_is_noticed():
    """A write that fails because the peer closed does not lose the bytes that the peer sent before."""
    async with pair() as (link, protocol, theirs):
        theirs.sendall(b"no, thank you")
        theirs.close()
        link.write(b"body")
        assert (protocol.bytes, link.open) == (b"no, thank you", False)


async def test_who_speaks_before_being_asked_is_not_taken_for_the_answer():
    """A "408" that arrives before the request is not its response: the connection is given up, and nothing was sent."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    connection = Connection(ours, None, "peer", ResponseReader(1024, 1024), None, Traffic())
    sending = asyncio.create_task(connection.exchange(Request("PUT", "/k", "peer", [], b"x"), Deadlines()))
    await asyncio.sleep(0)  # it is to be written in the loop's next turn
    connection.data_received(LINE)
    with pytest.raises(TransportError) as caught:
        await sending
    assert (caught.value.code, caught.value.ambiguous) == ("ConnectionReset", False)
    await connection.closed
    assert (theirs.recv(1024), connection.usable) == (b"", False)
    theirs.close()
