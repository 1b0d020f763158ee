"""Limit the request bodies that are sent at the same time, by the bandwidth measured so far. Pure arithmetic."""

from __future__ import annotations

_BODY_SECONDS = 60.0
"""Time that one body may take."""
_LIMITED_BODY_SECONDS = 10.0
"""The same under a bandwidth limit: one body fills it, and small files must not wait long."""
_MIN_BODIES = 2
"""While one body awaits its response, another uses the bandwidth."""
_MAX_BODIES = 8
"""Most bodies when each of them takes longer than _BODY_SECONDS."""
_MIN_GAIN = 1.15
"""Factor by which one more body must raise the throughput, or it is dropped again."""
_MIN_PAUSE_BODIES, _MAX_PAUSE_BODIES = 4, 128
"""Bodies between two trials of one more body."""


class SendWindow:
    """The bodies that may be sent at the same time: as many as finish within a minute at the measured bandwidth.

    Each finished body measures the bandwidth: its own rate, times the bodies that were sent at the same time. Where
    even two bodies take over a minute, one more is tried from time to time and kept if the throughput rises: the
    bandwidth may be low in total, or only per connection (packet loss, a long round trip). Starts with ``first`` bytes.
    """

    def __init__(self, first: int) -> None:
        self._first = first
        self._rate: float | None = None
        self._bodies = _MIN_BODIES
        self._since = float("-inf")
        self._throughputs: list[float] = []
        self._baseline: float | None = None
        self._pause, self._until_trial = _MIN_PAUSE_BODIES, _MIN_PAUSE_BODIES

    def admits(self, size: int, bodies: int, in_flight: int, limit: int | None) -> bool:
        """Return whether a body of ``size`` bytes may start beside ``bodies`` others of ``in_flight`` bytes in total.

        ``limit`` is the bandwidth limit in bytes per second.
        """
        if limit is not None and bodies >= _MIN_BODIES:
            return in_flight + size <= min(self._bytes(), limit * _LIMITED_BODY_SECONDS)
        return bodies < self._bodies or in_flight + size <= self._bytes()

    def _bytes(self) -> float:
        return self._first if self._rate is None else self._rate * _BODY_SECONDS

    def finished(self, size: int, began: float, now: float, bodies: int) -> None:
        """Measure an answered body. ``bodies`` were sent at the same time, itself included; times in seconds."""
        throughput = bodies * size / max(now - began, 0.001)
        self._rate = throughput if self._rate is None else self._rate + (throughput - self._rate) / 4
        if bodies >= self._bodies and began >= self._since and size * self._bodies > self._bytes():
            self._throughputs.append(throughput)
            if len(self._throughputs) >= self._bodies:
                self._try_more(now)

    def _try_more(self, now: float) -> None:
        """Compare the throughput with that of one body less, or try one more."""
        throughput = sum(self._throughputs) / len(self._throughputs)
        self._throughputs.clear()
        if self._baseline is not None and throughput < _MIN_GAIN * self._baseline:
            self._set_bodies(self._bodies - 1, now)
            self._baseline = None
            self._pause = self._until_trial = min(2 * self._pause, _MAX_PAUSE_BODIES)
            return
        self._until_trial -= self._bodies
        if self._baseline is not None:
            self._pause = _MIN_PAUSE_BODIES
        if self._baseline is not None or self._until_trial <= 0:
            self._baseline = throughput if self._bodies < _MAX_BODIES else None
            self._until_trial = self._pause
            self._set_bodies(min(self._bodies + 1, _MAX_BODIES), now)

    def _set_bodies(self, bodies: int, now: float) -> None:
        self._bodies, self._since = bodies, now

    def failed(self) -> None:
        """Halve the measured bandwidth, because a body failed or stalled."""
        if self._rate is not None:
            self._rate /= 2
        self._bodies, self._baseline = _MIN_BODIES, None
        self._throughputs.clear()
