"""One connection: sends a request, reads the answer, and watches that bytes move."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

from crosshaul.aws.http1.link import Link
from crosshaul.aws.http1.reader import ResponseReader
from crosshaul.aws.http1.request import JOINED, SLICE, Request
from crosshaul.aws.http1.tls import TlsStream
from crosshaul.aws.http1.types import BodyPacer, Deadlines, Response, TransportError
from crosshaul.integrity.streamed_body import BodySlice

_LOOKS = 4
"""How often the watchdog looks in one progress deadline."""
_TRICKLE_BYTES = 16 * 1024
"""Fewer bytes than these in ten minutes are a trickle, where others got an answer meanwhile."""
_ALONE_BYTES = 1024
"""The same where nobody else got one."""


class Traffic:
    """What the connections of one client have in common."""

    __slots__ = ("answered",)

    def __init__(self) -> None:
        self.answered = 0
        """Requests that were answered, on all of them."""


class Connection:
    """Carries one request at a time over ``sock``, see ``Link``. ``lost`` is called once, when it is closed."""

    def __init__(
        self,
        sock: socket.socket,
        tls: TlsStream | None,
        name: str,
        reader: ResponseReader,
        pace: BodyPacer | None,
        traffic: Traffic,
    ) -> None:
        self._name = name
        self._reader = reader
        self._go_by(Deadlines())
        self._pace = pace
        self._traffic = traffic
        self._loop = asyncio.get_running_loop()
        self._link = Link(sock, tls, self)
        self._answer: asyncio.Future[Response] | None = None
        self._unpaused: asyncio.Future[None] | None = None
        self._pacing: asyncio.Timeout | None = None
        self._granted = 0
        self._size = self._written = 0
        self._timer: asyncio.TimerHandle | None = None
        self._mark = 0
        self._marked_at = 0.0
        self._taken_at: float | None = None
        self._trickle = (0, 0, 0.0)
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

    def broke_while_kept(self, error: TransportError) -> bool:
        """Whether ``error`` is that of a kept connection which the other side closed as, or before, it heard of us."""
        return error.code == "ConnectionReset" and self._answers > 0 and not self._reader.started

    def abort(self) -> None:
        """Close at once; what was not sent yet is dropped."""
        self._keeps = False
        self._link.close()

    def shut(self) -> None:
        """Close at once, because the client is closed; the request under way fails."""
        self._fail("ClientClosed", "the client was closed")

    async def exchange(self, request: Request, deadlines: Deadlines, granted: int = 0) -> Response:
        """Send the request and return the answer; ``granted``: the bytes for which the pace gave a turn already.

        Raises WireError. Unless an answer is returned, the connection is closed.
        """
        answer = self._begin(request, deadlines)
        self._granted = granted
        try:
            if not self._pace and not granted and request.size <= JOINED:
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
        self._traffic.answered += 1
        if self._taken_at is not None:
            result = result._replace(waited=self._loop.time() - self._taken_at)
        # An answer may come before the last piece has left: what waits of that would be in the way of the next request.
        self._keeps = self._keeps and self._reader.keeps_alive and not self._link.waiting
        return result

    def _begin(self, request: Request, deadlines: Deadlines) -> asyncio.Future[Response]:
        answer: asyncio.Future[Response] = self._loop.create_future()
        self._answer = answer
        self._size, self._written = request.size, 0
        self._reader.begin(head_only=request.head_only)
        if deadlines is not self._deadlines:
            self._go_by(deadlines)
        self._mark, self._taken_at = 0, None
        self._marked_at = now = self._loop.time()
        self._trickle = (0, self._traffic.answered, now)
        if not self.usable:
            self._fail("ConnectionReset", f"{self._name} closed the connection")
        elif self._timer is None or self._timer.when() > now + self._next_look:
            self._watch(now)
        return answer

    def _go_by(self, deadlines: Deadlines) -> None:
        self._deadlines = deadlines
        self._next_look = min(deadlines.progress, deadlines.answer) / _LOOKS

    def _end(self, answer: asyncio.Future[Response]) -> None:
        self._answer = None
        if not answer.cancel() and not answer.cancelled():
            answer.exception()  # or asyncio complains when the sender was cancelled before it could hear of it

    async def _send(self, request: Request, answer: asyncio.Future[Response]) -> None:
        """Write piece by piece, as fast as the other side and the pace allow, until it is all sent or answered."""
        left = request.size
        for piece in request.pieces(self._most):
            size = len(piece)
            if self._pace and not self._granted:
                await self._wait_for_turn(self._pace, size)
            if answer.done() or self._reader.has_status:
                if self._pace is not None and self._granted:
                    self._pace.give_back(self._granted)
                self._keeps = False
                return
            self._granted = 0
            self._write(await piece.data() if isinstance(piece, BodySlice) else piece)
            left -= size
            if self._link.waiting and left:
                self._unpaused = self._loop.create_future()
                await self._unpaused
            elif left:
                await asyncio.sleep(0)  # an early answer is heard before the next piece breaks on a closed connection

    def _most(self) -> int:
        return self._granted or (self._pace.piece() if self._pace else SLICE)

    async def _wait_for_turn(self, pace: BodyPacer, size: int) -> None:
        """Wait for a turn, unless the answer comes first."""
        self._pacing = limit = asyncio.timeout(None)
        try:
            async with limit:
                await pace.turn(size)
        except TimeoutError:
            if not limit.expired():
                raise
        else:
            self._granted = size
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
            self._answer.set_exception(TransportError(code, message, ambiguous=self._written > 0))
            self._wake_sender()
        self.abort()

    # The watchdog: one timer per connection, not one per request.

    def _watch(self, now: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(now + self._next_look, self._look)

    def _look(self) -> None:
        self._timer = None
        if self._answer is None or self._answer.done():
            return
        now = self._loop.time()
        if self._taken_at is None and self._is_taken():
            self._taken_at = now
        if self._taken_at is None:
            self._check_progress(now)
        elif now - self._taken_at >= self._deadlines.answer:
            waited = f"{self._deadlines.answer:g} s"
            self._fail(
                "ResponseTimeout", f"{self._name} received the whole request and sent no response within {waited}"
            )
        if not self._answer.done():
            self._watch(now)

    def _is_taken(self) -> bool:
        """Whether the other side has every byte of the request: the rest is its own affair."""
        return self._written >= self._size and not self._link.waiting and not self._link.untaken()

    def _check_progress(self, now: float) -> None:
        """Give up a body that stands still, or trickles; the wait for the pace is neither."""
        mark = self._written - self._link.waiting + self._reader.raw_size + self._link.moved()
        if mark != self._mark or self._pacing is not None:
            self._mark, self._marked_at = mark, now
        moved, answered, since = self._trickle
        if self._pacing is not None:
            self._trickle = (mark, self._traffic.answered, now)
        elif now - self._marked_at >= self._deadlines.progress:
            self._fail("ProgressTimeout", f"no byte moved to or from {self._name} in {self._deadlines.progress:g} s")
        elif now - since >= self._deadlines.trickle:
            self._check_trickle(mark - moved, alone=self._traffic.answered == answered)
            self._trickle = (mark, self._traffic.answered, now)

    def _check_trickle(self, moved: int, *, alone: bool) -> None:
        """A peer that takes a byte a minute holds a connection for ever; no line that anybody uses is as slow."""
        if moved < (_ALONE_BYTES if alone else _TRICKLE_BYTES):
            window = self._deadlines.trickle
            self._fail("ProgressTimeout", f"only {moved:,} bytes moved to and from {self._name} in {window:g} s")

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
        except TransportError as error:
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
        when = "in the middle of its response" if self._reader.started else "before its response"
        self._fail("ConnectionReset", f"{self._name} closed the connection {when}")
