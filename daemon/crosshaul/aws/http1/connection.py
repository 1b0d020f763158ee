"""One connection of the HTTP client: sends one request at a time and reads its response."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

from crosshaul.aws.http1.link import Link
from crosshaul.aws.http1.reader import ResponseReader
from crosshaul.aws.http1.request import JOINED_BYTES, Request
from crosshaul.aws.http1.sender import RequestSender
from crosshaul.aws.http1.tls import TlsStream
from crosshaul.aws.http1.types import BodyPacer, Deadlines, Response, TransportError
from crosshaul.aws.http1.watchdog import Traffic, Watchdog


class Connection:
    """Carries one request at a time over ``sock``, see ``Link``. ``on_closed`` is called once, when it is closed."""

    def __init__(
        self,
        sock: socket.socket,
        tls: TlsStream | None,
        name: str,
        reader: ResponseReader,
        pacer: BodyPacer | None,
        traffic: Traffic,
    ) -> None:
        self._name = name
        self._reader = reader
        self._pacer = pacer
        self._traffic = traffic
        self._loop = asyncio.get_running_loop()
        self._link = Link(sock, tls, self)
        self._sender = RequestSender(self._link, reader, pacer)
        self._watchdog = Watchdog(name, self._link, reader, self._sender, traffic, self._fail)
        self._response: asyncio.Future[Response] | None = None
        self._responses = 0
        self._keep_alive = True
        self.idle_since = 0.0
        self.on_closed: Callable[[Connection], None] | None = None
        self.closed = self._loop.create_future()
        """Done when the socket is closed."""

    @property
    def usable(self) -> bool:
        """Another request can be sent."""
        return self._keep_alive and self._link.open

    def broke_while_idle(self, error: TransportError) -> bool:
        """Return whether ``error`` means that the peer closed a kept connection before it read the request."""
        return error.code == "ConnectionReset" and self._responses > 0 and not self._reader.started

    def abort(self) -> None:
        """Close at once; unsent bytes are dropped."""
        self._keep_alive = False
        self._link.close()

    def close_with_client(self) -> None:
        """Close at once and fail the request under way, because the client is closed."""
        self._fail("ClientClosed", "the client was closed")

    async def exchange(self, request: Request, deadlines: Deadlines, granted: int = 0) -> Response:
        """Send the request and return the response; ``granted``: bytes that the pacer has granted already.

        Raises TransportError. Without a response the connection is closed.
        """
        response = self._begin(request, deadlines)
        self._sender.granted = granted
        try:
            if not self._pacer and not granted and request.size <= JOINED_BYTES:
                # Together with what other connections have ready in this turn of the loop: waking the receiver (a
                # process on this machine, or the network's driver) can cost more than sending a small request.
                self._loop.call_soon(self._sender.write, request.whole())
            elif not await self._sender.send(request, response):
                self._keep_alive = False
            result = await response
        except BaseException:
            self.abort()
            raise
        finally:
            self._end(response)
        self._responses += 1
        self._traffic.responses += 1
        if self._watchdog.received_at is not None:
            result = result._replace(wait_seconds=self._loop.time() - self._watchdog.received_at)
        # A response may precede the last piece: its unsent rest would go out before the next request.
        self._keep_alive = self._keep_alive and self._reader.keep_alive and not self._link.unsent
        return result

    def _begin(self, request: Request, deadlines: Deadlines) -> asyncio.Future[Response]:
        response: asyncio.Future[Response] = self._loop.create_future()
        self._response = response
        self._reader.begin(head_only=request.head_only)
        self._sender.written = 0
        self._watchdog.start(request.size, deadlines)
        if not self.usable:
            self._fail("ConnectionReset", f"{self._name} closed the connection")
        return response

    def _end(self, response: asyncio.Future[Response]) -> None:
        self._response, self._watchdog.active = None, False
        if not response.cancel() and not response.cancelled():
            response.exception()  # or asyncio logs it as never retrieved when the caller was cancelled

    def _fail(self, code: str, message: str) -> None:
        if self._response is not None and not self._response.done():
            self._response.set_exception(TransportError(code, message, ambiguous=self._sender.written > 0))
            self._sender.interrupt()
        self.abort()

    def data_received(self, data: bytes) -> None:
        """Feed the response's reader; bytes without a request make the connection unusable."""
        if self._response is None or self._response.done():
            self.abort()
            return
        if not self._sender.written:
            self._fail_lost()  # sent before any request: such as "408 Request Timeout" on an idle connection
            return
        try:
            self._reader.feed(data)
        except TransportError as error:
            self._fail(error.code, f"{self._name}: {error.message}")
            return
        self._take_response()

    def _take_response(self) -> None:
        if self._reader.done and self._response is not None and not self._response.done():
            self._response.set_result(self._reader.response())
            self._watchdog.active = False
        if self._reader.has_status:
            self._sender.interrupt()

    def eof_received(self) -> None:
        """Complete a response that ends with its connection; any other is broken."""
        self._keep_alive = False
        if self._response is not None and not self._response.done():
            if self._reader.finish():
                self._take_response()
            else:
                self._fail_lost()

    def resume_writing(self) -> None:
        """Let the sender continue: the link has sent everything."""
        self._sender.resume()

    def connection_lost(self) -> None:
        """Fail the request under way, and call ``on_closed``."""
        self._keep_alive = False
        self._fail_lost()
        self._watchdog.stop()
        if not self.closed.done():
            self.closed.set_result(None)
        if self.on_closed is not None:
            self.on_closed(self)

    def _fail_lost(self) -> None:
        when = "in the middle of its response" if self._reader.started else "before its response"
        self._fail("ConnectionReset", f"{self._name} closed the connection {when}")
