"""The line to one destination: how many bodies are on it at once, by what it carries."""

from __future__ import annotations

from collections.abc import Callable

from crosshaul.concurrency.adaptive_limit import SendWindow
from crosshaul.concurrency.semaphore import ByteSemaphore
from crosshaul.model import LARGE

_FIRST_OF_SMALL = 1024 * 1024
_FIRST_OF_LARGE = 16 * 1024 * 1024
"""Bytes sent at once before anything is known of the line."""
_QUICK_SECONDS = 1.0
_OF_THE_LINE = frozenset({"ProgressTimeout", "ConnectionReset", "ConnectTimeout", "TLSTimeout"})


class BodyLimit:
    """Lets bodies onto the line. Small and large ones queue apart: no small file waits for a large one's minutes."""

    def __init__(self, limit: Callable[[], int | None]) -> None:
        """``limit``: the bandwidth limit in bytes a second, None without one."""
        self._small = BodyQueue(SendWindow(_FIRST_OF_SMALL), limit)
        self._large = BodyQueue(SendWindow(_FIRST_OF_LARGE), limit)

    def queue_for(self, size: int) -> BodyQueue:
        """Where a body of this size takes its turn."""
        return self._large if size >= LARGE else self._small


class BodyQueue(ByteSemaphore):
    """Bodies of one kind. Whoever was let in owes ``release``, and tells before how it went."""

    def __init__(self, window: SendWindow, limit: Callable[[], int | None]) -> None:
        super().__init__(lambda: 0)
        self._window = window
        self._limit = limit

    def _fits(self, amount: int) -> bool:
        return self.holders == 0 or self._window.admits(amount, self.holders, self.used, self._limit())

    def answered(self, size: int, began: float, now: float, beside: int) -> None:
        """A body was answered; ``beside``: the bodies on the line when it began, itself included."""
        if not self._queue and now - began < _QUICK_SECONDS:
            return  # nobody waits for the line: nothing need be known of it
        self._window.finished(size, began, now, max(beside, self.holders))

    def failed(self, code: str) -> None:
        """A body was not answered."""
        if code in _OF_THE_LINE:
            self._window.failed()
