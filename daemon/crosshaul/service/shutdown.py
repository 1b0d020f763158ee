"""The signals that ask the process to end: the first lets it drain, the second cuts that short, and neither can hang.

What a drain leaves behind is closed in the event loop and in threads. A disk or a library that never comes back would
hold the process for ever there, so that its end has a deadline of its own: the journal is whole at any moment.
"""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from crosshaul.telemetry import logs

_CLOSING = 10.0
"""Seconds past the drain's deadline in which everything has to be closed."""
_AT_ONCE = 2.0
"""The same after a second signal."""
_LAST_WORDS = 2.0
"""Seconds in which the log, and then what is said of an error, must find a reader."""
_TERMINAL_GONE_WITHIN = 0.2
"""Seconds from a SIGHUP to when a terminal that was closed is seen to be gone."""
_CUT_OFF = 1


class Shutdown:
    """``asked`` is set by the first SIGTERM (or SIGINT, where it listens to that, too), ``hurry`` by the second."""

    def __init__(self, drain_timeout: float) -> None:
        self.requested = asyncio.Event()
        self.forced = asyncio.Event()
        self._drain_timeout = drain_timeout

    def listen(self, *numbers: signal.Signals) -> None:
        """Take these signals, on the loop that runs."""
        for number in numbers:
            asyncio.get_running_loop().add_signal_handler(number, self._received)

    def listen_for_hangup(self, reload: asyncio.Event) -> None:
        """Take SIGHUP: it sets ``reload``, or is a signal to end where it came because our terminal was closed."""
        terminals = [number for number in range(3) if os.isatty(number)]

        def decide() -> None:
            if terminals and not any(os.isatty(number) for number in terminals):
                self._received()
            else:
                reload.set()

        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGHUP, lambda: loop.call_later(_TERMINAL_GONE_WITHIN, decide))

    def _received(self) -> None:
        again = self.requested.is_set()
        (self.forced if again else self.requested).set()
        _after(_AT_ONCE if again else self._drain_timeout + _CLOSING, _end)


@contextmanager
def last_words() -> Iterator[None]:
    """Write the log out at the end of the block; what is said after that ends the process if nobody reads it.

    Both wait 2 seconds at the most: a pipe that nobody reads, or a stopped terminal, holds up no end.
    """
    code = _CUT_OFF
    try:
        yield
    except BaseException as error:
        code = 130 if isinstance(error, KeyboardInterrupt) else getattr(error, "exit_code", _CUT_OFF)
        raise
    finally:
        logs.flush(_LAST_WORDS)
        _after(_LAST_WORDS, lambda: os._exit(code))


def _after(seconds: float, act: Callable[[], None]) -> None:
    timer = threading.Timer(seconds, act)
    timer.daemon = True
    timer.start()


def _end() -> None:
    try:
        logs.get("crosshaul").error("not_closed_in_time")
        logs.flush(_LAST_WORDS)
    finally:
        os._exit(_CUT_OFF)
