"""One connection: sends a request, reads the answer, and watches that bytes move."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

from crosshaul.aws.http1.link import Link
from crosshaul.aws.http1.reader import AnswerReader
from crosshaul.aws.http1.request import JOINED, Request
from crosshaul.aws.http1.terms import Answer, Pace, WireError
from crosshaul.aws.http1.tls import TlsStream

_LOOKS = 4
"""How often the watchdog looks in one progress deadline."""


class Connection:
    """Carries one request at a time over ``sock``, see ``Link``. ``lost`` is called once, when it is closed."""

    def __init__(
        self,
        sock: socket.socket,
        tls: TlsStream | None,
        name: str,
        reader: AnswerReader,
        progress: float,
        pace: Pace | None,
    ) -> None:
        self._name = name
        self._reader = reader
        self._progress = progress
        self._pace = pace
        self._loop = asyncio.get_running_loop()
        self._link = Link(sock, tls, self)
        self._answer: asyncio.Future[Answer] | None = None
        self._unpaused: asyncio.Future[None] | None = None
        self._pacing: asyncio.Timeout | None = None
        self._written = 0
        self._timer: asyncio.TimerHandle | None = None
        self._deadline = 0.0
        self._mark: object = None
        self._marked_at = 0.0
        self._answers = 0
        self._keeps = True
        self.idle_since = 0.0
        self.lost: Callable[[Connection], None] | None = None
        self.closed = self._loop.create_future()
        """Done when the socket is closed."""

    @property
    def usable(self) -> bool:
        """Whether another request can be sent."""
        return self._keeps and self._link.open

    def broke_while_kept(self, error: WireError) -> bool:
        """Whether ``error`` is that of a kept connection which the other side closed as, or before, it heard of us."""
        return error.code == "ConnectionReset" and self._answers > 0 and not self._reader.started

    def abort(self) -> None:
        """Close at once; what was not sent yet is dropped."""
        self._keeps = False
        self._link.close()

    def shut(self) -> None:
        """Close at once, because the client is closed; the request under way fails."""
        self._fail("ClientClosed", "the client was closed")

    async def exchange(self, request: Request, deadline: float) -> Answer:
        """Send the request and return the answer; ``deadline`` is in the loop's time.

        Raises WireError. Unless an answer is returned, the connection is closed.
        """
        answer = self._begin(request, deadline)
        try:
            if not self._pace and request.size <= JOINED:
                # Together with what other connections have ready in this turn of the loop: waking the receiver (a
                # process on this machine, or the network's driver) can cost more than sending a small request.
                self._loop.call_soon(self._write, request.whole())
            else:
                await self._send(request, answer)
            result = await answer
        except BaseException:
            self.abort()
            raise
        finally:
            self._end(answer)
        self._answers += 1
        # An answer may come before the last piece has left: what waits of that would be in the way of the next request.
        self._keeps = self._keeps and self._reader.keeps_alive and not self._link.waiting
        return result

    def _begin(self, request: Request, deadline: float) -> asyncio.Future[Answer]:
        answer: asyncio.Future[Answer] = self._loop.create_future()
        self._answer = answer
        self._written = 0
        self._reader.begin(head_only=request.head_only)
        self._deadline = deadline
        self._mark = None
        self._marked_at = self._loop.time()
        if not self.usable:
            self._fail("ConnectionReset", f"{self._name} closed the connection")
        elif self._timer is None or self._timer.when() > deadline:
            self._watch(self._marked_at)
        return answer

    def _end(self, answer: asyncio.Future[Answer]) -> None:
        self._answer = None
        if not answer.cancel() and not answer.cancelled():
            answer.exception()  # or asyncio complains when the sender was cancelled before it could hear of it

    async def _send(self, request: Request, answer: asyncio.Future[Answer]) -> None:
        """Write piece by piece, as fast as the other side and the pace allow, until it is all sent or answered."""
        left = request.size
        for piece in request.pieces():
            if self._pace:
                await self._wait_for_pace(self._pace, len(piece))
            if answer.done() or self._reader.has_status:
                self._keeps = False
                return
            self._write(piece)
            left -= len(piece)
            if self._link.waiting and left:
                self._unpaused = self._loop.create_future()
                await self._unpaused
            elif left:
                await asyncio.sleep(0)  # an early answer is heard before the next piece breaks on a closed connection

    async def _wait_for_pace(self, pace: Pace, size: int) -> None:
        self._pacing = limit = asyncio.timeout(None)
        try:
            async with limit:
                await pace(size)
        except TimeoutError:
            if not limit.expired():
                raise
        finally:
            self._pacing = None

    def _write(self, data: bytes | memoryview) -> None:
        if self._keeps:
            self._written += len(data)
            self._link.write(data)

    def _wake_sender(self) -> None:
        """Let it see that it may go on, or that nothing more need be sent."""
        if self._unpaused is not None and not self._unpaused.done():
            self._unpaused.set_result(None)
        if self._pacing is not None and self._answer is not None and (self._answer.done() or self._reader.has_status):
            self._pacing.reschedule(self._loop.time())
            self._pacing = None

    def _fail(self, code: str, message: str) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(WireError(code, message, ambiguous=self._written > 0))
            self._wake_sender()
        self.abort()

    # The watchdog: one timer per connection, not one per request.

    def _watch(self, now: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(min(now + self._progress / _LOOKS, self._deadline), self._look)

    def _look(self) -> None:
        self._timer = None
        if self._answer is None or self._answer.done():
            return
        now = self._loop.time()
        mark = self._moved()
        if mark != self._mark or self._pacing is not None:
            self._mark, self._marked_at = mark, now
        if now >= self._deadline:
            self._fail("TotalTimeout", f"{self._name} did not take the request and answer it in time")
        elif now - self._marked_at >= self._progress:
            self._fail("ProgressTimeout", f"no byte moved to or from {self._name} in {self._progress:g} s")
        else:
            self._watch(now)

    def _moved(self) -> object:
        """Return something that changes whenever bytes move."""
        return self._written - self._link.waiting, self._reader.raw_size, self._link.moved()

    # What the link calls.

    def heard(self, data: bytes) -> None:
        """Read on in the answer; bytes that nobody asked for make the connection unusable."""
        if self._answer is None or self._answer.done():
            self.abort()
            return
        if not self._written:
            self._fail_lost()  # it speaks before it was asked: such as "408 Request Timeout" to one that was kept idle
            return
        try:
            self._reader.feed(data)
        except WireError as error:
            self._fail(error.code, f"{self._name}: {error.message}")
            return
        self._take_answer()

    def _take_answer(self) -> None:
        if self._reader.done and self._answer is not None and not self._answer.done():
            self._answer.set_result(self._reader.answer())
        if self._reader.has_status:
            self._wake_sender()

    def ended(self) -> None:
        """End an answer that is as long as its connection; any other is broken."""
        self._keeps = False
        if self._answer is not None and not self._answer.done():
            if self._reader.finish():
                self._take_answer()
            else:
                self._fail_lost()

    def drained(self) -> None:
        """Let the sender go on."""
        self._wake_sender()

    def gone(self) -> None:
        """Tell whoever waits."""
        self._keeps = False
        self._fail_lost()
        if self._timer is not None:
            self._timer.cancel()
        if not self.closed.done():
            self.closed.set_result(None)
        if self.lost is not None:
            self.lost(self)

    def _fail_lost(self) -> None:
        when = "in the middle of its answer" if self._reader.started else "before it answered"
        self._fail("ConnectionReset", f"{self._name} closed the connection {when}")
