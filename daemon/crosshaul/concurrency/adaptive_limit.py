"""Limit the requests in flight by the store's responses. Pure arithmetic over given times."""

from __future__ import annotations


class AdaptiveLimit:
    """Additive increase, multiplicative decrease. The limit starts at ``ceiling`` and falls when the store pushes back.

    It decreases once per ``hold`` seconds, because the failures of one burst have one cause. The first decrease after a
    calm period halves the limit. While push-backs continue, each decrease is half of their share among the responses
    (as in DCTCP, RFC 8257), so that the limit stays near what the store accepts (benchmarks/slow_down.py).
    """

    def __init__(self, ceiling: int, hold: float = 1.0) -> None:
        self._ceiling = float(ceiling)
        self._limit = float(ceiling)
        self._hold = hold
        self._decreased_at = float("-inf")
        self._good = self._bad = 0
        self.taken = 0
        """Requests that succeeded since the start."""

    @property
    def limit(self) -> int:
        """Return how many requests may be in flight now, at least 1."""
        return int(self._limit)

    def succeeded(self) -> None:
        """Count a request that succeeded."""
        self._good += 1
        self.taken += 1
        self._limit = min(self._ceiling, self._limit + 1.0 / self._limit)

    def pushed_back(self, now: float) -> None:
        """Count a request refused for load (SlowDown, 5xx, time-outs) at ``now``, in monotonic seconds."""
        self._bad += 1
        since = now - self._decreased_at
        if since < self._hold:
            return
        share = self._bad / (self._good + self._bad) if since < 2 * self._hold else 1.0
        self._limit = max(1.0, self._limit * (1 - share / 2))
        self._decreased_at, self._good, self._bad = now, 0, 0
