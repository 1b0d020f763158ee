"""Sending half of a connection: writes requests as fast as the peer and the bandwidth limit allow."""

from __future__ import annotations

import asyncio

from crosshaul.aws.http1.link import Link
from crosshaul.aws.http1.reader import ResponseReader
from crosshaul.aws.http1.request import SLICE_BYTES, Request
from crosshaul.aws.http1.types import BodyPacer, Response
from crosshaul.integrity.streamed_body import BodySlice


class RequestSender:
    """Writes one request after the other to ``link``; with ``pacer``, each write waits for a turn."""

    __slots__ = ("_link", "_loop", "_pacer", "_reader", "_turn_timeout", "_writable", "granted", "written")

    def __init__(self, link: Link, reader: ResponseReader, pacer: BodyPacer | None) -> None:
        self._link = link
        self._reader = reader
        self._pacer = pacer
        self._loop = asyncio.get_running_loop()
        self._writable: asyncio.Future[None] | None = None
        self._turn_timeout: asyncio.Timeout | None = None
        self.granted = 0
        """Bytes that the pacer has granted and that are not written yet."""
        self.written = 0
        """Bytes of the present request that were given to the link."""

    @property
    def waits_for_turn(self) -> bool:
        """The next write waits for the pacer."""
        return self._turn_timeout is not None

    async def send(self, request: Request, response: asyncio.Future[Response]) -> bool:
        """Write the request piece by piece. Return False if the response began first, and the rest was not sent."""
        left = request.size
        for piece in request.pieces(self._max_piece):
            size = len(piece)
            if self._pacer and not self.granted:
                await self._wait_for_turn(self._pacer, size)
            if response.done() or self._reader.has_status:
                if self._pacer is not None and self.granted:
                    self._pacer.give_back(self.granted)
                return False
            self.granted = 0
            self.write(await piece.data() if isinstance(piece, BodySlice) else piece)
            left -= size
            if self._link.unsent and left:
                self._writable = self._loop.create_future()
                await self._writable
            elif left:
                await asyncio.sleep(0)  # read an early response before the next piece fails on a closed connection
        return True

    def write(self, data: bytes | memoryview) -> None:
        """Give bytes to the link, unless it is closed."""
        if self._link.open:
            self.written += len(data)
            self._link.write(data)

    def _max_piece(self) -> int:
        return self.granted or (self._pacer.piece() if self._pacer else SLICE_BYTES)

    async def _wait_for_turn(self, pacer: BodyPacer, size: int) -> None:
        """Wait for a turn of ``size`` bytes, or until ``interrupt``."""
        self._turn_timeout = limit = asyncio.timeout(None)
        try:
            async with limit:
                await pacer.turn(size)
        except TimeoutError:
            if not limit.expired():
                raise
        else:
            self.granted = size
        finally:
            self._turn_timeout = None

    def resume(self) -> None:
        """Continue after the link has sent what it held."""
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)

    def interrupt(self) -> None:
        """Stop waiting, because the response began or the connection is closed."""
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
        if self._turn_timeout is not None:
            self._turn_timeout.reschedule(self._loop.time())
            self._turn_timeout = None
