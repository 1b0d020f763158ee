"""The rate of the last seconds, and the time that the rest takes at that rate. Pure."""

from __future__ import annotations

from collections import deque

from crosshaul.display import duration, size

_SPAN_SECONDS = 15.0
"""A rate over a shorter span jumps, over a longer one it lags."""


class Rate:
    """Measures the rate from totals that are noted once a second or so."""

    def __init__(self) -> None:
        self._totals: deque[tuple[float, int, int]] = deque()

    def sentence(self, now: float, files: int, sent: int, left: int) -> str:
        """Note the totals (files, bytes) at ``now`` and describe the rate; ``left`` bytes are to be sent.

        Empty if nothing is to be sent.
        """
        self._totals.append((now, files, sent))
        while now - self._totals[0][0] > _SPAN_SECONDS:
            self._totals.popleft()
        first_at, first_files, first_sent = self._totals[0]
        span = now - first_at
        if span <= 0:
            return ""
        # The journal's totals may fall: a file that changed is no longer delivered.
        bytes_rate, files_rate = max(0.0, (sent - first_sent) / span), max(0.0, (files - first_files) / span)
        if not bytes_rate and not files_rate:
            return f"No data was sent for {duration(span)}." if left else ""
        rest = f"; about {duration(left / bytes_rate)} left" if left and bytes_rate else ""
        return f"Sending {size(bytes_rate)}/s, {files_rate:,.1f} files/s{rest}."
