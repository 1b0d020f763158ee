"""How fast it has gone of late, and how long the rest takes at that. Pure."""

from __future__ import annotations

from collections import deque

from crosshaul.display import duration, size

_SPAN = 15.0
"""Seconds that a rate is taken over: shorter ones jump, longer ones lag."""


class Rate:
    """Told what was sent by when, a few times a minute or more."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int, int]] = deque()

    def told(self, now: float, files: int, sent: int, left: int) -> str:
        """A sentence; ``files`` and ``sent`` (bytes) so far, and ``left`` bytes to go. Empty if all is quiet."""
        self._seen.append((now, files, sent))
        while now - self._seen[0][0] > _SPAN:
            self._seen.popleft()
        began, files_then, sent_then = self._seen[0]
        span = now - began
        if span <= 0:
            return ""
        # What is changed and goes again is taken off the journal's counts, which may fall.
        rate, files_rate = max(0.0, (sent - sent_then) / span), max(0.0, (files - files_then) / span)
        if not rate and not files_rate:
            return f"Nothing has got through for {duration(span)}." if left else ""
        rest = f"; about {duration(left / rate)} left" if left and rate else ""
        return f"Sending {size(rate)}/s, {files_rate:,.1f} files/s{rest}."
