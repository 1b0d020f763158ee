"""The signals that ask the process to end: the first lets it drain, the second cuts that short, and neither can hang.

What a drain leaves behind is closed in the event loop and in threads. A disk or a library that never comes back would
hold the process for ever there, so that its end has a deadline of its own: the journal is whole at any moment.
"""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from typing import Protocol

_CLOSING = 10.0
"""Seconds past the drain's deadline in which everything has to be closed."""
_AT_ONCE = 2.0
"""The same after a second signal."""
_CUT_OFF = 1


class Log(Protocol):
    """What is used of a logger."""

    def error(self, event: str, **fields: object) -> object:
        """Something a person should look at."""


class Stop:
    """``asked`` is set by the first SIGTERM (or SIGINT, where it listens to that, too), ``hurry`` by the second."""

    def __init__(self, drain_timeout: float, log: Log) -> None:
        self.asked = asyncio.Event()
        self.hurry = asyncio.Event()
        self._drain_timeout = drain_timeout
        self._log = log

    def listen(self, *numbers: signal.Signals) -> None:
        """Take these signals, on the loop that runs."""
        for number in numbers:
            asyncio.get_running_loop().add_signal_handler(number, self._received)

    def _received(self) -> None:
        again = self.asked.is_set()
        (self.hurry if again else self.asked).set()
        self._end_after(_AT_ONCE if again else self._drain_timeout + _CLOSING)

    def _end_after(self, seconds: float) -> None:
        timer = threading.Timer(seconds, self._end)
        timer.daemon = True
        timer.start()

    def _end(self) -> None:
        try:
            self._log.error("not_closed_in_time")
        finally:
            os._exit(_CUT_OFF)
