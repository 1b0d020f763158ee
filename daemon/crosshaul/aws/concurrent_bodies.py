"""Limit of the bodies that are sent to one destination at once, adapted to its measured throughput."""

from __future__ import annotations

from collections.abc import Callable

from crosshaul.concurrency.semaphore import ByteSemaphore
from crosshaul.concurrency.send_window import SendWindow
from crosshaul.model import LARGE

_INITIAL_SMALL_BYTES = 1024 * 1024
_INITIAL_LARGE_BYTES = 16 * 1024 * 1024
"""Bytes in flight before the throughput is measured."""
_QUICK_SECONDS = 1.0
_CONGESTION_CODES = frozenset({"ProgressTimeout", "ConnectionReset", "ConnectTimeout", "TLSTimeout"})


class BodyLimit:
    """Queues bodies; small and large ones separately, so that no small file waits for minutes behind a large one."""

    def __init__(self, limit: Callable[[], int | None]) -> None:
        """``limit`` returns the bandwidth limit in bytes per second, None without a limit."""
        self._small = BodyQueue(SendWindow(_INITIAL_SMALL_BYTES), limit)
        self._large = BodyQueue(SendWindow(_INITIAL_LARGE_BYTES), limit)

    def queue_for(self, size: int) -> BodyQueue:
        """Return the queue for a body of ``size`` bytes."""
        return self._large if size >= LARGE else self._small


class BodyQueue(ByteSemaphore):
    """Semaphore for bodies of one class of size. Report ``responded`` or ``failed`` before ``release``."""

    def __init__(self, window: SendWindow, limit: Callable[[], int | None]) -> None:
        super().__init__(lambda: 0)
        self._window = window
        self._limit = limit

    def _fits(self, amount: int) -> bool:
        return self.holders == 0 or self._window.admits(amount, self.holders, self.used, self._limit())

    def responded(self, size: int, start: float, now: float, concurrent: int) -> None:
        """Note a response; ``concurrent``: bodies in flight at ``start``, this one included."""
        if not self._queue and now - start < _QUICK_SECONDS:
            return  # no body waits, so the throughput is not needed
        self._window.finished(size, start, now, max(concurrent, self.holders))

    def failed(self, code: str) -> None:
        """Note a body without a response."""
        if code in _CONGESTION_CODES:
            self._window.failed()
