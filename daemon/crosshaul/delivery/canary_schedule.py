"""The canaries of a tripped breaker: which files are sent as canaries, and when the next one may be sent. Pure.

Times are monotonic seconds. Files are identified by their record ids.
"""

from __future__ import annotations

from crosshaul.delivery.retry import RetryPolicy

_GAP_SHARE = 0.25
"""Longest gap between the canaries of an outage, as a share of its length: recovery is noticed no later than that."""
_ARRIVAL_GAP_SECONDS, _ARRIVAL_GAP_SHARE, _MAX_ARRIVAL_GAP_SECONDS = 1.0, 1 / 30, 10.0
"""Gap between canaries that are sent because a new file arrived; in an outage it grows with the outage's length."""
_PATIENCE_SECONDS, _MAX_CANARIES = 5.0, 4
"""A new file waits this long for a canary in flight; then it is sent beside it, up to the maximum in flight."""
_AFTER_INCONCLUSIVE_SECONDS = 0.1
"""Time from an inconclusive canary to the next one."""


class CanarySchedule:
    """The canaries in flight, and the times of the next ones, from ``start`` to ``stop``."""

    def __init__(self, policy: RetryPolicy) -> None:
        self._policy = policy
        self.retry_at: float | None = None
        """When the next canary may be sent; None if the breaker is not tripped."""
        self._in_flight: set[int] = set()
        self._refused = False
        self._started_at = 0.0
        self._sent_at = 0.0
        self._failed = 0
        self._not_before = 0.0

    def __contains__(self, file: int) -> bool:
        """Return whether ``file`` is a canary in flight."""
        return file in self._in_flight

    # The breaker

    def start(self, now: float, jitter: float, *, refused: bool) -> None:
        """Begin with no canary. ``refused``: the destination refuses; otherwise it is unreachable."""
        self._refused = refused
        self._started_at = self._sent_at = now
        self._in_flight.clear()
        self._failed = 0
        self._schedule(now, jitter)

    def stop(self) -> None:
        """Forget all canaries and times: the breaker is reset."""
        self.retry_at = None
        self._in_flight.clear()
        self._not_before = 0.0
        self._failed = 0

    def postpone(self, until: float) -> None:
        """Schedule no canary before ``until``: the store asked for this pause."""
        self._not_before = max(self._not_before, until)

    # Canaries in flight

    def add(self, file: int, now: float) -> None:
        """Record that ``file`` is sent as a canary."""
        self._in_flight.add(file)
        self._sent_at = now

    def record_failure(self, file: int, now: float, jitter: float) -> None:
        """Record that the canary ``file`` failed as the destination does, and delay the next one."""
        self._in_flight.discard(file)
        self._failed += 1
        self._schedule(now, jitter)

    def record_inconclusive(self, file: int, now: float) -> None:
        """Record an attempt that says nothing about the destination: if it was the canary, send another one soon."""
        if file in self._in_flight:
            self._in_flight.discard(file)
            if self.retry_at is not None:
                self.retry_at = max(now + _AFTER_INCONCLUSIVE_SECONDS, self._not_before)

    def forget(self) -> None:
        """Forget the canaries in flight: the transfer loop has restarted."""
        self._in_flight.clear()

    # The next canary

    def is_due(self, now: float) -> bool:
        """Return whether the next canary may be sent."""
        return not self._in_flight and self.retry_at is not None and self.retry_at <= now

    def next_at(self) -> float | None:
        """Return when the next canary may be sent; None while one is in flight, and if the breaker is not tripped."""
        return None if self._in_flight else self.retry_at

    def next_arrival_at(self) -> float | None:
        """Return when a file that arrived since the breaker tripped may be a canary; None while there are enough."""
        if self.retry_at is None or len(self._in_flight) >= _MAX_CANARIES:
            return None
        gap = _PATIENCE_SECONDS if self._in_flight else _ARRIVAL_GAP_SECONDS
        if not self._refused:
            outage = self._sent_at - self._started_at
            gap = min(_MAX_ARRIVAL_GAP_SECONDS, max(gap, outage * _ARRIVAL_GAP_SHARE))
        return max(self._sent_at + gap, self._not_before)

    def send_now(self, now: float) -> None:
        """Let the next canary be sent at once, for example after new credentials."""
        if self.retry_at is not None:
            self.retry_at = min(self.retry_at, now)

    def _schedule(self, now: float, jitter: float) -> None:
        policy = self._policy
        if self._refused:
            # At least half the delay: several canaries in quick succession would tell nothing new.
            delay = policy.delay(self._failed, 0.5 + jitter / 2)
        else:
            ceiling = min(policy.max, max(policy.initial, _GAP_SHARE * (now - self._started_at)))
            delay = ceiling * max(0.1, jitter)
        self.retry_at = max(now + delay, self._not_before)
