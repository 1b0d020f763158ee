"""Watchdog of one connection: fails a request whose bytes stand still or trickle, or that gets no response."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from crosshaul.aws.http1.link import Link
from crosshaul.aws.http1.reader import ResponseReader
from crosshaul.aws.http1.sender import RequestSender
from crosshaul.aws.http1.types import Deadlines

_CHECKS_PER_DEADLINE = 4
_TRICKLE_BYTES = 16 * 1024
"""Minimum of a body in ten minutes while other connections get responses."""
_TRICKLE_ALONE_BYTES = 1024
"""Minimum of a body in ten minutes while no other connection gets a response."""


class Traffic:
    """Counter that the connections of one client share."""

    __slots__ = ("responses",)

    def __init__(self) -> None:
        self.responses = 0
        """Responses received on all connections."""


class Watchdog:
    """Checks a request's progress a few times per deadline, with one timer per connection rather than per request."""

    def __init__(
        self,
        name: str,
        link: Link,
        reader: ResponseReader,
        sender: RequestSender,
        traffic: Traffic,
        fail: Callable[[str, str], None],
    ) -> None:
        """Take ``fail`` to be called with code and message once a deadline has passed."""
        self._name = name
        self._link = link
        self._reader = reader
        self._sender = sender
        self._traffic = traffic
        self._fail = fail
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._set_deadlines(Deadlines())
        self._moved = 0
        self._moved_at = 0.0
        self._window = (0, 0, 0.0)
        self.active = False
        """A request is under way."""
        self._size = 0
        self.received_at: float | None = None
        """When the peer was seen to have received the whole request, by the loop's clock."""

    def _set_deadlines(self, deadlines: Deadlines) -> None:
        self._deadlines = deadlines
        self._interval = min(deadlines.progress, deadlines.response) / _CHECKS_PER_DEADLINE

    def start(self, size: int, deadlines: Deadlines) -> None:
        """Watch a new request of ``size`` bytes."""
        if deadlines is not self._deadlines:
            self._set_deadlines(deadlines)
        self.active, self._size = True, size
        self._moved, self.received_at = 0, None
        self._moved_at = now = self._loop.time()
        self._window = (0, self._traffic.responses, now)
        if self._timer is None or self._timer.when() > now + self._interval:
            self._schedule(now)

    def stop(self) -> None:
        """Cancel the timer."""
        self.active = False
        if self._timer is not None:
            self._timer.cancel()

    def _schedule(self, now: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(now + self._interval, self._check)

    def _check(self) -> None:
        self._timer = None
        if not self.active:
            return
        now = self._loop.time()
        if self.received_at is None and self._is_received():
            self.received_at = now
        if self.received_at is None:
            self._check_progress(now)
        elif now - self.received_at >= self._deadlines.response:
            limit = f"{self._deadlines.response:g} s"
            self._give_up(
                "ResponseTimeout", f"{self._name} received the whole request and sent no response within {limit}"
            )
        if self.active:
            self._schedule(now)

    def _is_received(self) -> bool:
        """Return whether the peer has acknowledged every byte of the request."""
        return self._sender.written >= self._size and not self._link.unsent and not self._link.unacknowledged()

    def _check_progress(self, now: float) -> None:
        """Give up a body that stands still or trickles. Waiting for the bandwidth limit counts as progress."""
        moved = self._sender.written - self._link.unsent + self._reader.raw_size + self._link.transferred()
        if moved != self._moved or self._sender.waits_for_turn:
            self._moved, self._moved_at = moved, now
        start, responses, since = self._window
        if self._sender.waits_for_turn:
            self._window = (moved, self._traffic.responses, now)
        elif now - self._moved_at >= self._deadlines.progress:
            self._give_up("ProgressTimeout", f"no byte moved to or from {self._name} in {self._deadlines.progress:g} s")
        elif now - since >= self._deadlines.trickle:
            self._check_trickle(moved - start, alone=self._traffic.responses == responses)
            self._window = (moved, self._traffic.responses, now)

    def _check_trickle(self, moved: int, *, alone: bool) -> None:
        """Give up a body that is slower than any usable network: its peer would hold the connection for ever."""
        if moved < (_TRICKLE_ALONE_BYTES if alone else _TRICKLE_BYTES):
            window = self._deadlines.trickle
            self._give_up("ProgressTimeout", f"only {moved:,} bytes moved to and from {self._name} in {window:g} s")

    def _give_up(self, code: str, message: str) -> None:
        self.active = False
        self._fail(code, message)
