"""A connection's socket: what comes is told, what does not fit waits, and the other side is heard to its end."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from crosshaul.aws.http1 import Deadlines, TransportError
from crosshaul.aws.http1.connection import Connection, Traffic
from crosshaul.aws.http1.link import Link
from crosshaul.aws.http1.reader import ResponseReader
from crosshaul.aws.http1.request import Request

LINE = b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\n\r\n"


class Ear:
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.bytes = b""
        self.told: list[str] = []
        self.closed = asyncio.Event()

    def heard(self, data: bytes) -> None:
        self.bytes += data

    def ended(self) -> None:
        self.told.append("ended")

    def drained(self) -> None:
        self.told.append("drained")

    def gone(self) -> None:
        self.told.append("gone")
        self.closed.set()


@asynccontextmanager
async def pair() -> AsyncIterator[tuple[Link, Ear, socket.socket]]:
    """A link, who listens to it, and the other end."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)
    ear = Ear()
    link = Link(ours, None, ear)
    try:
        yield link, ear, theirs
    finally:
        link.close()
        theirs.close()


async def test_what_does_not_fit_waits_and_arrives_whole():
    """More than the system takes at once is counted as waiting, and sent as the other side reads."""
    data = bytes(range(256)) * 16_384
    async with pair() as (link, ear, theirs):
        link.write(data)
        assert 0 < link.waiting < len(data)
        arrived = b""
        while len(arrived) < len(data):
            arrived += await asyncio.get_running_loop().sock_recv(theirs, 1 << 20)
        assert arrived == data
        assert (link.waiting, ear.told) == (0, ["drained"])


async def test_an_end_is_told_and_closes_the_link():
    """When the other side has said all, its owner hears the bytes, then the end, then that it is closed, each once."""
    async with pair() as (link, ear, theirs):
        theirs.sendall(b"last words")
        theirs.close()
        async with asyncio.timeout(1):
            await ear.closed.wait()
        assert (ear.bytes, ear.told, link.open) == (b"last words", ["ended", "gone"], False)
        link.close()
        link.write(b"nothing happens")
        await asyncio.sleep(0)
        assert ear.told == ["ended", "gone"]


async def test_what_was_said_before_a_reset_is_heard():
    """A write that fails, because the other side has closed, does not lose what it said before it did."""
    async with pair() as (link, ear, theirs):
        theirs.sendall(b"no, thank you")
        theirs.close()
        link.write(b"body")
        assert (ear.bytes, link.open) == (b"no, thank you", False)


async def test_who_speaks_before_being_asked_is_not_taken_for_the_answer():
    """A "408" that meets a request on its way out is none to it: nothing was sent, and the connection is given up."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    connection = Connection(ours, None, "peer", ResponseReader(1024, 1024), None, Traffic())
    sending = asyncio.create_task(connection.exchange(Request("PUT", "/k", "peer", [], b"x"), Deadlines()))
    await asyncio.sleep(0)  # it is to be written in the loop's next turn
    connection.heard(LINE)
    with pytest.raises(TransportError) as caught:
        await sending
    assert (caught.value.code, caught.value.ambiguous) == ("ConnectionReset", False)
    await connection.closed
    assert (theirs.recv(1024), connection.usable) == (b"", False)
    theirs.close()
