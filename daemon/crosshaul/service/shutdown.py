"""Shut down on signals: the first starts a drain, the second cuts it short, and each has a deadline.

After the drain, files and connections are closed in the event loop and in threads. A disk that hangs would keep the
process alive for ever there. The deadline ends the process then; the journal is consistent at any moment.
"""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from crosshaul.telemetry import logs

_CLOSE_SECONDS = 10.0
"""Time after the drain's deadline in which everything must be closed."""
_FORCED_SECONDS = 2.0
"""Time after a second signal in which everything must be closed."""
_FLUSH_SECONDS = 2.0
"""Time in which the log, and then an error message, must be read."""
_TERMINAL_GONE_SECONDS = 0.2
"""Time from a SIGHUP until a closed terminal is seen to be gone."""
_CUT_OFF = 1
"""Exit code of a drain that was cut off."""


class Shutdown:
    """Events of a shutdown: ``requested`` is set by the first signal, ``forced`` by the second."""

    def __init__(self, drain_timeout: float) -> None:
        self.requested = asyncio.Event()
        self.forced = asyncio.Event()
        self._drain_timeout = drain_timeout

    def listen(self, *numbers: signal.Signals) -> None:
        """Shut down on these signals. Call it on the running loop."""
        for number in numbers:
            asyncio.get_running_loop().add_signal_handler(number, self._on_signal)

    def listen_for_hangup(self, reload: asyncio.Event) -> None:
        """Set ``reload`` on SIGHUP; shut down instead if the process's terminal was closed."""
        terminals = [number for number in range(3) if os.isatty(number)]

        def on_hangup() -> None:
            if terminals and not any(os.isatty(number) for number in terminals):
                self._on_signal()
            else:
                reload.set()

        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGHUP, lambda: loop.call_later(_TERMINAL_GONE_SECONDS, on_hangup))

    def _on_signal(self) -> None:
        again = self.requested.is_set()
        (self.forced if again else self.requested).set()
        _after(_FORCED_SECONDS if again else self._drain_timeout + _CLOSE_SECONDS, _exit_unclosed)


@contextmanager
def flushing_log() -> Iterator[None]:
    """Flush the log at the end of the block, and kill the process if it has not ended soon after.

    Each takes at most 2 s: neither a pipe that nobody reads nor a stopped terminal can keep the process alive.
    """
    code = _CUT_OFF
    try:
        yield
    except BaseException as error:
        code = 130 if isinstance(error, KeyboardInterrupt) else getattr(error, "exit_code", _CUT_OFF)
        raise
    finally:
        logs.flush(_FLUSH_SECONDS)
        _after(_FLUSH_SECONDS, lambda: os._exit(code))


def _after(seconds: float, act: Callable[[], None]) -> None:
    timer = threading.Timer(seconds, act)
    timer.daemon = True
    timer.start()


def _exit_unclosed() -> None:
    try:
        logs.get("crosshaul").error("not_closed_in_time")
        logs.flush(_FLUSH_SECONDS)
    finally:
        os._exit(_CUT_OFF)
